"""Triggers on the days on which clocks change, against plain counting: minute by minute, what does the clock show?

The rule: a time of day comes at the first moment at which the clock shows it or a later one; what has `*` for its
minutes or hours comes whenever the clock shows it. # F14 # R-B32 # R-B31
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from common.schedule.times.calendar import Calendar
from common.schedule.times.cron import Cron
from common.schedule.times.daytimes import At
from common.schedule.times.triggers import Trigger

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ZONES = (
    "Europe/Berlin", "America/New_York",
    "Africa/Cairo", "America/Havana", "Asia/Beirut",  # midnight does not exist, or comes twice
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca", "Europe/Dublin",  # the other way round
    "Asia/Tokyo", "Asia/Kathmandu",  # no change
)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Matches = Callable[[datetime], bool]


@lru_cache
def changes(name: str) -> list[datetime]:
    """The days of 2026 on which the clock changes, else any day."""
    zone, day = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
    days = [day + n * DAY for n in range(365)]
    found = [day for day in days if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset()]
    return found or [datetime(2026, 3, 29, tzinfo=UTC)]


@lru_cache
def clock(name: str, day: datetime) -> tuple[list[datetime], list[datetime]]:
    """Five days around a change, minute by minute: the moments, and what the clock shows then."""
    moments = [day - 2 * DAY + n * MINUTE for n in range(5 * 24 * 60)]
    return moments, [moment.astimezone(ZoneInfo(name)).replace(tzinfo=None) for moment in moments]


def counted(name: str, day: datetime, matches: Matches, *, elapsed: bool) -> list[datetime]:
    """The planned times in those days."""
    moments, shown = clock(name, day)
    if elapsed:
        return [moment for moment, wall in zip(moments, shown, strict=True) if matches(wall)]
    found, latest, wall = [], shown[0] - MINUTE, shown[0]
    for moment, now in zip(moments, shown, strict=True):
        wall = latest + MINUTE
        while wall <= now:
            if matches(wall) and moment not in found[-1:]:
                found.append(moment)
            latest, wall = wall, wall + MINUTE
    return found


def compare(trigger: Trigger, expected: list[datetime], time: datetime) -> None:
    """Both ways from one time, where the answer lies in the days that were counted."""
    after, before = bisect_right(expected, time), bisect_left(expected, time)
    if after < len(expected):
        assert trigger.next_after(time) == expected[after]
    if before > 0:
        assert trigger.previous_before(time) == expected[before - 1]


@st.composite
def places(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    """A zone, a change, and a time near it that may lie between two seconds."""
    name = draw(st.sampled_from(ZONES))
    day = draw(st.sampled_from(changes(name)))
    seconds = draw(st.integers(-36 * 60, 60 * 60)) * 60 + draw(st.sampled_from([0, 0, 0.5, 59.999999]))
    return name, day, day + timedelta(seconds=seconds)


HOURS = st.sets(st.integers(0, 5) | st.integers(0, 23), min_size=1, max_size=4)
MINUTES = st.sets(st.sampled_from([0, 1, 15, 29, 30, 31, 45, 59]), min_size=1, max_size=3)


def listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


@given(places(), HOURS, MINUTES)
def test_times_of_day_in_cron_at_and_calendar_are_one(
    place: tuple[str, datetime, datetime], hours: set[int], minutes: set[int]
) -> None:
    name, day, time = place
    zone = ZoneInfo(name)
    expected = counted(name, day, lambda wall: wall.hour in hours and wall.minute in minutes, elapsed=False)
    compare(Cron(f"{listed(minutes)} {listed(hours)} * * *", zone), expected, time)
    compare(At([f"{hour}:{minute:02}" for hour in hours for minute in minutes], zone), expected, time)
    compare(Calendar({"hour": listed(hours), "minute": listed(minutes)}, zone), expected, time)


@given(places(), st.sampled_from(["*", "*/2", "*/3"]), MINUTES)
def test_what_comes_each_hour_goes_by_the_time_that_passes(
    place: tuple[str, datetime, datetime], hours: str, minutes: set[int]
) -> None:
    name, day, time = place
    zone, step = ZoneInfo(name), int(hours[2:] or 1)
    expected = counted(name, day, lambda wall: wall.hour % step == 0 and wall.minute in minutes, elapsed=True)
    compare(Cron(f"{listed(minutes)} {hours} * * *", zone), expected, time)
    compare(Calendar({"hour": hours, "minute": listed(minutes)}, zone), expected, time)


@given(places(), st.sampled_from([5, 7, 10, 30]), HOURS)
def test_cron_within_some_hours_goes_by_the_time_that_passes(
    place: tuple[str, datetime, datetime], step: int, hours: set[int]
) -> None:
    name, day, time = place
    expected = counted(name, day, lambda wall: wall.hour in hours and wall.minute % step == 0, elapsed=True)
    compare(Cron(f"*/{step} {listed(hours)} * * *", ZoneInfo(name)), expected, time)


@given(places(), st.integers(0, 6), st.integers(0, 3))
def test_a_time_on_one_day_of_the_week(place: tuple[str, datetime, datetime], weekday: int, hour: int) -> None:
    name, day, time = place
    expected = counted(name, day, lambda wall: wall.weekday() == weekday and (wall.hour, wall.minute) == (hour, 30),
                       elapsed=False)
    zone, word = ZoneInfo(name), WEEKDAYS[weekday]
    compare(At([f"{word} {hour}:30"], zone), expected, time)
    compare(Cron(f"30 {hour} * * {word}", zone), expected, time)
    compare(Calendar({"day_of_week": weekday, "hour": hour, "minute": 30}, zone), expected, time)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("clock_time", ["00:00", "00:30", "01:30", "02:00", "02:15", "02:30", "23:30"])
def test_each_day_of_the_year_has_one(name: str, clock_time: str) -> None:
    zone, time, found = ZoneInfo(name), datetime(2025, 12, 31, 12, tzinfo=UTC), []
    trigger = At([clock_time], zone)
    while (following := trigger.next_after(time)) is not None and len(found) < 366:
        found.append((time := following).astimezone(zone).date())
    assert len({*found}) == len(found)
    assert found[-1] - found[0] == 365 * DAY


# other days: as the libraries say it

EXPRESSION = st.tuples(*(
    st.sampled_from(kinds) for kinds in (
        ["0", "*", "*/7", "5-50/15", "30"], ["0", "*", "*/5", "2", "9-17", "3,22"], ["*", "1", "L", "*/10", "29-31"],
        ["*", "2", "*/3", "FEB,MAY", "12"], ["*", "MON", "1-5", "7", "SUN#1", "5L"]))).map(" ".join)
NEAR = st.integers(0, 3 * 365 * 24 * 3600 * 10).map(
    lambda tenths: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=tenths / 10))


def settled(zone: ZoneInfo, *times: datetime) -> bool:
    """Whether the clock changes near none of them."""
    return all(len({(time + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-36, 0, 36)}) == 1
               for time in times)


@given(EXPRESSION, st.sampled_from(ZONES), NEAR)
def test_cron_is_cronsim(expression: str, name: str, time: datetime) -> None:
    zone = ZoneInfo(name)
    expected = next(CronSim(expression, time.astimezone(zone)), None)
    assume(expected is not None)
    assert expected is not None
    assume(settled(zone, time, expected))
    assert Cron(expression, zone).next_after(time) == expected
    former = next(CronSim(expression, time.astimezone(zone), reverse=True))
    assume(settled(zone, former))
    assert Cron(expression, zone).previous_before(time) == former


@given(st.fixed_dictionaries({}, optional={
    "month": st.sampled_from(["*", "2", "*/3", "feb,may", "jan-mar"]), "second": st.sampled_from(["*/20", "7"]),
    "day": st.sampled_from(["*", "1", "last", "2nd tue", "*/10", "last fri"]),
    "day_of_week": st.sampled_from(["mon", "0-4", "6"]),
    "hour": st.sampled_from(["*", "3", "*/5", "9-17/2"]), "minute": st.sampled_from(["*", "0", "5/20", "1, 2"]),
}).filter(lambda fields: fields and ("day_of_week" not in fields or fields.get("day", "*")[-1].isdecimal())),
       st.sampled_from(ZONES), NEAR)
def test_calendar_is_apscheduler(fields: dict[str, str], name: str, time: datetime) -> None:
    zone = ZoneInfo(name)
    expected = CronTrigger(timezone=zone, **fields).get_next_fire_time(None, time + timedelta(microseconds=1))
    assert expected is not None
    assume(settled(zone, time, expected))
    assert Calendar(fields, zone).next_after(time) == expected


def test_where_cronsim_alone_would_lose_runs() -> None:  # ADR 0011
    half_an_hour = Cron("*/10 5 * * *", ZoneInfo("Australia/Lord_Howe"))
    assert half_an_hour.next_after(datetime(2026, 10, 3, 16, tzinfo=UTC)) == datetime(2026, 10, 3, 18, tzinfo=UTC)
    six_fields = Cron("0 30 2 * * *", ZoneInfo("Europe/Berlin"))
    assert six_fields.next_after(datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
