"""Every kind of trigger on a real minion: each planned time within the bounds begins one job, and none beyond. # S24"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common import clock
from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

AHEAD = (4, 15, 45)
"""Seconds until the first run: the agent must have the entries by then, so a slow machine has more attempts."""
KATHMANDU = ZoneInfo("Asia/Kathmandu")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def planned(fleet: Fleet, since: float) -> dict[str, list[float]]:
    """The planned times of each entry that began a job which succeeded; any other verdict fails."""
    found: dict[str, list[float]] = {}
    for run in fleet.run("schedule.audit", "limit=100").json["runs"]:
        if run["planned"] >= since:
            assert run["verdict"] in ("ran", "late", "caught_up"), run
            if run.get("states") == {"succeeded": 1}:
                found.setdefault(run["schedule"], []).append(run["planned"])
    return {name: sorted(times) for name, times in found.items()}


def entries(first: float) -> dict[str, Any]:
    """One of each kind, from `first` to two seconds later."""
    clock_time = datetime.fromtimestamp(first + 1, KATHMANDU)
    bounds = {"function": "test.ping", "start": iso(first), "end": iso(first + 2), "overlap": {"allow": 10},
              "catch_up": "all"}
    triggers: dict[str, dict[str, Any]] = {
        "grid": {"every": "1s"}, "offset": {"every": "2s", "anchor": iso(first - 1_001)},
        "cron": {"cron": "* * * * * *"}, "calendar": {"calendar": {"second": "*"}}, "single": {"once": iso(first + 1)},
        "at": {"at": f"{clock_time:%a %H:%M:%S}", "timezone": KATHMANDU.key},
    }
    return {**{name: bounds | trigger for name, trigger in triggers.items()}, "by-hand": {"function": "test.ping"}}


def listed(fleet: Fleet) -> dict[str, Any]:
    return {entry["name"]: entry for entry in fleet.job("m1", "schedule.list").pair()["return"]}


def begun_in_time(fleet: Fleet) -> float:
    """The first planned time of entries that an agent knew before it came."""
    for ahead in AHEAD:
        first = int(clock.wall()) + ahead
        fleet.configure("m1", schedule=entries(first))
        fleet.restart("m1")
        if listed(fleet)["single"]["once"] == iso(first + 1) and clock.wall() < first:
            return first
    raise AssertionError(f"no agent was there within {AHEAD[-1]} s")


def test_every_trigger_begins_a_job_for_each_of_its_times(fleet: Fleet) -> None:  # F08, F10, F12, F13, P04, P05
    first = begun_in_time(fleet)
    each = [first, first + 1, first + 2]
    expected = {"grid": each, "cron": each, "calendar": each, "offset": [first + 1], "single": [first + 1],
                "at": [first + 1]}
    until(lambda: planned(fleet, first) == expected, what="one job for each planned time")

    found = listed(fleet)
    assert {entry["next"] for entry in found.values()} == {None}
    assert {name for name, entry in found.items() if entry["status"] == "finished"} == expected.keys()
