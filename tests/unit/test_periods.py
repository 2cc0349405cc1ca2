"""Time periods beyond the cases of others: ends of years and months, zones, limits, and what is asked of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common.schedule.times.days import MONTHS, WEEKDAYS, parse_days
from common.schedule.times.doubts import SHOWN, doubts
from common.schedule.times.periods import Period, Segment, minus, parse_times, union

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")
ALWAYS = {"monday - sunday": "00:00-24:00"}


def at(text: str, zone: Any = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def covered(definition: str, begin: str, days: int) -> list[str]:
    """The days of a window that a definition means."""
    first, meant = date.fromisoformat(begin), parse_days(definition)
    return [day.isoformat() for day in (first + timedelta(days=n) for n in range(days)) if meant.covers(day)]


@pytest.mark.parametrize(("definition", "begin", "span", "days"), [
    ("monday - wednesday", "2026-01-04", 8, ["2026-01-05", "2026-01-06", "2026-01-07"]),
    ("saturday - sunday", "2026-01-05", 7, ["2026-01-10", "2026-01-11"]),
    ("friday - friday", "2026-01-05", 7, ["2026-01-09"]),
    ("december 30 - january 2", "2025-12-28", 10, ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02"]),
    ("day 30 - 2", "2026-04-28", 7, ["2026-04-30", "2026-05-01", "2026-05-02"]),
    ("day -2 - 1", "2026-02-25", 6, ["2026-02-27", "2026-02-28", "2026-03-01"]),
    ("february 29", "2024-02-28", 3, ["2024-02-29"]),
    ("december 27 - january 4 / 3", "2025-12-25", 15, ["2025-12-27", "2025-12-30", "2026-01-02"]),
    ("2026-12-31 - 2026-01-01", "2026-01-01", 400, []),
    ("thursday 5 - thursday 5", "2026-04-01", 60, ["2026-04-30"]),
    ("monday -1 may", "2026-05-01", 31, ["2026-05-25"]),
    ("2026-02-27 - march 2", "2026-02-25", 8, ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]),
    ("day 28 - 31", "2026-04-27", 8, ["2026-04-28", "2026-04-29", "2026-04-30"]),
    ("day 31", "2026-04-01", 61, ["2026-05-31"]),
    ("february 29", "2026-02-01", 60, ["2026-03-01"]),
    ("december 30 - 35", "2026-12-29", 20, ["2026-12-30", "2026-12-31"]),
])
def test_days(definition: str, begin: str, span: int, days: list[str]) -> None:  # I20
    assert covered(definition, begin, span) == days


NUMBERED = some.builds("{} {}".format, some.sampled_from(["day", *MONTHS]), some.integers(-70, 70))
OTHERS = some.one_of(
    some.builds("{} {}".format, some.sampled_from(WEEKDAYS), some.sampled_from([-6, -5, -1, 1, 4, 6])),
    some.sampled_from(["2027-03-01", "2028-12-31", "friday"]))


@settings(max_examples=50)
@given(NUMBERED, NUMBERED | OTHERS, some.booleans())
def test_what_never_comes_is_known_at_a_look(first: str, last: str, ranged: bool) -> None:  # I20
    meant = parse_days(f"{first} - {last}" if ranged else first)
    comes = any(meant.covers(date(2026, 1, 1) + timedelta(days=number)) for number in range(4 * 366))
    assert meant.comes() or not comes
    if not ranged or last.split()[0] in ("day", *MONTHS):
        assert meant.comes() == comes


@pytest.mark.parametrize(("ranges", "told"), [
    ({"monday": "09:00-09:00"}, ["monday: '09:00-09:00' is 24 hours, as in Icinga 2; if so, write 09:00-33:00"]),
    ({"monday": "8:00-9:00,00:00-00:00"},
     ["monday: '00:00-00:00' is 24 hours, as in Icinga 2; if so, write 00:00-24:00"]),
    ({"monday": "24:00-00:00"}, ["monday: '24:00-00:00' is no time at all", "it never opens"]),
    ({"february 30": "00:00-24:00"},
     ["'february 30': no february has a day 30; it is march 2, in leap years march 1, as in Icinga 2"]),
    ({"february 20 - 29": "00:00-24:00"},
     ["'february 20 - 29': not every february has a day 29; it is march 1, in leap years february 29, as in Icinga 2"]),
    ({"april 31": "00:00-24:00"}, ["'april 31': no april has a day 31; it is may 1, as in Icinga 2"]),
    ({"december 30 - 35": "00:00-24:00"}, ["'december 30 - 35': no december has a day 35"]),
    ({"day 20 - 40": "00:00-24:00"}, ["'day 20 - 40': no month has a day 40"]),
    ({"day 32": "00:00-24:00"}, ["'day 32' never comes: no month has a day 32", "it never opens"]),
    ({"monday 6": "00:00-24:00"}, ["'monday 6' never comes: no month has so many of a weekday", "it never opens"]),
    ({"2026-12-24 - 2026-12-20": "00:00-24:00"},
     ["'2026-12-24 - 2026-12-20' never comes: it ends before it begins", "it never opens"]),
    ({"2026-05-31": "22:00-06:00"}, []),  # until the morning of that time
    ({"2026-05-29": "22:00-24:00", "2025-12-24": "09:00-10:00"}, ["it never opens again: its days are past"]),
    ({}, ["it never opens"]),
    ({"monday": "22:00-06:00", "february -1": "09:00-33:00", "day 31": "0:00-24:00", "monday 5 february": "9:00-9:30"},
     []),
])
def test_what_is_probably_not_meant(ranges: dict[str, str], told: list[str]) -> None:  # I20
    assert doubts(Period(ranges, UTC), at("2026-06-01T05:00:00")) == told


def test_what_is_included_opens_a_period_and_doubts_have_a_bound() -> None:
    always, never = Period(ALWAYS, UTC), Period({}, UTC)
    assert doubts(Period({}, UTC, includes=[never, always]), 0.0) == []
    assert doubts(Period({}, UTC, includes=[never]), 0.0) == ["it never opens"]
    assert len(doubts(Period({f"day {number}": "09:00-10:00" for number in range(32, 100)}, UTC), 0.0)) == SHOWN + 1


@pytest.mark.parametrize(("definition", "why"), [
    ("monday 0", "counted from 1"), ("2026-02-30", "no 2026-02-30"), ("monday 1 mayo", "'mayo' is no month"),
    ("day 99999999", "too large"), ("day 1 - 15 / -2", "cannot be -2"), ("Monday", "is no day"), ("day", "one number"),
    ("monday 1 may 2026", "is no day"), ("/", "is no day"), ("- ", "is no day"),
])
def test_what_is_wrong_with_a_day(definition: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_days(definition)


@pytest.mark.parametrize("times", ["", "09:00", "9-17", "09:00-17:00,", "09:00 -17:00", "-1:00-02:00", "09:00-999:00"])
def test_what_is_wrong_with_times(times: str) -> None:
    with pytest.raises(ValueError, match=r"time range|hours after"):
        parse_times(times)


def test_limits() -> None:
    with pytest.raises(ValueError, match="1001 day definitions"):
        Period({f"day {n}": "00:00-24:00" for n in range(1001)}, UTC)
    with pytest.raises(ValueError, match="101 times"):
        parse_times(",".join(["09:00-10:00"] * 101))


def test_a_zone_of_its_own() -> None:  # I21
    early = Period({"monday - sunday": "05:00-06:00"}, BERLIN)
    assert early.is_inside(at("2026-07-01T05:30:00", BERLIN))
    assert not early.is_inside(at("2026-07-01T05:30:00", UTC))


def test_the_night_is_open_though_it_began_the_day_before() -> None:
    night = Period({"saturday": "22:00-06:00"}, UTC)
    assert night.is_inside(at("2026-01-11T05:59:59"))
    assert not night.is_inside(at("2026-01-11T06:00:00"))


def test_a_window_that_is_longer_than_a_day() -> None:
    assert Period({"2026-01-05": "12:00-60:00"}, UTC).segments(at("2026-01-07T00:00:00"), at("2026-01-09T00:00:00")) \
        == [(at("2026-01-07T00:00:00"), at("2026-01-07T12:00:00"))]


def test_a_midnight_that_does_not_exist() -> None:
    """In Cairo the clock goes from 24:00 to 01:00 on the last Friday of April."""
    day = Period({"2026-04-24": "00:00-24:00"}, CAIRO)
    assert day.segments(at("2026-04-23T00:00:00"), at("2026-04-26T00:00:00")) \
        == [(at("2026-04-23T22:00:00"), at("2026-04-24T21:00:00"))]


def test_the_next_opening() -> None:  # I19
    work = Period({"monday - friday": "09:00-17:00"}, UTC)
    assert work.next_opening(at("2026-01-09T16:59:59")) == at("2026-01-09T16:59:59")
    assert work.next_opening(at("2026-01-09T17:00:00")) == at("2026-01-12T09:00:00")
    assert Period({"2026-01-01": "00:00-24:00"}, UTC).next_opening(at("2026-01-02T00:00:00")) is None
    assert Period({}, UTC).next_opening(0.0) is None
    fifth = Period({"monday 5 february": "00:00-24:00"}, UTC)
    assert fifth.next_opening(at("2016-03-01T00:00:00")) == at("2044-02-29T00:00:00")
    assert Period(ALWAYS, UTC, excludes=[Period(ALWAYS, UTC)]).next_opening(at("9998-01-01T00:00:00")) is None


def test_includes_and_excludes() -> None:
    noon = Period({"monday - sunday": "12:00-13:00"}, UTC)
    begin, end = at("2026-01-05T00:00:00"), at("2026-01-06T00:00:00")
    out = Period(ALWAYS, UTC, includes=[noon], excludes=[noon], prefer_includes=False)
    assert out.segments(begin, end) == [(begin, begin + 12 * 3600), (begin + 13 * 3600, end)]
    kept = Period(ALWAYS, UTC, includes=[noon], excludes=[noon])
    assert kept.segments(begin, end) == [(begin, end)]


segments = some.lists(some.tuples(some.integers(0, 60), some.integers(1, 20)).map(
    lambda pair: Segment(pair[0], pair[0] + pair[1])), max_size=8)


@given(segments, segments)
def test_sets_of_seconds(these: list[Segment], those: list[Segment]) -> None:
    def seconds(chosen: list[Segment]) -> set[int]:
        return {second for begin, end in chosen for second in range(int(begin), int(end))}

    one, other = union(these), union(those)
    assert seconds(one) == seconds(these)
    assert all(first.end < second.begin for first, second in pairwise(one))
    assert seconds(minus(one, other)) == seconds(these) - seconds(those)


@given(some.sampled_from(["monday - friday", "day 1 - 15", "december 20 - january 7 / 2", "sunday -1 march"]),
       some.integers(0, 20 * 365 * 24), some.integers(1, 40 * 24))
def test_a_window_shows_what_its_moments_say(definition: str, start: int, hours: int) -> None:
    period = Period({definition: "08:00-12:00,22:00-30:00"}, BERLIN)
    begin = start * 3600.0
    found = period.segments(begin, begin + hours * 3600)
    for hour in range(0, hours, 7):
        moment = begin + hour * 3600
        assert period.is_inside(moment) == any(one.begin <= moment < one.end for one in found)
