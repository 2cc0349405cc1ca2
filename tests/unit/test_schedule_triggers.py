"""When entries are due: intervals, cron, daylight saving. # S24 # S25"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from common.schedule.triggers import EXPRESSION_LIMIT, Cron, Every, Trigger, check_cron, latest

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def planned(trigger: Trigger, since: float, count: int) -> list[float]:
    """The next `count` planned times."""
    found: list[float] = []
    for _ in range(count):
        following = trigger.next_after(since)
        assert following is not None
        found.append(since := following)
    return found


def shown(trigger: Cron, since: str, count: int) -> list[str]:
    """The next planned times as they read on a clock in the trigger's zone."""
    zone = trigger.zone
    assert isinstance(zone, ZoneInfo)
    times = planned(trigger, at(since, zone), count)
    return [f"{datetime.fromtimestamp(time, zone):%d %H:%M%z}" for time in times]


def test_an_interval_counts_from_its_base_and_not_from_the_last_run() -> None:
    assert planned(Every(30, 1000), 1000, 3) == [1030, 1060, 1090]
    assert Every(30, 1000).next_after(1044.9) == 1060
    assert Every(30, 1000).next_after(1060) == 1090
    assert Every(30, 1000).next_after(0) == 1030


@given(st.floats(1, 1e6), st.floats(1e9, 2e9), st.floats(0, 1e8))
def test_the_next_of_an_interval_is_later_and_at_most_one_away(seconds: float, base: float, gone: float) -> None:
    time = base + gone
    following = Every(seconds, base).next_after(time)
    assert time < following <= time + seconds * (1 + 1e-9) + 1e-6


@given(st.integers(1, 10_000), st.integers(10**9, 2 * 10**9))
def test_an_interval_leaves_no_planned_time_out(seconds: int, base: int) -> None:
    assert planned(Every(seconds, base), base, 20) == [base + seconds * n for n in range(1, 21)]


def test_an_interval_moves_with_the_clock_and_cron_does_not() -> None:
    assert Every(30, 1000).moved(-100) == Every(30, 900)
    trigger = Cron("* * * * *", UTC)
    assert trigger.moved(-100) is trigger


def test_cron_every_five_minutes() -> None:
    trigger = Cron("*/5 * * * *", UTC)
    assert trigger.next_after(at("2026-01-02T03:04:05")) == at("2026-01-02T03:05")
    assert trigger.next_after(at("2026-01-02T03:05")) == at("2026-01-02T03:10")
    assert trigger.next_after(at("2026-01-02T03:05:00.5")) == at("2026-01-02T03:10")


def test_cron_with_six_fields_begins_with_seconds() -> None:
    assert planned(Cron("*/20 * * * * *", UTC), at("2026-01-02T00:00:00"), 3) == [
        at("2026-01-02T00:00:20"), at("2026-01-02T00:00:40"), at("2026-01-02T00:01:00"),
    ]


def test_cron_lives_in_its_zone() -> None:
    assert Cron("0 9 * * MON", BERLIN).next_after(at("2026-07-01T00:00")) == at("2026-07-06T07:00")


def test_a_time_that_the_change_skips_comes_at_the_end_of_the_gap() -> None:
    assert shown(Cron("30 2 * * *", BERLIN), "2026-03-28T03:00", 2) == ["29 03:00+0200", "30 02:30+0200"]


def test_a_time_that_comes_twice_counts_once() -> None:
    assert shown(Cron("30 2 * * *", BERLIN), "2026-10-24T03:00", 2) == ["25 02:30+0200", "26 02:30+0100"]


def test_a_start_inside_the_second_pass_does_not_go_back_to_the_first() -> None:
    second_pass = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1).timestamp()
    assert Cron("30 2 * * *", BERLIN).next_after(second_pass) == at("2026-10-26T02:30", BERLIN)


def test_midnight_that_the_change_skips() -> None:
    assert shown(Cron("0 0 * * *", CAIRO), "2026-04-23T00:30", 2) == ["24 01:00+0300", "25 00:00+0300"]


def test_an_hourly_entry_runs_in_every_hour_of_a_long_night() -> None:
    times = planned(Cron("0 * * * *", BERLIN), at("2026-10-25T00:30", BERLIN), 4)
    assert [later - earlier for earlier, later in pairwise(times)] == [3600, 3600, 3600]


EXPRESSIONS = st.sampled_from([
    "* * * * *", "*/7 * * * *", "30 1 * * *", "30 2 * * *", "0 0 * * *", "15 */3 * * *", "0,30 2-4 * * *", "0 12 1 * *",
    "0 0 13 * FRI", "5 4 L * *", "*/15 * * * * *", "59 23 31 12 *",
])
ZONES = st.sampled_from([UTC, BERLIN, CAIRO, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")])
TIMES = st.floats(at("2025-12-01T00:00"), at("2027-02-01T00:00"))


@given(EXPRESSIONS, TIMES)
def test_cron_in_utc_is_cronsim(expression: str, time: float) -> None:
    expected = next(CronSim(expression, datetime.fromtimestamp(time, UTC)))
    assert Cron(expression, UTC).next_after(time) == expected.timestamp()


@given(EXPRESSIONS, ZONES, TIMES, st.floats(0, 1))
def test_the_next_is_the_same_from_wherever_before_it_one_asks(
    expression: str, zone: ZoneInfo, time: float, part: float
) -> None:
    trigger = Cron(expression, zone)
    following = trigger.next_after(time)
    assert following is not None
    assert following > time
    between = time + (following - time) * part
    if between < following:
        assert trigger.next_after(between) == following


def test_what_never_comes_again_has_no_next() -> None:
    assert Cron("0 0 1 1 *", UTC).next_after(at("9998-12-31T23:59") + 366 * 86_400) is None


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 9 * * MON-FRI", "0 0 L * *", "*/10 * * * * *", "0 0 29 2 *"])
def test_a_right_expression_passes(expression: str) -> None:
    assert check_cron(expression) == expression


@pytest.mark.parametrize(("expression", "reason"), [
    ("", "wrong number of fields"), ("* * * *", "wrong number of fields"), ("60 * * * *", "bad minute"),
    ("* * * * FOO", "bad day-of-week"), ("0 24 * * *", "bad hour"), ("*/0 * * * *", "bad minute"),
    ("0 0 30 2 *", "bad day-of-month"), ("0 0 31 2,4 *", "bad day-of-month"), ("@daily", "wrong number of fields"),
    ("* " * EXPRESSION_LIMIT, "400 characters"), ("0 0 1 1 MON#6", "bad day-of-week"),
])
def test_a_wrong_expression_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_cron(expression)


@given(st.text("0123456789*/,-#LW MONJAN", max_size=25))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        check_cron(text)
    except ValueError as error:
        refusal = str(error)
    else:
        assert Cron(text, UTC).next_after(0) is not None
        return
    assert refusal


class Counting:
    """A trigger that counts how often it is asked."""

    def __init__(self, inner: Trigger) -> None:
        self.inner = inner
        self.asked = 0

    def next_after(self, time: float) -> float | None:
        self.asked += 1
        return self.inner.next_after(time)

    def moved(self, by: float) -> Trigger:
        return self


@given(EXPRESSIONS, ZONES, st.floats(0, 3 * 86_400))
def test_the_latest_is_what_counting_through_finds(expression: str, zone: ZoneInfo, gone: float) -> None:
    trigger = Cron(expression, zone)
    first = trigger.next_after(at("2026-10-23T00:00"))
    assert first is not None
    now, found = first + gone / 10, first
    while (following := trigger.next_after(found)) is not None and following <= now:
        found = following
    assert latest(trigger, first, now) == found


def test_the_latest_of_ten_years_is_found_with_few_questions() -> None:
    trigger = Counting(Every(1, 0))
    assert latest(trigger, 1, 10 * 365 * 86_400.5) == 10 * 365 * 86_400 + 1825
    assert trigger.asked < 100


class Once:
    """A trigger that ends."""

    def next_after(self, time: float) -> float | None:
        return 100.0 if time < 100 else None

    def moved(self, by: float) -> Trigger:
        return self


def test_the_latest_of_a_trigger_that_ended() -> None:
    assert latest(Once(), 100, 1e9) == 100
