"""Calendar triggers: the field grammar, the changes of the clock, and both directions of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import assume, given
from hypothesis import strategies as some

from common.schedule.times import wall
from common.schedule.times.calendar import Calendar

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")
APIA = ZoneInfo("Pacific/Apia")


def at(text: str, zone: Any = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def fires(fields: dict[str, Any], begin: str, count: int, zone: Any = UTC) -> list[str]:
    """What the wall clock shows at the next planned times."""
    trigger, time, found = Calendar(fields, zone), at(begin, zone), []
    for _ in range(count):
        following = trigger.next_after(time)
        if following is None:
            break
        time = following
        found.append(time.astimezone(zone).strftime("%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(("fields", "begin", "expected"), [
    ({"day_of_week": 0}, "2026-01-01", ["01-05 00:00:00", "01-12 00:00:00"]),
    ({"day_of_week": 6}, "2026-01-01", ["01-04 00:00:00", "01-11 00:00:00"]),
    ({"day_of_week": "mon, wed, fri", "hour": "03", "minute": 25}, "2026-01-01", ["01-02 03:25:00", "01-05 03:25:00"]),
    ({"day": "last"}, "2026-01-01", ["01-31 00:00:00", "02-28 00:00:00"]),
    ({"day": "2nd tue"}, "2026-01-01", ["01-13 00:00:00", "02-10 00:00:00"]),
    ({"day": 13, "day_of_week": "fri"}, "2026-01-01", ["02-13 00:00:00", "03-13 00:00:00", "11-13 00:00:00"]),
    ({"month": "1-6, 9-12", "day": 1, "hour": 3}, "2026-05-15", ["06-01 03:00:00", "09-01 03:00:00"]),
    ({"minute": "5/20"}, "2026-01-01", ["01-01 00:05:00", "01-01 00:25:00", "01-01 00:45:00"]),
    ({"second": 30}, "2026-01-01", ["01-01 00:00:30", "01-01 00:01:30"]),
    ({"week": 53}, "2026-01-05", ["12-28 00:00:00", "12-29 00:00:00"]),
    ({"year": 2026, "month": 12}, "2026-01-01", ["12-01 00:00:00"]),
])
def test_fields(fields: dict[str, Any], begin: str, expected: list[str]) -> None:  # F05
    assert fires(fields, begin, len(expected)) == expected


@pytest.mark.parametrize("fields", [
    {}, {"day": "mon, wed, fri"}, {"day_of_week": 7}, {"day_of_week": "sun-mon"}, {"day_of_week": "monday"},
    {"day_of_week": "mon-fri/2"}, {"year": 1969}, {"month": 2, "day": 30}, {"hour": 24}, {"month": 0},
    {"minute": "*/60"}, {"minute": "*/0"}, {"hour": ""}, {"hour": "22-2"}, {"hours": 3}, {"hour": "1," * 150},
])
def test_what_is_refused(fields: dict[str, Any]) -> None:  # F03
    with pytest.raises(ValueError, match=r"\S") as caught:
        Calendar(fields, UTC)
    assert "\n" not in str(caught.value)
    assert not fields or next(iter(fields)) in str(caught.value)


def test_a_skipped_time_comes_once_at_the_end_of_the_gap() -> None:  # F14, R-B32
    assert fires({"hour": 2, "minute": "*/10"}, "2026-03-28T23:00:00", 3, BERLIN) \
        == ["03-29 03:00:00", "03-30 02:00:00", "03-30 02:10:00"]


def test_a_doubled_time_comes_once_the_first_time() -> None:  # F14, R-B32
    trigger = Calendar({"hour": 2, "minute": 30}, BERLIN)
    first = trigger.next_after(at("2026-10-24T12:00:00", BERLIN))
    assert first == at("2026-10-25T00:30:00")
    assert trigger.next_after(first) == at("2026-10-26T01:30:00")
    assert trigger.next_after(at("2026-10-25T01:10:00")) == at("2026-10-26T01:30:00")


def test_a_midnight_and_a_day_that_do_not_exist() -> None:  # R-B32
    assert fires({"hour": 0}, "2026-04-23T12:00:00", 2, CAIRO) == ["04-24 01:00:00", "04-25 00:00:00"]
    assert fires({"hour": 12}, "2011-12-29T13:00:00", 2, APIA) == ["12-31 00:00:00", "12-31 12:00:00"]


MOMENTS = some.integers(0, 40 * 366 * 86_400).map(lambda seconds: at("2000-01-01") + timedelta(seconds=seconds))
numbers = {"month": (1, 12), "day": (1, 31), "week": (1, 53), "day_of_week": (0, 6), "hour": (0, 23),
           "minute": (0, 59), "second": (0, 59)}


@some.composite
def expressions(draw: some.DrawFn) -> dict[str, str]:
    """Random fields, each a list of numbers, ranges and steps."""
    chosen = draw(some.lists(some.sampled_from(sorted(numbers)), min_size=1, max_size=4, unique=True))
    assume("week" not in chosen or not {"month", "day"} & {*chosen})  # most of these never come
    fields = {}
    for name in chosen:
        low, high = numbers[name]
        parts = []
        for _ in range(draw(some.integers(1, 3))):
            begin = draw(some.integers(low, high))
            end = draw(some.integers(begin, high))
            step = draw(some.integers(1, max(1, end - begin)))
            parts.append(draw(some.sampled_from([str(begin), f"{begin}-{end}", f"{begin}-{end}/{step}", "*"])))
        fields[name] = ",".join(parts)
    return fields


def made(fields: dict[str, str]) -> Calendar:
    try:
        return Calendar(fields, BERLIN)
    except ValueError:
        assume(False)
        raise


@given(expressions(), MOMENTS)
def test_as_apscheduler_outside_days_of_change(fields: dict[str, str], time: datetime) -> None:
    found = made(fields).next_after(time)
    other = CronTrigger(timezone=BERLIN, **fields).get_next_fire_time(
        None, time.astimezone(BERLIN) + timedelta(microseconds=1))
    assume(not any(_changes(day) for day in (time, found, other) if day is not None))
    assert found == other


@given(expressions(), MOMENTS)
def test_back_is_the_way_forward(fields: dict[str, str], start: datetime) -> None:
    trigger = made(fields)
    following = trigger.next_after(start)
    assume(following is not None)
    assert following is not None
    former = trigger.previous_before(following)
    if former is not None:
        assert former < following
        assert trigger.next_after(former) == following
    assert trigger.previous_before(following + timedelta(seconds=1)) == following


def test_nothing_came_before_the_first() -> None:
    assert Calendar({"year": 2026}, UTC).previous_before(at("2026-01-01")) is None


@given(MOMENTS, some.sampled_from([BERLIN, CAIRO, APIA, UTC]))
def test_the_wall_clock_shows_what_it_was_asked_for(moment: datetime, zone: Any) -> None:
    time = moment.replace(tzinfo=None)
    when = wall.instant(time, zone)
    seen = wall.shown(when, zone)
    assert seen >= time  # later only at the end of a gap
    if seen > time:
        assert wall.shown(when - timedelta(seconds=1), zone) < time


def _changes(time: datetime) -> bool:
    """Whether the clock changes within a day and a half."""
    return len({(time + timedelta(hours=hours)).astimezone(BERLIN).utcoffset() for hours in (-36, 0, 36)}) > 1


# Table A2 of the research on Freezer, from 2026-01-01 00:00 on unless it says otherwise.


@pytest.mark.parametrize(("fields", "begin", "expected"), [
    ({"day_of_week": 0}, "01-01", ["01-05 00:00:00", "01-12 00:00:00"]),  # F11
    ({"day_of_week": 6}, "01-01", ["01-04 00:00:00", "01-11 00:00:00"]),  # F11
    ({"day_of_week": "mon, wed, fri", "hour": "03", "minute": 25}, "01-01",
     ["01-02 03:25:00", "01-05 03:25:00", "01-07 03:25:00"]),
    ({"day_of_week": "MON-fri"}, "01-02", ["01-05 00:00:00", "01-06 00:00:00"]),
    ({"day": "last"}, "01-01", ["01-31 00:00:00", "02-28 00:00:00", "03-31 00:00:00", "04-30 00:00:00"]),
    ({"day": "2nd tue"}, "01-01", ["01-13 00:00:00", "02-10 00:00:00", "03-10 00:00:00"]),
    ({"day": "last fri"}, "01-01", ["01-30 00:00:00", "02-27 00:00:00"]),
    ({"day": 31}, "01-01", ["01-31 00:00:00", "03-31 00:00:00", "05-31 00:00:00"]),
    ({"day": 13, "day_of_week": "fri"}, "01-01", ["02-13 00:00:00", "03-13 00:00:00", "11-13 00:00:00"]),
    ({"month": "1-6, 9-12", "day": 1, "hour": "03", "minute": 25}, "05-15",
     ["06-01 03:25:00", "09-01 03:25:00", "10-01 03:25:00", "11-01 03:25:00"]),
    ({"month": "jan-mar"}, "01-02", ["02-01 00:00:00", "03-01 00:00:00", "01-01 00:00:00"]),
    ({"minute": "*/15"}, "01-01", ["01-01 00:15:00", "01-01 00:30:00", "01-01 00:45:00", "01-01 01:00:00"]),
    ({"minute": "5/20"}, "01-01", ["01-01 00:05:00", "01-01 00:25:00", "01-01 00:45:00", "01-01 01:05:00"]),
    ({"second": 30}, "01-01", ["01-01 00:00:30", "01-01 00:01:30"]),
    ({"hour": 2}, "01-01", ["01-01 02:00:00", "01-02 02:00:00"]),
    ({"week": 1}, "01-02", ["01-03 00:00:00", "01-04 00:00:00", "01-04 00:00:00"]),  # the last one in 2027
    ({"week": 53}, "01-05", ["12-28 00:00:00", "12-29 00:00:00", "12-30 00:00:00", "12-31 00:00:00"]),
])
def test_table_a2(fields: dict[str, Any], begin: str, expected: list[str]) -> None:  # F10
    assert fires(fields, f"2026-{begin}T00:00:00", len(expected)) == expected


@pytest.mark.parametrize(("fields", "meant"), [
    ({"day_of_week": "fri-mon"}, "fri-sun,mon"), ({"hour": "22-2"}, "22-23,0-2"), ({"hour": "22-4/2"}, "22,0,2,4"),
    ({"month": "Nov-Feb"}, "nov-dec,jan-feb"), ({"year": "2027-2026"}, "two, such as 22-23,0-2"),
])
def test_a_range_that_goes_down_is_refused_with_what_to_write(fields: dict[str, str], meant: str) -> None:
    with pytest.raises(ValueError, match=f"a range goes up; write {meant}$"):
        Calendar(fields, UTC)



@pytest.mark.parametrize("fields", [
    {"day": "mon, wed, fri"}, {"day_of_week": 7}, {"day_of_week": "sun-mon"}, {"day_of_week": "monday"},
    {"day_of_week": "mon-fri/2"}, {"month": 2, "day": 30}, {"hour": 24}, {"month": 0}, {"minute": "*/60"},
    {"minute": "*/0"}, {"hour": ""}, {"hour": "22-2"},
])
def test_what_table_a2_calls_an_error(fields: dict[str, Any]) -> None:  # F10, F03
    with pytest.raises(ValueError, match=r"it takes|never comes|a range goes up|names take no step|longer than its"):
        Calendar(fields, UTC)


def test_changes_of_the_clock_in_table_a2() -> None:  # F10, F14
    stockholm = ZoneInfo("Europe/Stockholm")
    daily = {"hour": 2, "minute": 30}
    # Better than the table: not an hour late in spring, and once in autumn.
    assert fires(daily, "2026-03-28T12:00:00", 2, stockholm) == ["03-29 03:00:00", "03-30 02:30:00"]
    assert fires(daily, "2026-10-24T12:00:00", 2, stockholm) == ["10-25 02:30:00", "10-26 02:30:00"]
    hourly = {"minute": 30}
    assert fires(hourly, "2026-03-29T01:00:00", 2, stockholm) == ["03-29 01:30:00", "03-29 03:30:00"]
    assert fires(hourly, "2026-10-25T02:00:00", 3, stockholm) == ["10-25 02:30:00", "10-25 02:30:00", "10-25 03:30:00"]


def test_leap_days() -> None:
    trigger, found, time = Calendar({"month": 2, "day": 29, "hour": 12}, BERLIN), [], at("2090-01-01")
    for _ in range(3):
        following = trigger.next_after(time)
        assert following is not None
        found.append((time := following).year)
    assert found == [2092, 2096, 2104]
    assert trigger.previous_before(at("2104-01-01")) == at("2096-02-29T12:00:00", BERLIN)


def test_the_year_9999_is_the_last() -> None:
    trigger = Calendar({"month": 12, "day": 31, "hour": 23}, BERLIN)
    last = at("9999-12-31T22:00:00")
    assert trigger.next_after(at("9999-01-01")) == last
    assert trigger.next_after(last) is None
    assert trigger.previous_before(at("9999-12-31T23:00:00")) == last
