"""What operators ask of the master and what they are told, over a real core and store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import Raw, structs

from common.clock import MasterClock
from common.codec import pack
from common.control_frames import ANSWER_LIMIT
from common.control_server import Body, Caller
from common.errors import UnreachableError, UsageError
from common.ids import MinionId
from common.messages import Evidence, JobFields
from common.states import State
from master import room, verbs
from master.core.core import Terms
from master.core.effects import PairMoved
from master.records import Job, Outcome, Pair
from master.requests import Defaults
from master.shell import Shell
from master.store.memory import MemoryStore
from master.verbs import Surroundings, Verbs, _hear
from tests.lib.stored import NOON, jid, job, over, published

ANN = Caller(0, "ann", 1)
AROUND = Surroundings(
    defaults=Defaults(start_within=300, grace=10), runners=lambda: [], no_runner=lambda name: f"cannot run {name}",
    join=lambda token, address: token, keys=dict, explain=dict, fingerprint=lambda key: key, status=dict)


class Asked:
    """The verbs of a master whose store holds these jobs, open on m1, and on m2 when their number is even."""

    def __init__(self, jobs: list[Job], done: list[Job]) -> None:
        store = MemoryStore()
        for number, one in enumerate(jobs):
            store.apply([published(one, ["m1", "m2"] if number % 2 == 0 else ["m1"])], NOON)
        for one in done:
            store.apply(over(one), NOON)
        snapshot = store.snapshot()
        self.shell = Shell(store, snapshot, Terms(master="us"), MasterClock(NOON), print)
        self._verbs = Verbs(self.shell, AROUND)

    async def ask(self, verb: str, **fields: Any) -> Body:
        async def reply(item: Body) -> None:
            raise AssertionError(f"nobody asked for {item}")

        return await self._verbs.handle({"v": 1, "verb": verb, **fields}, ANN, reply)

    async def pages(self, verb: str, **fields: Any) -> list[list[str]]:
        """The jids of each page."""
        found: list[list[str]] = []
        cursor = None
        while True:
            end = await self.ask(verb, cursor=cursor, **fields)
            assert len(pack(end)) < ANSWER_LIMIT
            found.append([one if isinstance(one, str) else one["jid"] for one in end["jobs"]])
            cursor = end["next"]
            if cursor is None:
                return found


def played(play: Callable[[Asked], Coroutine[Any, Any, None]], jobs: list[Job], done: list[Job] | None = None) -> None:
    async def scene() -> None:
        asked = Asked(jobs, done or [])
        try:
            await asyncio.wait_for(play(asked), 30)
        finally:
            await asked.shell.close()

    asyncio.run(scene())


def large(number: int, size: int = 100_000) -> Job:
    """A job with arguments of that size."""
    return structs.replace(job(number), fields=JobFields(function="cmd.run", args=Raw(pack(["x" * size])), user="ann"))


# S08


def test_what_is_open_comes_in_pages_oldest_first() -> None:
    async def play(asked: Asked) -> None:
        names = [str(jid(number)) for number in range(5)]
        assert await asked.pages("active") == [names]
        assert await asked.pages("active", limit=2) == [names[:2], names[2:4], names[4:]]
        assert await asked.pages("active", limit=5) == [names]
        assert await asked.pages("active", limit=1, minion="m2") == [[names[0]], [names[2]], [names[4]]]
        assert await asked.pages("active", minion="m3") == [[]]
        gone = await asked.ask("active", limit=2, cursor=str(jid(1) + "-" + "0" * 16))  # a job that is over by now
        assert list(gone["jobs"]) == names[2:4]

    played(play, [job(number) for number in range(5)])


def test_what_is_open_never_outgrows_an_answer() -> None:  # 20 MiB of arguments, which no frame takes
    async def play(asked: Asked) -> None:
        pages = await asked.pages("active", limit=1000)
        assert len(pages) > 4
        assert [name for page in pages for name in page] == [str(jid(number)) for number in range(200)]

    played(play, [large(number) for number in range(200)])


def test_a_page_of_history_never_outgrows_an_answer() -> None:  # S10
    async def play(asked: Asked) -> None:
        pages = await asked.pages("jobs", limit=1000)
        assert len(pages) > 4
        assert [name for page in pages for name in page] == [str(jid(number)) for number in range(199, -1, -1)]

    played(play, [], [large(number) for number in range(200)])


def test_one_job_is_told_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "PAGE_BYTES", 10)

    async def play(asked: Asked) -> None:
        assert await asked.pages("active") == [[str(jid(1))], [str(jid(2))]]

    played(play, [large(1), large(2)])


@pytest.mark.parametrize(("evidence", "told"), [
    (Evidence(asked_signal=12), "signalled"), (Evidence(exit_code=0), "terminal:failed"), (None, "terminal:failed")])
def test_a_job_that_ends_before_its_signal_is_answered(evidence: Evidence | None, told: str) -> None:
    """A job that died of the signal was not "over already"."""
    pair = Pair(jid=jid(1), minion=MinionId("m1"), state=State.FAILED, outcome=Outcome(evidence=evidence))
    done = {MinionId("m1"): "sent", MinionId("m2"): "not connected"}
    _hear(PairMoved(pair), "s", done)
    assert done == {"m1": told, "m2": "not connected"}
    _hear(PairMoved(structs.replace(pair, minion=MinionId("m2"))), "s", done)
    assert done["m2"] == "not connected", "it got no signal"


def test_how_long_a_job_runs_is_master_time() -> None:
    async def play(asked: Asked) -> None:
        opened = asked.shell.core.ledger.jobs[jid(0)]
        opened.pairs[MinionId("m1")] = structs.replace(opened.pairs[MinionId("m1")], state=State.RUNNING, started=1.0)
        opened.running[MinionId("m1")] = asked.shell.clock.now() - 5
        told = (await asked.ask("active"))["jobs"][str(jid(0))]
        assert told["running"]["m1"]["age"] == pytest.approx(5, abs=3)

    played(play, [job(0)])


@pytest.mark.parametrize("fields", [{"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"after": 1}])
def test_what_no_list_takes(fields: dict[str, Any]) -> None:
    async def play(asked: Asked) -> None:
        with pytest.raises(UsageError, match="cannot use"):
            await asked.ask("active", **fields)

    played(play, [])


@pytest.mark.parametrize("metadata", [{str(n): "" for n in range(201)}, {"n" * 201: ""}, {"n": "x" * 4001}])
def test_metadata_is_bounded(metadata: dict[str, str]) -> None:
    async def play(asked: Asked) -> None:
        with pytest.raises(UsageError, match=r"cannot use .*metadata"):
            await asked.ask("publish", target="*", function="test.ping", metadata=metadata)

    played(play, [])


def test_more_open_jobs_than_memory_should_hold_are_turned_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "OPEN_MOST", 2)

    async def play(asked: Asked) -> None:
        for _ in range(2):
            with pytest.raises(UnreachableError, match="cannot take another job now: 2 are open already"):
                await asked.ask("publish", target="m1", target_type="list", function="test.ping")
        assert caplog.text.count("turning jobs away") == 1

    played(play, [job(1), job(2)])
