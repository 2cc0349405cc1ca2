"""Time periods beyond the cases of others: ends of years and months, zones, limits, and what is asked of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.schedule.times.days import parse_days
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
])
def test_days(definition: str, begin: str, span: int, days: list[str]) -> None:  # I20
    assert covered(definition, begin, span) == days


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
