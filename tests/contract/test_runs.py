"""What a start of the agent makes of the runs that an earlier one left: R-B31, F28."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from common.host.job import Job, Limits
from common.host.jobs import Jobs
from common.ids import Jid, MinionId, mint
from common.proc.record import JobRecord
from common.schedule.model import Entry, Occurrence, Step
from common.states import State
from config.settings import MinionSettings
from minion.journal import Journal, Unended
from minion.runs import Left, Runs

NOON = 1_700_000_000.0
SETTINGS = MinionSettings(id=MinionId("m1"))
ENTRY = Entry(name="tick", function="test.ping", every=1.0, start_deadline=10.0)


def run(number: int, **fields: Any) -> Occurrence:
    jid = mint(NOON + number, None, SETTINGS.id)
    return Occurrence(schedule="tick", planned=NOON + number, verdict="ran", at=NOON + number + 0.5, jid=jid, **fields)


def jid_of(one: Occurrence) -> Jid:
    assert one.jid is not None
    return one.jid


def opened(state: Path, held: Jobs, last: Jid | None = None) -> Runs:
    runs = Runs(SETTINGS, Journal(state), lambda: None)
    runs.open(None, held, None, last)  # type: ignore[arg-type]
    return runs


def hold(held: Jobs, one: Occurrence, state: State, schedule: str | None = "tick") -> None:
    record = JobRecord(jid=jid_of(one), function="test.ping", args=[], kwargs={}, user="schedule", state=state,
                       schedule=schedule, accepted=NOON, deadline_boot_id="b", deadline=0.0, args_packed="",
                       kwargs_packed="")
    held.jobs[record.jid] = Job(record=record, state=state, local=True)


def test_each_run_is_found_as_the_host_knows_it(tmp_path: Path) -> None:
    held = Jobs(Limits(boot_id="b"))
    going, queued, spooled, acked, told, lost, unbegun = (run(number) for number in range(7))
    hold(held, going, State.RUNNING)
    hold(held, queued, State.QUEUED)
    hold(held, spooled, State.FAILED)
    held.claims.add(jid_of(acked), 1e9)
    unended = [Unended(one, False) for one in (going, queued, spooled, acked, told, unbegun)] + [Unended(lost, True)]
    left = opened(tmp_path, held).left(unended, {jid_of(told): State.SUCCEEDED})

    assert left == Left(running=[going, queued, spooled, acked, told, lost], unbegun=[unbegun],
                        ended={jid_of(spooled): State.FAILED, jid_of(told): State.SUCCEEDED,
                               jid_of(acked): State.LOST, jid_of(lost): State.LOST})


def test_a_run_that_no_journal_has_goes_on_all_the_same(tmp_path: Path) -> None:
    held = Jobs(Limits(boot_id="b"))
    hold(held, run(1), State.RUNNING)
    hold(held, run(2), State.SUCCEEDED)
    hold(held, run(3), State.RUNNING, schedule=None)
    left = opened(tmp_path, held).left([], {})

    assert [(one.schedule, one.jid) for one in left.running] == [("tick", run(1).jid)]
    assert (left.ended, left.unbegun) == ({}, [])


def test_what_never_began_begins_with_its_jid_and_its_deadline(tmp_path: Path) -> None:
    runs = opened(tmp_path, Jobs(Limits(boot_id="b")))
    retried = run(2, attempt=1)
    left = Left(running=[], ended={}, unbegun=[run(1), retried])
    spread = structs.replace(ENTRY, splay=100.0)
    free = structs.replace(ENTRY, start_deadline=None)

    async def settled(entry: Entry) -> list[Any]:
        return [(one.occurrence, one.until) for one in await runs.settle(left, {"tick": entry}, (), Step())]

    async def story() -> None:
        assert await settled(ENTRY) == [(run(1), NOON + 11.0), (retried, NOON + 12.5)]
        assert await settled(free) == [(run(1), None), (retried, None)]
        (_, first), (_, again) = await settled(spread)
        assert NOON + 11.0 < first < NOON + 111.0, "it counts from when this host is due"
        assert again == NOON + 12.5
        await runs.close()

    asyncio.run(story())


@pytest.mark.parametrize(("broken", "why"), [((), "its entry is gone"), (("tick",), "its entry cannot be used")])
def test_what_never_began_and_has_no_entry_any_more_has_that_as_its_verdict(
        tmp_path: Path, broken: tuple[str, ...], why: str) -> None:
    journal = Journal(tmp_path)
    journal.write(Step(occurrences=(run(1), run(2))))
    journal.close()
    runs = opened(tmp_path, Jobs(Limits(boot_id="b")))
    left = Left(running=[run(2)], ended={jid_of(run(2)): State.LOST}, unbegun=[run(1)])

    async def story() -> None:
        assert await runs.settle(left, {}, broken, Step()) == []
        await runs.close()

    asyncio.run(story())
    journal = Journal(tmp_path)
    assert [one.occurrence for one in journal.load().unended] == [run(2)], "until its end was told"
    told = {one.planned: one for one in journal.page()[1]}
    assert told[run(2).planned] == run(2)
    assert (told[run(1).planned].verdict, told[run(1).planned].jid) == ("failed_to_start", run(1).jid)
    assert str(told[run(1).planned].reason).endswith(why)


def test_jids_go_on_above_the_last_one_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    runs = opened(tmp_path, Jobs(Limits(boot_id="b")), last=run(100).jid)
    first, second = runs.mint(NOON), runs.mint(NOON)
    assert jid_of(run(100)) < first < second
