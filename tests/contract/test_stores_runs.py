"""What every store promises of planned runs and of the master's own schedule. # R-B05"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from msgspec import structs

from common.ids import MASTER, MinionId
from common.schedule.model import Occurrence
from common.states import State
from master.records import AddJob, Keep, PutOccurrences
from master.store.base import Mark, Run, RunFilter, Store
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, job, pair

A, B = MinionId("a"), MinionId("b")


def verdict(number: int, schedule: str = "tidy", verdict: str = "ran", **more: object) -> Occurrence:
    given = {"schedule": schedule, "planned": NOON + number, "verdict": verdict, "at": NOON + number, **more}
    return Occurrence(**given)  # type: ignore[arg-type]


def listed(store: Store, limit: int = 100, **wanted: object) -> list[Run]:
    found: list[Run] = []
    before: Mark | None = None
    while True:
        page = store.runs(RunFilter(**wanted), limit, before)  # type: ignore[arg-type]
        found += page.runs
        before = page.next
        if before is None:
            return found


def test_comes_back_as_it_was(store: Store) -> None:
    runs = [verdict(3, jid=jid(3, "a"), cause="retry", by="ann", attempt=2, reason="why"),
            verdict(1, verdict="missed", count=1000, last=NOON + 2), verdict(0, verdict="skipped_overlap")]
    store.apply([PutOccurrences(A, runs)], NOON)
    assert [run.occurrence for run in listed(store)] == runs
    assert {run.minion for run in listed(store)} == {A}


def test_the_later_word_on_a_run_replaces_and_keeps_its_place(store: Store) -> None:
    store.apply([PutOccurrences(A, [verdict(1, jid=jid(1, "a"))]), PutOccurrences(B, [verdict(1)])], NOON)
    failed = verdict(1, verdict="failed_to_start", jid=jid(1, "a"), reason="no such function")
    for _ in range(2):  # what comes twice is one run
        store.apply([PutOccurrences(A, [failed])], NOON)
    assert [(run.minion, run.occurrence) for run in listed(store)] == [(B, verdict(1)), (A, failed)]


def test_a_word_that_comes_once_more_and_late_takes_back_no_correction(store: Store) -> None:
    """A minion may tell a page twice, and the first of both may come last."""
    ran = verdict(1, jid=jid(1, "a"))
    failed = verdict(1, verdict="failed_to_start", jid=jid(1, "a"), reason="no such function")
    store.apply([PutOccurrences(A, [ran]), PutOccurrences(A, [failed]), PutOccurrences(A, [ran])], NOON)
    store.apply([PutOccurrences(A, [ran])], NOON)
    assert [run.occurrence for run in listed(store)] == [failed]
    another = verdict(1, jid=jid(2, "a"))  # of a host whose state was lost
    store.apply([PutOccurrences(A, [another])], NOON)
    assert [run.occurrence for run in listed(store)] == [another]


def test_one_run_of_one_minion_is_not_that_of_another(store: Store) -> None:
    same = [PutOccurrences(minion, [verdict(1, attempt=attempt), verdict(2, "other", attempt=attempt)])
            for minion in (A, B, MASTER) for attempt in (0, 1)]
    store.apply(same, NOON)
    assert len(listed(store)) == 12


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_each_filter_and_every_page(store: Store, limit: int) -> None:
    store.apply([PutOccurrences(A, [verdict(number) for number in range(6)]),
                 PutOccurrences(B, [verdict(number, "backup", "missed") for number in range(6)])], NOON)
    numbers = [(run.minion, run.occurrence.planned - NOON) for run in listed(store, limit)]
    assert numbers == [(minion, number) for number in (5, 4, 3, 2, 1, 0) for minion in (B, A)]
    assert len(listed(store, limit, schedule="tidy")) == len(listed(store, limit, schedule="t*")) == 6
    assert len(listed(store, limit, minion=B)) == len(listed(store, limit, verdict="missed")) == 6
    assert listed(store, limit, minion=B, schedule="tidy") == []
    assert len(listed(store, limit, since=NOON + 2, until=NOON + 4)) == 4
    store.apply([PutOccurrences(A, [verdict(-9, verdict="missed", count=7, last=NOON + 5)])], NOON)
    assert len(listed(store, limit, since=NOON + 5)) == 3, "a stretch reaches as far as its last run"


def test_how_the_job_of_a_run_stands(store: Store) -> None:
    own, fleet = jid(1, "a"), jid(2)
    store.apply([AddJob(job(1, minion="a"), [pair(own, "a", State.SUCCEEDED)], False),
                 AddJob(job(2), [pair(fleet, "a", State.SENT), pair(fleet, "b", State.FAILED)], True),
                 PutOccurrences(A, [verdict(1, jid=own), verdict(0, jid=jid(7, "a"))]),
                 PutOccurrences(MASTER, [verdict(2, jid=fleet)])], NOON)
    assert [run.states for run in listed(store)] == [{State.SENT: 1, State.FAILED: 1}, {State.SUCCEEDED: 1}, {}]


def test_they_grow_old_with_the_pairs(store: Store) -> None:  # retention
    store.apply([PutOccurrences(A, [verdict(number) for number in range(5)])], NOON)
    store.age(10.0, NOON)
    store.apply([PutOccurrences(A, [verdict(9), verdict(0, verdict="late")])], NOON)
    while store.expire(5.0, math.inf, 2):
        pass
    assert len(listed(store)) == 6
    assert store.expire(5.0, 10.0, 2) == 2
    while store.expire(5.0, 10.0, 2):
        pass
    assert [run.occurrence for run in listed(store)] == [verdict(9)], "a correction does not make it younger"


def test_what_the_schedule_of_the_master_keeps(store: Store) -> None:
    store.apply([Keep("standing", "tidy", b"1"), Keep("standing", "a", b"2"), Keep("change", "tidy", b"3")], NOON)
    store.apply([Keep("standing", "tidy", b"4"), Keep("standing", "a", None), Keep("hold", "", None)], NOON)
    assert store.kept("standing") == {"tidy": b"4"}
    assert store.kept("change") == {"tidy": b"3"}
    assert store.kept("hold") == {}


def test_a_page_looks_at_no_more_than_a_bite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jr.db")
    many = [structs.replace(verdict(0), planned=NOON + number) for number in range(9_000)]
    store.apply([PutOccurrences(A, many)], NOON)
    page = store.runs(RunFilter(verdict="missed"), 10)
    assert (page.runs, page.next is not None) == ([], True)
    assert listed(store, verdict="missed") == []
    store.close()
