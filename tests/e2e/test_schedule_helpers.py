"""The helpers for those who write periods and entries: `jr-call` on a host with settings, no agent and no master."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.schedule.times.periods import Segment, union
from tests.lib.fleet import Done, Fleet, started

CASES = json.loads((Path(__file__).parents[1] / "data/timeperiods.json").read_text("utf-8"))["cases"]
GOLDEN = [case for case in CASES
          if case["op"] == "segments" and "segments" in case["expect"] and not case.get("desired")]
CHOSEN = GOLDEN[::max(1, len(GOLDEN) // 20)][:20]
"""Every case is tried in tests/unit/test_periods_icinga.py; these go through the command."""


class Host:
    """A host where no daemon runs, and none ever did."""

    def __init__(self, base: Path, number: int = 0) -> None:
        self.root = base / f"r{number}"
        self._fleet = Fleet(base, {"JR_MINION_ID": "alone"})

    def write(self, **settings: Any) -> None:
        path = self.root / "etc/jr/minion.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(settings))

    def other(self, number: int) -> Host:
        """One more such host."""
        return Host(self.root.parent, number)

    def __call__(self, *words: str) -> Done:
        return self._fleet.command("jr-call", "-o", "json", *words, root=self.root)

    def value(self, *words: str) -> Any:
        ended = self(*words)
        assert ended.code == 0, ended
        return ended.json["alone"]["return"]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    base = Path(tempfile.mkdtemp(prefix="jr-e2e-", dir="/tmp"))
    try:
        yield Host(base)
    finally:
        shutil.rmtree(base)


def written(case: Any, number: int) -> dict[str, Any]:
    """The period of a case and those that it names, as they stand in a settings file."""
    given, periods = case["input"], {}
    mine: dict[str, Any] = {**given["ranges"], "timezone": case["tz"]}
    for key in ("includes", "excludes"):
        for place, ranges in enumerate(given.get(key, [])):
            periods[f"{key}{number}-{place}"] = {**ranges, "timezone": case["tz"]}
            mine.setdefault(key, []).append(f"{key}{number}-{place}")
    if not given.get("prefer_includes", True):
        mine["prefer_includes"] = False
    return {**periods, f"case{number}": mine}


def test_segments_of_golden_cases(host: Host) -> None:  # I20, I21
    assert len(CHOSEN) >= 15
    assert any("includes" in case["input"] or "excludes" in case["input"] for case in CHOSEN)

    def ask(number: int) -> Any:
        given = CHOSEN[number]["input"]
        here = host.other(number + 1)  # two calls without an agent cannot share a state folder
        here.write(periods=written(CHOSEN[number], number))
        return here.value("schedule.segments", f"case{number}", iso(given["begin"]), iso(given["end"]))

    with ThreadPoolExecutor(3) as pool:
        for case, rows in zip(CHOSEN, pool.map(ask, range(len(CHOSEN))), strict=True):
            given = case["input"]
            expected = union(Segment(max(begin, given["begin"]), min(end, given["end"]))
                             for begin, end in case["expect"]["segments"])
            assert [(row["begin_epoch"], row["end_epoch"]) for row in rows] == expected, case["id"]


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def test_times_are_those_of_the_periods_zone(host: Host) -> None:  # I21
    rows = host.value("schedule.segments", "{monday - sunday: '05:00-06:00', timezone: Asia/Kathmandu}",
                      "2026-06-01", "2026-06-02")
    assert rows == [{"begin": "2026-06-01T05:00:00+05:45", "end": "2026-06-01T06:00:00+05:45",
                     "begin_epoch": 1780269300.0, "end_epoch": 1780272900.0}]


def test_the_next_runs_and_words_by_name_and_as_written(host: Host) -> None:  # B07
    host.write(schedule={"nightly": {"function": "cmd.run", "at": "02:30", "timezone": "Europe/Berlin",
                                     "except": "holidays"}, "bad": {"function": "cmd.run", "evry": "5m"}},
               periods={"holidays": {"2026-03-28": "00:00-24:00", "timezone": "Europe/Berlin"}})
    assert [row["time"] for row in host.value("schedule.next", "nightly", "2026-03-27", "3")] == [
        "2026-03-27T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert [row["time"] for row in host.value("schedule.next", "{every: 6h, timezone: UTC}", "2026-03-27", "2")] == [
        "2026-03-27T06:00:00+00:00", "2026-03-27T12:00:00+00:00"]
    assert len(host.value("schedule.next", "* * * * *")) == 5
    told = host.value("schedule.explain", "*/5 9-17 * * 1-5", "2")
    assert told["explained"][0].startswith("every 5 minutes from 09:00 to 17:55, on Monday to Friday")
    assert len(told["next"]) == 2
    assert host.value("schedule.periods")["periods"] == {
        "holidays": {"2026-03-28": "00:00-24:00", "timezone": "Europe/Berlin"}}
    ended = host("schedule.next", "nightli", "2026-03-27")
    assert ended.code == 1
    assert 'did you mean "nightly"' in ended.json["alone"]["evidence"]["reason"]
    assert "evry" in host("schedule.next", "bad").json["alone"]["evidence"]["reason"]


def test_a_simulation_without_agent_and_master(host: Host) -> None:  # B07
    path = host.root.parent / "s.yaml"
    path.write_text("one: {function: test.ping, at: '03:00'}\n")
    found = host.value("schedule.simulate", str(path), "days=3", "from=2026-06-01")
    assert (found["entries"][0]["runs"], found["problems"]) == (3, [])
    path.write_text("one: {function: test.ping, calendar: {year: 2025}}\n")
    ended = host("schedule.simulate", str(path))
    assert (ended.code, len(ended.json["alone"]["return"]["problems"])) == (1, 1)


def test_a_real_fleet_is_simulated() -> None:  # B07, S24
    settings = {
        "JR_MINION_PERIODS": "{never: {2020-01-01: '00:00-24:00'}}",
        "JR_MINION_SCHEDULE": "{hourly: {function: test.ping, cron: '0 * * * *'}, "
                              "lost: {function: test.ping, every: 1h, during: never}}",
        "JR_MASTER_SCHEDULE": "{patch: {function: test.ping, target: '*', cron: '30 * * * *'}}",
    }
    with started(1, lambda _: settings) as fleet:
        ended = fleet.run("schedule.simulate", "days=1")
        hourly = fleet.run("schedule.simulate", "days=1", "name=hourly")
        own = fleet.run("schedule.simulate", "days=1", "minion=master")
    assert ended.code == 1, ended
    assert ended.json["problems"] == ["lost: it can never run: the period 'never' never opens"]
    (entry,) = own.json["entries"]
    assert (own.code, entry["name"], entry["members"], own.json["load"]["starts"]) == (0, "patch", ["master"], 24)
    (entry,) = hourly.json["entries"]
    assert (hourly.code, entry["members"], entry["runs"]) == (0, ["m1"], 24)
