"""The master's scheduler at its store: verdict, job and ledger of a run are one transaction. # R-S25, R-I04"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC
from typing import Any

import pytest

from common.clock import MasterClock
from common.ids import MASTER, Jid
from common.link import Connection, Key
from common.messages import Held, Message
from common.schedule.driver import Scheduler, moment
from common.schedule.engine.engine import Engine
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import Change
from common.schedule.model import Check, Entry, Hold
from common.states import State
from common.targets import parse
from master import hands as kept
from master import room
from master.core.core import LOCAL, Terms
from master.core.wishes import Wish
from master.hands import MasterHands, state_of
from master.records import AddJob, Keep, PutMinion, PutOccurrences
from master.records import Change as Saved
from master.requests import Defaults
from master.schedules import _ended, _tell_ends
from master.shell import Shell
from master.store.base import RunFilter, StoreError
from master.store.memory import MemoryStore
from tests.lib.cores import FIELDS, minion
from tests.lib.links import until_async
from tests.lib.stored import NOON


class Disk(MemoryStore):
    """Remembers what was written together, and is full as often as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Saved]] = []
        self.full = 0

    def apply(self, changes: Sequence[Saved], now: float) -> None:
        if self.full and any(isinstance(change, AddJob) for change in changes):
            self.full -= 1
            raise StoreError("cannot save: the disk is full")
        super().apply(changes, now)
        self.batches.append(list(changes))


class Scene:
    """A master with m1, which is away, and with entries that come due at once."""

    def __init__(self, *entries: Entry) -> None:
        self.disk = Disk()
        self.disk.apply([PutMinion(minion("m1"))], NOON)
        snapshot = self.disk.snapshot()
        self.shell = Shell(self.disk, snapshot, Terms(master="us"), MasterClock(snapshot.latest), print)
        host = Here(self)
        self.shell.attach(host, host)
        host.restart()
        self.hands = MasterHands(self.shell, Defaults(start_within=60, grace=1), lambda: ["mine.tidy"],
                                 lambda name: f"cannot find {name}", self.asked)
        self.entries = {entry.name: entry for entry in entries}
        self.scheduler: Scheduler

    async def asked(self, check: Check, jid: Jid) -> bool:
        return check.function == "mine.yes"

    async def begun(self) -> Scheduler:
        """The scheduler of one more start of the master."""
        engine = Engine("master", UTC, self.hands.mint, kept.standings(self.disk), kept.hold(self.disk), moment())
        scheduler = Scheduler(engine, self.hands)
        self.shell.watchers.on_done(lambda event: _ended(self.hands, scheduler, event))
        runs = kept.unended(self.disk)
        self.hands.kept(kept.hold(self.disk), runs)
        scheduler.open(self.entries, {}, runs)
        await _tell_ends(self.shell, scheduler, runs)
        return scheduler

    def runs(self, name: str = "*") -> list[Any]:
        return [run.occurrence for run in self.disk.runs(RunFilter(schedule=name), 100).runs]

    async def judged(self, name: str) -> Any:
        """The first verdict on an entry."""
        await until_async(lambda: self.runs(name), "a verdict")
        return self.runs(name)[-1]


class Here:
    """No hub, and the master's own host, which takes all and ends nothing."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def deliver(self, message: Message) -> None: ...

    def restart(self) -> None:
        shell = self._scene.shell
        now = shell.clock.now()
        shell.core.local_up(now)
        shell.apply(shell.core.received(LOCAL, MASTER, Held(jobs=[], last=True), now))

    def send(self, connection: Connection, frame: bytes) -> bool:
        return False

    def drop(self, connection: Connection) -> None: ...

    def drop_key(self, key: Key) -> None: ...

    def key_of(self, connection: Connection) -> Key | None:
        return None

    def close(self) -> None: ...


def entry(name: str = "tidy", **fields: Any) -> Entry:
    given = {"function": "mine.tidy", "run_on_start": True, "once": "2040-01-01T00:00", **fields}
    return parse_entry(name, given, master=True)


def played(play: Callable[[Scene], Coroutine[Any, Any, None]], *entries: Entry,
           full: int = 0) -> None:
    async def scene() -> None:
        scene = Scene(*entries)
        scene.scheduler = await scene.begun()
        scene.disk.full = full
        try:
            await asyncio.wait_for(play(scene), 60)
        finally:
            await scene.scheduler.close()
            await scene.shell.close()

    asyncio.run(scene())


def test_verdict_job_and_standing_are_one_transaction() -> None:  # DESIGN 10
    async def play(scene: Scene) -> None:
        run = await scene.judged("tidy")
        batch = next(batch for batch in scene.disk.batches if any(isinstance(one, AddJob) for one in batch))
        assert {type(one) for one in batch} >= {AddJob, PutOccurrences, Keep}
        assert {one.kind for one in batch if isinstance(one, Keep)} == {"standing", "run"}
        job = scene.disk.job(run.jid)
        assert (job.fields.schedule, job.fields.user, job.target_type) == ("tidy", "schedule", "runner")
        assert job.metadata == {"team": "web"}
        assert job.fields.timeout == 60

    played(play, entry(metadata={"team": "web"}, timeout="1m"))


def test_a_full_disk_has_none_of_it_and_then_all_of_it_once() -> None:
    async def play(scene: Scene) -> None:
        run = await scene.judged("tidy")
        assert run.verdict == "ran"
        assert [run.jid for run in scene.runs()] == [run.jid]
        assert sum(isinstance(one, AddJob) for batch in scene.disk.batches for one in batch) == 1
        assert scene.disk.full == 0

    played(play, entry(), full=1)


@pytest.mark.parametrize(("fields", "reason"), [
    ({"function": "mine.other"}, "cannot find mine.other"),
    ({"function": "test.ping", "target": "zz*"}, "no minion matches 'zz*'; nothing was sent"),
])
def test_a_run_that_can_have_no_job_is_stored_as_what_it_is(fields: dict[str, Any], reason: str) -> None:
    async def play(scene: Scene) -> None:
        run = await scene.judged("tidy")
        assert (run.verdict, run.reason) == ("failed_to_start", reason)
        await until_async(lambda: scene.hands.why_not(run.jid) == reason, "the reason for whoever asked")
        assert kept.unended(scene.disk) == []
        await until_async(lambda: kept.standings(scene.disk)["tidy"].failures == 1, "the engine knows")
        assert len(scene.runs()) == 1

    played(play, entry(**fields))


def test_a_master_without_room_begins_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "OPEN_MOST", 0)

    async def play(scene: Scene) -> None:
        run = await scene.judged("tidy")
        assert (run.verdict, "0 are open already" in run.reason) == ("failed_to_start", True)

    played(play, entry())


def test_a_start_knows_the_runs_that_go_on_and_those_that_ended_without_it() -> None:  # R-S25
    async def play(scene: Scene) -> None:
        first = await scene.judged("fleet")
        await until_async(lambda: kept.standings(scene.disk)["fleet"].last_state == "undelivered", "its end")
        assert (first.verdict, [run.schedule for run in kept.unended(scene.disk)]) == ("ran", ["tidy"])
        await scene.scheduler.close()
        scene.entries = {"tidy": entry(run_on_start=False)}
        scene.scheduler = await scene.begun()
        refused = await scene.scheduler.run("tidy", "ann")
        assert refused is not None
        assert refused.verdict == "skipped_overlap", "its run goes on"
        jid = kept.unended(scene.disk)[0].jid
        await scene.scheduler.close()
        scene.shell.watchers.on_done(lambda event: None)  # the master is away while it ends
        assert jid is not None
        await scene.hands.end(jid, "enough")
        opened = scene.shell.core.ledger.jobs[jid]
        assert {stop.by for stop in opened.stops[MASTER].values()} == {"schedule: enough"}, "who asks why is told"
        # What a minion said as the master came up again is on its way to the store as the schedule begins.
        saving = asyncio.ensure_future(scene.shell.committed([
            *scene.shell.core.ledger.close(opened, MASTER, State.LOST, "gone", NOON),
            *scene.shell.core.ledger.finish(opened, NOON)]))
        await asyncio.sleep(0)  # for it to be issued
        scene.scheduler = await scene.begun()
        await until_async(lambda: kept.standings(scene.disk)["tidy"].last_state == "lost", "its end")
        await saving
        assert kept.unended(scene.disk) == []
        again = await scene.scheduler.run("tidy", "ann")
        assert again is not None
        assert again.verdict == "ran"

    played(play, entry(), entry("fleet", function="test.ping", target="m1"))


def test_a_job_that_is_no_run_costs_the_schedule_nothing() -> None:
    async def play(scene: Scene) -> None:
        wish = Wish(fields=FIELDS, target="m1", target_type="list", start_within=60)
        jid, effects = scene.shell.core.wishes.publish(wish, parse("list", "m1"), scene.shell.clock.now())
        await scene.shell.committed(effects)
        assert scene.disk.job(jid).done is not None
        batches = len(scene.disk.batches)
        await scene.scheduler.load(scene.entries, {})
        assert len(scene.disk.batches) == batches

    played(play)


def test_a_hold_and_changes_are_kept() -> None:  # R-I04
    async def play(scene: Scene) -> None:
        await scene.scheduler.hold("ann")
        hold = kept.hold(scene.disk)
        assert isinstance(hold, Hold)
        assert hold.by == "ann"
        await scene.scheduler.release("run")
        assert kept.hold(scene.disk) is None
        change = Change(name="tidy", fields={"every": "1h"}, by="ann", at=NOON)
        await scene.hands.keep([change, Change(name="other", fields=None)])
        assert kept.changes(scene.disk) == [Change(name="other", fields=None), change]
        await scene.hands.keep([Change(name="tidy", fields={})])
        assert kept.changes(scene.disk) == [Change(name="other", fields=None)]

    played(play)


def test_a_question_decides_and_its_failure_does_not() -> None:  # R-S24
    async def play(scene: Scene) -> None:
        assert (await scene.judged("yes")).verdict == "ran"
        assert (await scene.judged("no")).verdict == "skipped_should_run"

    played(play, entry("yes", should_run={"function": "mine.yes"}), entry("no", should_run={"function": "mine.no"}))


def test_secrets_of_an_entry_stand_in_no_verdict_and_no_job() -> None:
    async def play(scene: Scene) -> None:
        run = await scene.judged("tidy")
        job = scene.disk.job(run.jid)
        assert b"s3cret" not in bytes(job.fields.kwargs)
        assert b"s3cret" in bytes(scene.disk.snapshot().jobs[0].secrets)

    played(play, entry(kwargs={"token": "s3cret"}, secret=["token"]))


@pytest.mark.parametrize(("counts", "state"), [
    ({State.SUCCEEDED: 2}, State.SUCCEEDED), ({State.SUCCEEDED: 2, State.FAILED: 1}, State.FAILED),
    ({State.KILLED: 1, State.SUCCEEDED: 0}, State.KILLED), ({State.UNDELIVERED: 3}, State.UNDELIVERED),
    ({State.KILLED: 2, State.UNDELIVERED: 1}, State.KILLED), ({State.KILLED: 1, State.SUCCEEDED: 5}, State.KILLED),
    ({State.KILLED: 1, State.FAILED: 1}, State.FAILED), ({State.KILLED: 1, State.RUNNING: 1}, State.FAILED),
    ({State.SUCCEEDED: 1, State.UNDELIVERED: 1}, State.FAILED),
    ({}, State.FAILED), ({State.RUNNING: 1}, State.FAILED)])
def test_how_a_whole_job_ended(counts: dict[State, int], state: State) -> None:
    assert state_of(counts) is state
