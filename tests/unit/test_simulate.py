"""The simulator: runs of a whole fleet, overlaps by the durations of the past, load after splay, and its table."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common.output import render
from common.schedule.ahead.simulate import ALL_RUNS, Durations, Member, durations, simulate
from common.schedule.engine.splay import offset
from common.schedule.model import Entry
from common.schedule.times.periods import Period

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 6, 1, 12, tzinfo=BERLIN).timestamp()
DAY = 86_400.0


def entry(name: str = "one", **fields: Any) -> Entry:
    return Entry(name=name, function="test.ping", **fields)


def run(*entries: Entry, minions: int = 1, past: dict[str, Durations] | None = None, days: float = 1.0,
        **member: Any) -> dict[str, Any]:
    members = [Member(f"m{number}", {entry.name: entry for entry in entries}, {}, BERLIN, **member)
               for number in range(1, minions + 1)]
    return simulate(members, NOON, NOON + days * DAY, past or {}, offset, BERLIN)


def took(seconds: float, slow: float | None = None) -> dict[str, Durations]:
    return {"one": Durations(20, seconds, slow or seconds, slow or seconds)}


def test_an_entry_of_many_minions_is_told_once() -> None:  # B07
    told = run(entry(at=("03:00",)), entry("two", every=3600.0), minions=3)
    one, two = told["entries"]
    assert (one["name"], one["members"], one["runs"], one["zone"]) == ("one", ["m1", "m2", "m3"], 1, "Europe/Berlin")
    assert one["next"] == ["2026-06-02T03:00:00+02:00"]
    assert (two["runs"], len(two["next"])) == (24, 10)
    assert (told["from"], told["problems"]) == ("2026-06-01T12:00:00+02:00", [])


def test_what_differs_between_minions_is_told_apart() -> None:  # B07
    night, day = (Period({"monday - sunday": times}, BERLIN) for times in ("22:00-06:00", "06:00-22:00"))
    both = {"one": entry(at=("03:00",), during=("mine",))}
    members = [Member("m1", both, {"mine": night}, BERLIN, "night"), Member("m2", both, {"mine": day}, BERLIN, "day"),
               Member("m3", both, {"mine": night}, BERLIN, "night")]
    told = simulate(members, NOON, NOON + DAY, {}, offset, BERLIN)
    assert [item["members"] for item in told["entries"]] == [["m1", "m3"], ["m2"]]
    assert told["problems"] == ["one: it can never run: none of its times lies in its window"]


@pytest.mark.parametrize(("fields", "seconds", "problem"), [
    ({"every": 300.0}, 400.0, "one usually takes 6 minutes 40 seconds, so 144 of 288 are skipped"),
    ({"every": 300.0}, 299.0, ""),
    ({"every": 300.0}, 300.0, ""),
    ({"every": 300.0, "base": "end"}, 4000.0, ""),
    ({"continuous": True}, 4000.0, ""),
    ({"every": 3600.0, "overlap": "kill"}, 4000.0, "so 23 of 24 kill the one before"),
    ({"every": 3600.0, "overlap": "queue"}, 4000.0, "so 23 of 24 have to wait"),
    ({"every": 3600.0, "overlap": "allow", "allow": 2}, 7000.0, ""),
    ({"every": 3600.0, "overlap": "allow", "allow": 2}, 7300.0, "so 8 of 24 are skipped, with 2 going on"),
    ({"at": ("02:00", "02:30")}, 2000.0, "so 1 of 2 are skipped"),
])
def test_runs_that_must_overlap(fields: dict[str, Any], seconds: float, problem: str) -> None:  # B07
    told = run(entry(**fields), past=took(seconds))
    (found,) = told["problems"] or [""]
    assert problem in found
    assert bool(found) == bool(problem)


def test_runs_that_overlap_at_times_are_no_problem() -> None:  # B07
    told = run(entry(every=300.0), past=took(100.0, 301.0))
    assert told["problems"] == []
    assert told["entries"][0]["warnings"] == [
        "its runs overlap: one at times takes 5 minutes 1 second, so 144 of 288 are skipped"]


def test_the_load_is_that_after_splay() -> None:  # B07
    together, spread = (run(entry(at=("03:00",), splay=splay), minions=100) for splay in (0.0, 600.0))
    (peak,) = together["load"]["busiest"]
    assert peak == {"minute": "03:00", "starts": 100, "days": 1, "day": "2026-06-02", "entries": {"one": 100}}
    assert (together["load"]["starts"], spread["load"]["starts"]) == (100, 100)
    assert len(spread["load"]["busiest"]) == 10
    assert max(item["starts"] for item in spread["load"]["busiest"]) < 30
    by_hand: dict[str, int] = {}
    for number in range(1, 101):
        minute = f"03:{int(offset(f'm{number}', 'one', 600.0) + 0.5) // 60:02}"
        by_hand[minute] = by_hand.get(minute, 0) + 1
    assert {item["minute"]: item["starts"] for item in spread["load"]["busiest"]} == by_hand


def test_a_run_of_the_master_is_a_job_on_many_minions() -> None:  # B07
    told = run(entry(at=("03:00",), target="*"), sizes={"one": 50})
    assert told["load"]["starts"] == 50


def test_many_runs_are_cut_and_it_is_told() -> None:  # B07
    told = run(*(entry(f"e{number}", every=1.0) for number in range(10)), days=1)
    assert {item["runs"] for item in told["entries"]} == {ALL_RUNS // 10}
    assert told["entries"][0]["warnings"] == [f"only its first {ALL_RUNS // 10} runs are looked at"]


def test_durations_by_their_rank() -> None:
    assert durations([]) is None
    assert durations([3.0]) == Durations(1, 3.0, 3.0, 3.0)
    assert durations(map(float, range(100, 0, -1))) == Durations(100, 50.0, 95.0, 100.0)


def test_the_table() -> None:  # B07
    shown = render("simulation", run(
        entry(every=300.0), entry("two", cron="30 2 * * *"), entry("\x1bthree", calendar={"year": "2025"}),
        minions=5, past=took(400.0), days=1.0))
    assert shown.splitlines()[:5] == [
        "one  test.ping on m1, m2, m3 and 2 more",
        "  every 5 minutes, counted from the start of the last run",
        "  288 runs: 2026-06-01 12:05:00 +02:00, 2026-06-01 12:10:00 +02:00, 2026-06-01 12:15:00 +02:00, ...",
        "  half of the last 20 took 6m 40s at most, 95 of 100 6m 40s, the longest 6m 40s",
        "  ! its runs overlap: one usually takes 6 minutes 40 seconds, so 144 of 288 are skipped"]
    assert "1445 jobs begin in all" in shown
    assert "02:30  ########################################  10  2026-06-02: one 5, two 5" in shown
    assert "\x1b" not in shown
    assert shown.splitlines()[-3:] == [
        "2 problems",
        "  one: its runs overlap: one usually takes 6 minutes 40 seconds, so 144 of 288 are skipped",
        "  \\x1bthree: it can never run: none of its times is still to come"]
    assert render("simulation", run()) == ""
