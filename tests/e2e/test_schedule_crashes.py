"""R-B31, S25, F28: an agent that is killed at its calls while runs are due. None runs twice, none is lost, each planned
time has its one verdict."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.strace import unusable, watching
from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

BEGUN = ("ran", "late", "caught_up")
STEP = 1.0


class Audit(NamedTuple):
    """What the master knows of an entry: the jids that began, and how often each planned time has a verdict."""

    begun: list[str]
    verdicts: Counter[float]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        fleet.configure("m1", schedule={"tick": {
            "function": "cmd.run", "args": [f"echo $JR_JID >> {fleet.base / 'ticks'}"], "every": "1s"}})
        fleet.restart("m1")
        yield fleet


def ticks(fleet: Fleet) -> list[str]:
    """The jids that ran, as they say themselves."""
    path: Path = fleet.base / "ticks"
    return path.read_text().split() if path.exists() else []


def more_ticks(fleet: Fleet) -> None:
    """Wait for a run from now on."""
    count = len(ticks(fleet))
    until(lambda: len(ticks(fleet)) > count, what="a run")


def audit(fleet: Fleet, name: str = "tick") -> Audit:
    runs: list[Any] = fleet.run("schedule.audit", f"name={name}", "limit=10000").json["runs"]
    verdicts = Counter(round(run["planned"] + number * STEP, 3) for run in runs for number in range(run["count"]))
    return Audit([run["jid"] for run in runs if run["verdict"] in BEGUN], verdicts)


def all_is_told(fleet: Fleet) -> Audit:
    """Hold the schedule, and wait until all that ran is known, with its end."""
    assert fleet.job("m1", "schedule.hold").code == 0

    def look() -> Any:
        found, ran = audit(fleet), ticks(fleet)
        open_jobs = [jid for jid, job in fleet.run("jobs.active").json.items() if job.get("schedule")]
        return found if sorted(found.begun) == sorted(ran) and not open_jobs else None

    try:
        found: Audit = until(look, what="the verdicts of all runs")
        return found
    finally:
        assert fleet.job("m1", "schedule.release").code == 0


def check(fleet: Fleet) -> None:
    """Every job of a run ran once, and every planned time between the first and the last has one verdict."""
    found = all_is_told(fleet)
    ran = ticks(fleet)
    assert len(ran) == len(set(ran)), "P2: none ran twice"
    times = sorted(found.verdicts)
    assert set(found.verdicts.values()) == {1}
    assert len(times) == round((times[-1] - times[0]) / STEP) + 1, "none is missing"


@pytest.mark.skipif(unusable() is not None, reason=f"needs strace: {unusable()}")
def test_an_agent_that_dies_at_its_calls_while_a_run_is_due(fleet: Fleet) -> None:
    more_ticks(fleet)
    # As fdatasync begins the decision stands in the journal, and no job is there yet; fsync and rename are about the
    # claim, the record and the return of a job.
    for call, number in (("fdatasync", 1), ("fsync", 1), ("fdatasync", 2), ("rename", 1)):
        pid = fleet.pid("m1")
        assert pid is not None
        with watching(pid, call, f"signal=SIGKILL:when={number}"):
            until(lambda: fleet.pid("m1") is None, what=f"its death at {call} {number}")
        fleet.up()
        more_ticks(fleet)
    check(fleet)


def test_two_restarts_in_a_row_in_the_due_second(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.end("m1", signal.SIGKILL)
        fleet.up()
    more_ticks(fleet)
    check(fleet)


def test_verdicts_wait_for_a_master_that_is_away_and_come_once(fleet: Fleet) -> None:
    """R-B31, F29: also over a kill of the agent meanwhile."""
    fleet.end("master", signal.SIGKILL)
    more_ticks(fleet)
    fleet.end("m1", signal.SIGKILL)
    fleet.up_alone("m1")
    more_ticks(fleet)
    fleet.up()
    check(fleet)
