"""When entries are due: times of day, cron, grids, bounds, daylight saving; both ways. # S24 # F08 # F12 # F13 # P04"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from common.schedule.model import Entry
from common.schedule.times.cron import EXPRESSION_LIMIT, Cron, check_cron
from common.schedule.times.daytimes import At, parse_at
from common.schedule.times.triggers import Bounded, Grid, Once, Trigger, bounds_of, fingerprint, trigger_of

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")
HAVANA = ZoneInfo("America/Havana")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
TOKYO = ZoneInfo("Asia/Tokyo")


def at(text: str, zone: tzinfo = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def planned(trigger: Trigger, since: datetime, count: int) -> list[datetime]:
    """The next planned times, at most `count`."""
    found: list[datetime] = []
    while len(found) < count and (following := trigger.next_after(since)) is not None:
        found.append(since := following)
    return found


def shown(trigger: Trigger, zone: tzinfo, since: str, count: int) -> list[str]:
    """The next planned times as they read on a clock in the zone."""
    return [f"{time.astimezone(zone):%d %H:%M%z}" for time in planned(trigger, at(since, zone), count)]


# cron


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


def test_a_time_that_the_change_skips_comes_at_the_end_of_the_gap() -> None:  # F14, R-B32
    assert shown(Cron("30 2 * * *", BERLIN), BERLIN, "2026-03-28T03:00", 2) == ["29 03:00+0200", "30 02:30+0200"]


def test_a_time_that_comes_twice_counts_once() -> None:  # F14, R-B32
    assert shown(Cron("30 2 * * *", BERLIN), BERLIN, "2026-10-24T03:00", 2) == ["25 02:30+0200", "26 02:30+0100"]


def test_a_start_inside_the_second_pass_does_not_go_back_to_the_first() -> None:
    second_pass = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert Cron("30 2 * * *", BERLIN).next_after(second_pass) == at("2026-10-26T02:30", BERLIN)


def test_midnight_that_the_change_skips() -> None:  # R-B32
    assert shown(Cron("0 0 * * *", CAIRO), CAIRO, "2026-04-23T00:30", 2) == ["24 01:00+0300", "25 00:00+0300"]


def test_an_hourly_entry_runs_in_every_hour_of_a_long_night() -> None:
    times = planned(Cron("0 * * * *", BERLIN), at("2026-10-25T00:30", BERLIN), 4)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(hours=1)}


EXPRESSIONS = st.sampled_from([
    "* * * * *", "*/7 * * * *", "30 1 * * *", "30 2 * * *", "0 0 * * *", "15 */3 * * *", "0,30 2-4 * * *", "0 12 1 * *",
    "0 0 13 * FRI", "5 4 L * *", "*/15 * * * * *", "59 23 31 12 *",
])
ZONES = st.sampled_from([UTC, BERLIN, CAIRO, HAVANA, LORD_HOWE, TOKYO, ZoneInfo("America/New_York")])
TIMES = st.integers(0, 426 * 86_400 * 10).map(lambda tenths: at("2025-12-01") + timedelta(seconds=tenths / 10))


@given(EXPRESSIONS, TIMES)
def test_cron_in_utc_is_cronsim(expression: str, time: datetime) -> None:
    assert Cron(expression, UTC).next_after(time) == next(CronSim(expression, time))


def test_what_never_comes_again_has_no_next() -> None:
    assert Cron("0 0 1 1 *", UTC).next_after(at("9999-06-01T00:00")) is None


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 9 * * MON-FRI", "0 0 L * *", "*/10 * * * * *", "0 0 29 2 *"])
def test_a_right_expression_passes(expression: str) -> None:
    assert check_cron(expression) == expression


@pytest.mark.parametrize(("expression", "reason"), [
    ("", "wrong number of fields"), ("* * * *", "wrong number of fields"), ("60 * * * *", "bad minute"),
    ("* * * * FOO", "bad day-of-week"), ("0 24 * * *", "bad hour"), ("*/0 * * * *", "bad minute"),
    ("0 0 30 2 *", "it never comes: month 2 has no day 30"), ("0 0 31 2,4 *", "month 2,4 has no day 31"),
    ("@often", "wrong number of fields: it has 1"), ("0 25 * * *", "bad hour '25': it takes 0 to 23, lists"),
    ("0 0 31 2,4 * *", "bad hour '31'"),
    ("0 3 * * fri-mon", "bad day-of-week 'fri-mon': a range goes up; write fri-sat,sun-mon"),
    ("0 3 * * SAT-SUN", "write sat,sun"), ("0 3 * * 5-1", "write 5-6,0-1"), ("0 3 * * 7-2,4", "write 0-2,4"),
    ("0 22-2 * * *", "write 22-23,0-2"), ("7-2 * * * *", "write 7-59,0-2"), ("0 22-4/2 * * *", "write 22,0,2,4"),
    ("0 3 * 6,nov-feb *", "write 6,nov-dec,jan-feb"), ("0 3 30-1 * *", "write 30-31,1"),
    ("0 26-2 * * *", "bad hour '26-2': it takes 0 to 23, lists"), ("0 22-2,x * * *", "bad hour '22-2,x': it takes"),
    ("0 0 0 31 2,4 *", "month 2,4 has no day 31"), ("0 0 */10 2 5L", "it never comes"), ("0 0 32 2 *", "1 to 31, L or"),
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
        assert Cron(text, UTC).next_after(at("1970-01-01T00:00")) is not None
        return
    assert refusal


# times of day


def test_times_of_day() -> None:  # P04, I22
    trigger = At(["18:00", "03:00:30", "mon 10:00"], UTC)
    assert planned(trigger, at("2026-01-04T04:00"), 4) == [
        at("2026-01-04T18:00"), at("2026-01-05T03:00:30"), at("2026-01-05T10:00"), at("2026-01-05T18:00")]


@pytest.mark.parametrize(("text", "plain"), [
    ("3:00", "03:00"), ("03:00:00", "03:00"), (" Mon  10:00 ", "mon 10:00"), ("Monday 10:00:01", "mon 10:00:01"),
    ("MON-FRI 9:30", "mon-fri 09:30"), ("sat,sun 08:00", "sat,sun 08:00"), ("mon-sun 08:00", "08:00"),
])
def test_a_time_of_day_in_its_plain_form(text: str, plain: str) -> None:
    assert parse_at(text) == plain


@pytest.mark.parametrize("text", ["", "24:00", "3", "10:60", "mon", "moon 10:00", "mon 10:00 tue", "fri- 10:00"])
def test_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (time of day|day of the week)"):
        parse_at(text)


# grids, once, bounds


@pytest.mark.parametrize(("seconds", "nexts"), [
    (30, ["2026-01-01T00:00:30", "2026-01-01T00:01:00"]), (300, ["2026-01-01T00:05", "2026-01-01T00:10"]),
    (7200, ["2026-01-01T02:00", "2026-01-01T04:00"]), (86_400, ["2026-01-02T00:00", "2026-01-03T00:00"]),
    (604_800, ["2026-01-08T00:00", "2026-01-15T00:00"]),
])
def test_a_grid_stays_where_it_began(seconds: float, nexts: list[str]) -> None:  # F08
    entry = Entry(name="a", function="a.b", every=seconds, start="2020-01-02T00:00:00")
    trigger = trigger_of(entry, UTC)
    assert trigger is not None
    if seconds != 604_800:
        assert planned(trigger, at("2026-01-01T00:00"), 2) == [at(text) for text in nexts]
    else:  # 2020-01-02 and 2026-01-01 are Thursdays
        assert planned(trigger, at("2026-01-01T00:00"), 2) == [at(text) for text in nexts]


def test_a_start_that_is_ahead_is_the_first_time() -> None:  # F08, F12
    entry = Entry(name="a", function="a.b", every=600, start="2026-01-01T00:00:00", end="2026-01-01T00:20:00")
    trigger = trigger_of(entry, UTC)
    assert trigger is not None
    assert planned(trigger, at("2025-01-01T00:00"), 9) == [
        at("2026-01-01T00:00"), at("2026-01-01T00:10"), at("2026-01-01T00:20")]
    assert trigger.previous_before(at("2030-01-01T00:00")) == at("2026-01-01T00:20")
    assert trigger.previous_before(at("2026-01-01T00:00")) is None


def test_what_the_wall_clock_does_not_plan() -> None:
    for entry in (Entry(name="a", function="a.b"), Entry(name="a", function="a.b", continuous=True),
                  Entry(name="a", function="a.b", every=5), Entry(name="a", function="a.b", every=5, base="end",
                                                                 start="2026-01-01T00:00:00")):
        assert trigger_of(entry, UTC) is None


def test_times_without_an_offset_are_the_hosts_or_the_entrys() -> None:  # F13
    entry = Entry(name="a", function="a.b", once="2026-07-01T12:00:00", start="2026-06-01T00:00:00Z")
    own = Entry(name="a", function="a.b", once="2026-07-01T12:00:00", timezone="Asia/Tokyo")
    told = Entry(name="a", function="a.b", once="2026-07-01T12:00:00+01:00", timezone="Asia/Tokyo")
    since = at("2026-01-01T00:00")
    assert [planned(trigger, since, 2) for each in (entry, own, told) if (trigger := trigger_of(each, BERLIN))] == [
        [at("2026-07-01T10:00")], [at("2026-07-01T03:00")], [at("2026-07-01T11:00")]]
    assert bounds_of(entry, BERLIN) == (at("2026-06-01T00:00"), None)


@given(st.integers(1, 10**7), st.integers(0, 2 * 10**9), TIMES)
def test_a_grid_has_no_gaps_and_both_ways_are_one(seconds: int, anchor: int, time: datetime) -> None:
    grid = Grid(timedelta(seconds=seconds), datetime.fromtimestamp(anchor, UTC))
    following, former = grid.next_after(time), grid.previous_before(time)
    assert following is not None
    assert former is not None
    assert former < time < following
    assert following - former in (timedelta(seconds=seconds), timedelta(seconds=2 * seconds))
    assert grid.previous_before(following) == following - timedelta(seconds=seconds)


def test_once() -> None:
    once = Once(at("2026-01-01T00:00:00.5"))
    assert once.next_after(at("2026-01-01T00:00")) == at("2026-01-01T00:00:00.5")
    assert once.next_after(at("2026-01-01T00:00:00.5")) is None
    assert once.previous_before(at("2026-01-01T00:00:00.5")) is None
    assert once.previous_before(at("2026-01-01T00:00:01")) == at("2026-01-01T00:00:00.5")


# both ways


@given(EXPRESSIONS, ZONES, TIMES)
def test_back_is_the_way_forward(expression: str, zone: tzinfo, time: datetime) -> None:
    trigger = Cron(expression, zone)
    following = trigger.next_after(time)
    assume(following is not None)
    assert following is not None
    former = trigger.previous_before(following)
    assert former is not None
    assert former <= time < following
    assert trigger.next_after(former) == following


def test_the_end_of_the_calendar() -> None:
    last = at("9999-12-31T23:59:59.999999")
    for trigger in (Cron("* * * * *", BERLIN), At(["12:00"], HAVANA), Grid(timedelta(seconds=7), at("2026-01-01")),
                    Bounded(Cron("0 0 * * *", TOKYO), None, last)):
        assert trigger.next_after(last) is None
        assert trigger.previous_before(last - timedelta(days=2)) is not None


def test_the_fingerprint_is_that_of_the_times() -> None:
    one = Entry(name="a", function="a.b", cron="0 0 * * *", timezone="Asia/Tokyo")
    assert fingerprint(one) == fingerprint(Entry(name="b", function="c.d", cron="0  0 * * *", timezone="Asia/Tokyo"))
    assert fingerprint(one) != fingerprint(Entry(name="a", function="a.b", cron="0 0 * * *"))
    assert fingerprint(Entry(name="a", function="a.b")) == ""
    assert fingerprint(Entry(name="a", function="a.b", every=30, timezone="Asia/Tokyo")) == \
        fingerprint(Entry(name="a", function="a.b", every=30))


@given(TIMES, st.lists(st.integers(0, 6), min_size=2, max_size=2), st.sampled_from([0, 1, -1]), ZONES)
def test_bounds_belong_to_it_and_nothing_beyond(
    time: datetime, days: list[int], microseconds: int, zone: tzinfo
) -> None:  # F12
    inner = At(["03:00", "mon 10:00"], zone)
    first, last = (planned(inner, at("2026-06-01"), 8)[day] for day in sorted(days))
    start, end = first + timedelta(microseconds=microseconds), last + timedelta(microseconds=microseconds)
    expected = [each for each in planned(inner, at("2026-05-31"), 12) if start <= each <= end]
    trigger = Bounded(inner, start, end)
    assert planned(trigger, at("2020-01-01"), 12) == expected
    for moment in (time, start, end, first, last):
        assert trigger.next_after(moment) == next((each for each in expected if each > moment), None)
        assert trigger.previous_before(moment) == next((each for each in reversed(expected) if each < moment), None)


@pytest.mark.parametrize(("one", "other", "same"), [
    ({"every": 30}, {"every": 31}, False),
    ({"every": 30}, {"every": 30, "base": "start"}, True),
    ({"every": 30}, {"every": 30, "base": "end"}, False),
    ({"every": 30, "start": "2026-01-01"}, {"every": 30, "start": "2026-01-01", "anchor": "2026-01-01"}, True),
    ({"every": 30, "anchor": "2026-01-01"}, {"every": 30, "anchor": "2026-01-02"}, False),
    ({"at": ("03:00", "04:00")}, {"at": ("04:00", "03:00")}, True),
    ({"at": ("03:00",)}, {"at": ("03:00",), "timezone": "Asia/Tokyo"}, False),
    ({"at": ("03:00",)}, {"at": ("03:00",), "end": "2036-01-01T00:00:00"}, False),
    ({"cron": "0 0 * * mon"}, {"cron": "0 0 * * MON"}, True),
    ({"calendar": {"hour": "3", "minute": "1"}}, {"calendar": {"minute": "1", "hour": "3"}}, True),
    ({"calendar": {"hour": "3"}}, {"calendar": {"hour": "4"}}, False),
    ({"once": "2026-01-01T09:00:00", "timezone": "Asia/Tokyo"}, {"once": "2026-01-01T00:00:00Z"}, True),
    ({"once": "2026-01-01T09:00:00"}, {"once": "2026-01-01T09:00:00Z"}, False),  # the host may be elsewhere
    ({"continuous": True}, {"every": 1}, False),
    ({"every": 30}, {"every": 30, "splay": 5, "retries": 1, "during": ("night",), "enabled": False}, True),
])
def test_fingerprints_are_alike_when_the_times_are(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    prints = [fingerprint(Entry(name="a", function="a.b", **fields)) for fields in (one, other)]
    assert (prints[0] == prints[1]) is same
