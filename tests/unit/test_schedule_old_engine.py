"""What is due, through stalls, overlaps and clocks that are set. # S24 # S25"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.schedule.entries import parse_entries
from common.schedule.old_engine import LONGEST_SLEEP, Due, Engine

START = datetime(2026, 1, 2, 10, 0, 30, tzinfo=UTC).timestamp()
MIDDAY = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()


def engine(now: float = START, **entries: dict[str, Any]) -> Engine:
    """An engine with entries that all run test.ping."""
    return Engine(parse_entries({name: {"function": "test.ping"} | fields for name, fields in entries.items()}), now)


def test_nothing_is_planned_without_entries() -> None:
    empty = engine()
    assert (empty.next(), empty.wait(START), empty.due(START + 1e6)) == (None, None, [])


def test_the_first_run_comes_after_one_interval() -> None:
    made = engine(a={"every": "30s"})
    assert made.next() == START + 30
    assert made.due(START + 29.9) == []
    assert made.due(START + 30.2) == [Due("a", START + 30)]
    assert made.due(START + 30.3) == []
    assert made.next() == START + 60


def test_a_run_that_was_late_does_not_move_the_grid() -> None:
    made = engine(a={"every": "30s"})
    made.due(START + 44)
    assert made.next() == START + 60


def test_entries_come_in_the_order_of_their_times() -> None:
    made = engine(z={"every": "10s"}, a={"every": "20s"}, b={"every": "20s"})
    assert made.due(START + 20) == [Due("a", START + 20), Due("b", START + 20), Due("z", START + 20)]
    assert made.due(START + 41) == [Due("a", START + 40), Due("b", START + 40), Due("z", START + 40)]


def test_a_disabled_entry_is_never_due() -> None:
    made = engine(a={"every": "30s", "enabled": False})
    assert (made.next(), made.due(START + 1e6)) == (None, [])
    made.due(START - 1e6)
    assert made.next() is None


@pytest.mark.parametrize("entry", [{"every": "60s"}, {"cron": "* * * * *"}])
def test_a_long_stall_gives_one_run_and_no_burst(entry: dict[str, Any]) -> None:
    made = engine(MIDDAY, a=entry)
    year = MIDDAY + 365 * 86_400 + 31
    assert made.due(year) == [Due("a", year - 31)]
    assert made.due(year) == []
    assert made.next() == year + 29


def test_cron_lives_in_the_zone_of_the_host_unless_it_names_one() -> None:
    entries = parse_entries({
        "host": {"function": "a.b", "cron": "0 13 * * *"},
        "own": {"function": "a.b", "cron": "0 13 * * *", "timezone": "Asia/Tokyo"},
    })
    made = Engine(entries, MIDDAY, UTC)
    assert {entry["name"]: entry["next"] for entry in made.describe()} == {
        "host": MIDDAY + 3_600, "own": MIDDAY + 16 * 3_600,
    }


def test_an_entry_that_still_runs_is_skipped_and_comes_again_after() -> None:
    made = engine(a={"every": "30s"}, b={"every": "30s"})
    made.running("a")
    assert made.due(START + 30) == [Due("b", START + 30)]
    made.ended("a")
    assert made.due(START + 31) == []
    assert made.due(START + 60) == [Due("a", START + 60), Due("b", START + 60)]
    assert [(entry["name"], entry["skipped"]) for entry in made.describe()] == [("a", 1), ("b", 0)]


def test_runs_of_entries_that_are_gone_are_no_error() -> None:
    made = engine()
    made.running("gone")
    made.ended("gone")


def test_the_wait_is_short_enough_to_notice_a_clock_that_is_set() -> None:
    made = engine(a={"every": "1h"})
    assert made.wait(START) == LONGEST_SLEEP
    assert made.wait(START + 3_590) == 10
    assert made.wait(START + 3_700) == 0


def test_an_interval_keeps_its_rhythm_when_the_clock_is_set_back() -> None:
    made = engine(a={"every": "60s"})
    assert made.due(START + 600) == [Due("a", START + 600)]
    assert made.due(START + 610) == []
    # The clock goes back an hour; 50 s were left.
    assert made.due(START - 2_990) == []
    assert made.next() == pytest.approx(START - 2_940, abs=0.01)
    assert [due.name for due in made.due(START - 2_939)] == ["a"]


def test_cron_repeats_nothing_when_the_clock_is_set_back_and_goes_on() -> None:
    made = engine(a={"cron": "*/10 * * * *"})
    fired = [due.planned for minute in range(1, 60) for due in made.due(START + minute * 60)]
    assert len(fired) == 5
    # Back to 10:05: until 10:50 everything has been.
    assert made.due(START + 270) == []
    assert made.next() == fired[-1] + 600
    assert made.due(fired[-1] + 600) == [Due("a", fired[-1] + 600)]


def test_a_clock_that_was_years_ahead_stops_nothing() -> None:
    made = engine(a={"cron": "*/10 * * * *"}, b={"every": "60s"})
    ahead = START + 10 * 365 * 86_400
    assert {due.name for due in made.due(ahead)} == {"a", "b"}
    assert made.due(START + 60) == []
    assert [due.name for due in made.due(START + 121)] == ["b"]
    assert {due.name for due in made.due(START + 600)} == {"a", "b"}


def test_a_stall_that_ends_on_what_has_been_takes_the_latest_that_has_not() -> None:
    made = engine(MIDDAY - 30, a={"cron": "* * * * *"})
    for minute in range(3):
        assert made.due(MIDDAY + minute * 60) == [Due("a", MIDDAY + minute * 60)]
    assert made.due(MIDDAY - 300) == []
    assert made.due(MIDDAY + 61) == [Due("a", MIDDAY - 60)]
    assert made.next() == MIDDAY + 180


def test_describe_shows_every_field_and_where_the_entry_stands() -> None:
    made = engine(a={"every": "30s", "args": [1], "metadata": {"k": "v"}})
    made.due(START + 31)
    made.running("a")
    assert made.describe() == [{
        "name": "a", "function": "test.ping", "args": [1], "kwargs": {}, "every": 30.0, "cron": None, "timezone": None,
        "timeout": None, "enabled": True, "metadata": {"k": "v"}, "next": START + 60, "last": START + 30,
        "running": True, "skipped": 0,
    }]
    assert made.entry("a").args == [1]


MOVES = st.lists(
    st.floats(0, 120) | st.integers(0, 90).map(float) | st.sampled_from([-3_600.0, -60.0, -1.0, 7_200.0, 86_400.0])
    | st.floats(-7_200, 0),
    max_size=60,
)


@given(MOVES, st.sampled_from([{"every": "30s"}, {"every": "7s"}, {"cron": "* * * * *"}, {"cron": "*/5 * * * *"}]))
def test_no_planned_time_comes_twice_whatever_the_clock_does(moves: list[float], entry: dict[str, Any]) -> None:
    made, now = engine(MIDDAY, a=entry), MIDDAY
    seen: set[float] = set()
    for move in moves:
        now += move
        found = made.due(now)
        assert len(found) <= 1
        for due in found:
            assert due.planned <= now
            assert due.planned not in seen
            seen.add(due.planned)
        following = made.next()
        assert following is not None
        assert following > now


@given(MOVES)
def test_an_interval_is_never_further_away_than_itself(moves: list[float]) -> None:
    made, now = engine(MIDDAY, a={"every": "30s"}), MIDDAY
    for move in moves:
        now += move
        made.due(now)
        following = made.next()
        assert following is not None
        # An exact multiple of the interval may meet the former grid, which the nudge then leaves.
        assert following - now <= 30.1
