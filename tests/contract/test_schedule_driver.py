"""The driver under the real engine, with hands that refuse: nothing begins that is not kept, and nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from functools import partial
from typing import Any

import pytest

from common import clock
from common.errors import JrError, NotFoundError
from common.ids import Jid, MinionId, mint
from common.schedule import driver, writing
from common.schedule.driver import Scheduler, moment
from common.schedule.engine.engine import Engine
from common.schedule.entries.entries import parse_entry
from common.schedule.model import LATE, Begin, Decision, Entry, Moment, Occurrence, Step, Verdict
from common.states import State
from common.values import ArgumentsError

MINION = MinionId("m1")


class Hands:
    """They write down what they did, and refuse what they are told to refuse."""

    def __init__(self) -> None:
        self.kept: list[Occurrence] = []
        self.begun: list[Jid | None] = []
        self.ended: list[Jid] = []
        self.steps: list[Step] = []
        self.full = ""
        self.broken: JrError | None = None
        self.answer: bool | JrError = True

    async def commit(self, step: Step, begins: Sequence[Begin]) -> None:
        if self.full:
            raise JrError(self.full)
        self.steps.append(step)
        self.kept += step.occurrences

    async def begin(self, begin: Begin) -> None:
        assert begin.occurrence in self.kept, "nothing begins before it is kept"
        if self.broken is not None:
            raise self.broken
        self.begun.append(begin.occurrence.jid)

    async def end(self, jid: Jid, reason: str) -> None:
        self.ended.append(jid)

    async def ask(self, entry: Entry) -> bool:
        if isinstance(self.answer, JrError):
            raise self.answer
        return self.answer


class World:
    """A scheduler on its hands."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.hands = Hands()
        numbers = itertools.count()
        self.engine = engine or Engine("m1", UTC, lambda at: mint(at + next(numbers), None, MINION), {}, None, moment())
        self.scheduler = Scheduler(self.engine, self.hands)

    def verdicts(self) -> list[Verdict]:
        return [one.verdict for one in self.hands.kept]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60.0):
            while not condition():
                # Nothing tells the test that a task of the driver went on.
                await asyncio.sleep(0.005)


ENTRIES = {"hand": {"function": "test.ping"}, "asked": {"function": "test.ping", "should_run": "true"},
           "strict": {"function": "test.ping", "start_deadline": "1s"},
           "newest": {"function": "test.ping", "overlap": "kill"},
           "first": {"function": "test.ping", "then": "hand"},
           "first_strict": {"function": "test.ping", "then": "strict"}}


def parsed(entries: dict[str, Any]) -> dict[str, Entry]:
    return {name: parse_entry(name, fields) for name, fields in entries.items()}


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        world.scheduler.open(parsed(ENTRIES), {})
        try:
            await story(world)
        finally:
            await world.scheduler.close()

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROOM_AGAIN", 0.01)
    monkeypatch.setattr(driver, "_PAUSE", 0.01)


def test_a_run_is_kept_and_then_begun_and_its_end_is_kept_too() -> None:
    async def story(world: World) -> None:
        run = await world.scheduler.run("hand", "ann")
        assert run is not None
        assert (run.verdict, run.by, run.cause) == ("ran", "ann", "by_hand")
        await world.until(lambda: world.hands.begun == [run.jid])
        assert run.jid is not None
        world.scheduler.ended(run.jid, State.SUCCEEDED)
        await world.until(lambda: world.hands.steps[-1].ended == (run.jid,))
        assert world.hands.steps[-1].standings[0].last_state == "succeeded"

    play(story)


def test_a_verb_that_is_refused_keeps_nothing() -> None:
    async def story(world: World) -> None:
        await world.scheduler.hold("ann")
        steps = len(world.hands.steps)
        with pytest.raises(NotFoundError, match="cannot run the schedule 'no'"):
            await world.scheduler.run("no", "ann")
        assert len(world.hands.steps) == steps

    play(story)


def test_a_run_that_cannot_begin_has_that_as_its_verdict(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        world.hands.broken = ArgumentsError("cannot call it with s3cret", "cannot call it")
        run = await world.scheduler.run("hand", "ann")
        assert run is not None
        await world.until(lambda: len(world.hands.kept) == 2)
        first, second = world.hands.kept
        assert (first.verdict, second.verdict, second.reason) == ("ran", "failed_to_start", "cannot call it")
        assert (first.key, first.jid) == (second.key, second.jid)

    play(story)
    assert "cannot run hand: cannot call it" in caplog.text
    assert "s3cret" not in caplog.text


async def end_of(world: World, name: str) -> None:
    """Run an entry, and let it end on a disk that is full from now on."""
    run = await world.scheduler.run(name, "ann")
    assert run is not None
    assert run.jid is not None
    world.hands.full = "No space left on device"
    world.scheduler.ended(run.jid, State.SUCCEEDED)
    await world.until(lambda: world.scheduler.stuck)


def test_nothing_begins_while_nothing_can_be_kept_and_then_it_does(caplog: pytest.LogCaptureFixture) -> None:
    """S25, R-A20."""
    async def story(world: World) -> None:
        await end_of(world, "first")
        assert world.scheduler.stuck == "No space left on device"
        with pytest.raises(JrError, match="cannot change the schedule: its journal cannot be written: No space left"):
            await world.scheduler.run("hand", "ann")
        assert len(world.hands.begun) == 1
        world.hands.full = ""
        await world.until(lambda: len(world.hands.begun) == 2)
        assert (world.scheduler.stuck, world.verdicts()) == ("", ["ran", "ran"])

    play(story)
    assert caplog.text.count("cannot write the schedule's journal") == 1
    assert caplog.text.count("can be written again") == 1


@pytest.mark.parametrize("verb", ["run", "newest", "skip", "postpone", "hold", "release"])
def test_a_verb_that_the_journal_does_not_take_never_was(verb: str) -> None:  # R-A20, S25
    async def story(world: World) -> None:
        scheduler = world.scheduler
        await scheduler.load(parsed({**ENTRIES, "seldom": {"function": "test.ping", "every": "12h"}}), {})
        running = await scheduler.run("newest", "ann")
        assert running is not None
        assert running.jid is not None
        await world.until(lambda: world.hands.begun == [running.jid])
        if verb == "release":
            await scheduler.hold("ann")
        before = world.engine.view(moment())
        steps, wait = len(world.hands.steps), world.engine.wait(moment())
        verbs: dict[str, Callable[[], Awaitable[Any]]] = {
            "run": lambda: scheduler.run("hand", "ann"), "newest": lambda: scheduler.run("newest", "ann"),
            "skip": lambda: scheduler.skip("seldom", None), "hold": lambda: scheduler.hold("ann"),
            "postpone": lambda: scheduler.postpone("seldom", None, moment().wall + 5.0),
            "release": lambda: scheduler.release("run")}
        world.hands.full = "No space left on device"
        with pytest.raises(JrError, match="cannot change the schedule: its journal cannot be written: No space left"):
            await verbs[verb]()
        world.hands.full = ""
        assert _still(world.engine.view(moment())) == _still(before)
        assert (world.engine.wait(moment()) is None) == (wait is None)
        # All that follows is written, and nothing of the verb is in it.
        scheduler.ended(running.jid, State.SUCCEEDED)
        await world.until(lambda: len(world.hands.steps) > steps)
        assert {one.name for step in world.hands.steps[steps:] for one in step.standings} == {"newest"}
        assert (world.hands.begun, world.hands.ended, scheduler.stuck) == ([running.jid], [], "")

    play(story)


def _still(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is shown of entries, without what passing time alone changes."""
    return [{name: value for name, value in row.items() if name != "next" or value is None} for row in rows]


def test_new_entries_judge_first_what_came_due_while_nothing_could_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is disabled meanwhile still has a verdict for each planned time before that."""
    ahead = [0.0]
    monkeypatch.setattr(driver, "moment", lambda: Moment(*(one + ahead[0] for one in moment())))
    often: dict[str, Any] = {"function": "test.ping", "every": "10s", "catch_up": "none"}

    async def story(world: World) -> None:
        await world.scheduler.load(parsed({**ENTRIES, "often": often}), {})
        await end_of(world, "first")
        ahead[0] += 600.0
        with pytest.raises(JrError):
            await world.scheduler.load(parsed({**ENTRIES, "often": {**often, "enabled": False}}), {})
        world.hands.full = ""
        await world.until(lambda: sum(one.count for one in world.hands.kept if one.schedule == "often") >= 59)

    play(story)


def test_what_is_kept_late_is_late_and_what_is_too_late_never_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = [0.0]
    wall, boottime = clock.wall, clock.boottime
    monkeypatch.setattr(clock, "wall", lambda: wall() + ahead[0])
    monkeypatch.setattr(clock, "boottime", lambda: boottime() + ahead[0])

    async def story(world: World) -> None:
        for first, seconds in (("first", 2.0), ("first", 6.0), ("first_strict", 6.0), ("first", 400.0)):
            await end_of(world, first)
            ahead[0] += seconds
            world.hands.full = ""
            count = len(world.hands.kept)
            await world.until(partial(_is_kept, world, count))
            for jid in [one.jid for one in world.hands.kept if one.jid is not None]:
                world.scheduler.ended(jid, State.SUCCEEDED)
        await world.until(lambda: len(world.hands.kept) == 10)
        follow = [one for one in world.hands.kept if one.cause == "then"]
        assert [one.verdict for one in follow] == ["ran", "late", "ran", "failed_to_start", "ran", "failed_to_start"]
        assert all(one.at - one.planned > LATE for one in follow if one.verdict == "late"), "by what it is shown with"
        assert len(world.hands.begun) == 6

    play(story)


def _is_kept(world: World, count: int) -> bool:
    return len(world.hands.kept) > count and not world.scheduler.stuck


@pytest.mark.parametrize(("answer", "verdict"), [
    (True, "ran"), (False, "skipped_should_run"), (JrError("it hangs"), "ran")])
def test_should_run_decides_and_its_failure_does_not(answer: bool | JrError, verdict: Verdict) -> None:
    """P12."""
    async def story(world: World) -> None:
        world.hands.answer = answer
        run = await world.scheduler.run("asked", "ann")
        assert run is not None
        assert run.verdict == verdict
        await world.until(lambda: len(world.hands.begun) == (verdict == "ran"))

    play(story)


def test_a_newer_run_takes_the_place_of_one_that_goes_on() -> None:
    async def story(world: World) -> None:
        first = await world.scheduler.run("newest", "ann")
        assert first is not None
        assert first.jid is not None
        assert await world.scheduler.run("newest", "ann") is None
        await world.until(lambda: world.hands.ended == [first.jid])
        world.scheduler.ended(first.jid, State.KILLED)
        await world.until(lambda: len(world.hands.begun) == 2)

    play(story)


def test_a_run_of_an_earlier_start_begins_with_the_same_jid() -> None:
    """R-B31."""
    entries = parsed(ENTRIES)
    now = moment().wall
    run = Occurrence(schedule="hand", planned=now, verdict="ran", at=now, jid=mint(now, None, MINION))

    async def story() -> None:
        world = World()
        world.hands.kept.append(run)
        world.scheduler.open(entries, {}, again=[Begin(entry=entries["hand"], occurrence=run)])
        await world.until(lambda: world.hands.begun == [run.jid])
        assert (await asyncio.wait_for(world.scheduler.run("hand", "ann"), 60.0)).verdict == "skipped_overlap"  # type: ignore[union-attr]
        await world.scheduler.close()

    asyncio.run(story())


class Faulty(Engine):
    """It fails where it is told to."""

    fault = False

    def due(self, now: Moment) -> list[Decision]:
        if self.fault:
            self.fault = False
            raise ZeroDivisionError
        return super().due(now)


def test_a_fault_of_the_engine_costs_one_turn(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        engine = Faulty("m1", UTC, lambda at: mint(at, None, MINION), {}, None, moment())
        world = World(engine)
        engine.fault = True
        world.scheduler.open(parsed({"beat": {"function": "test.ping", "every": "1s"}}), {})
        await world.until(lambda: world.hands.begun)
        await world.scheduler.close()

    asyncio.run(story())
    assert "the scheduler failed, and goes on" in caplog.text


def test_whoever_waits_is_told_that_the_daemon_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, also whoever is being written for: nobody knows then what the disk has."""
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        world = World()
        world.scheduler.open(parsed(ENTRIES), {})
        await world.scheduler.hold("ann")
        monkeypatch.setattr(world.hands, "commit", never)
        releasing = asyncio.create_task(world.scheduler.release("run"))
        await world.until(lambda: world.scheduler._at_work)
        loading = asyncio.create_task(world.scheduler.load({}, {}))
        await asyncio.sleep(0)
        await world.scheduler.close()
        with pytest.raises(JrError, match="cannot tell whether the change of the schedule counts: the daemon ends"):
            await releasing
        with pytest.raises(JrError, match="cannot change the schedule: the daemon ends"):
            await loading

    asyncio.run(story())


def test_a_fault_of_the_hands_leaves_no_entry_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for what nobody thought of, a run has its verdict, and the next one may begin."""
    async def fault(_: object) -> bool:
        raise ZeroDivisionError

    async def story(world: World) -> None:
        monkeypatch.setattr(world.hands, "begin", fault)
        await world.scheduler.run("hand", "ann")
        await world.until(lambda: world.verdicts() == ["ran", "failed_to_start"])
        monkeypatch.undo()
        monkeypatch.setattr(world.hands, "ask", fault)
        run = await world.scheduler.run("asked", "ann")
        assert run is not None
        assert run.verdict == "ran"

    play(story)


def test_a_fault_of_the_journal_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*_: object) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        world, told = World(), asyncio.get_running_loop().create_future()
        world.scheduler.open(parsed(ENTRIES), {}, fatal=told.set_result)
        await world.scheduler.hold("ann")
        monkeypatch.setattr(world.hands, "commit", fault)
        releasing = asyncio.create_task(world.scheduler.release("run"))
        assert await asyncio.wait_for(told, 60.0) == "the schedule failed: ZeroDivisionError"
        await world.scheduler.close()
        releasing.cancel()

    asyncio.run(story())


def test_of_entries_that_cannot_be_kept_yet_only_the_last_ones_wait() -> None:
    async def story(world: World) -> None:
        await end_of(world, "first")
        for number in range(20):
            with pytest.raises(JrError):
                await world.scheduler.load(parsed({f"e{number}": {"function": "test.ping"}}), {})
        assert len(world.scheduler._turns) == 1
        world.hands.full = ""
        await world.until(lambda: [row["name"] for row in world.engine.view(moment())] == ["e19"])

    play(story)


def test_a_host_that_slept_is_not_late_by_all_that_time() -> None:
    """The loop counts no time while the host is suspended: it must not rely on one long sleep of its own."""
    async def story() -> None:
        world = World()
        world.scheduler.open(parsed({"seldom": {"function": "test.ping", "every": "12h"}}), {})
        await world.until(lambda: world.scheduler._timer is not None)
        timer = world.scheduler._timer
        assert timer is not None
        assert timer.when() - asyncio.get_running_loop().time() <= 60.0
        await world.scheduler.close()

    asyncio.run(story())
