"""What of a period can be used, and is probably not what was meant: it is told, and never refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import islice

from common.schedule.times.days import MONTHS, DayRange, Spec, parse_days
from common.schedule.times.periods import Period, parse_times

SHOWN = 5
"""Doubts about one period that are told."""

_DAY = 86_400
_SHORT = {2: 28, 4: 30, 6: 30, 9: 30, 11: 30}
_LONGEST = 31
_ORDINARY, _LEAP = date(2027, 1, 1), date(2028, 1, 1)


def doubts(period: Period, time: float) -> list[str]:
    """One line for each, about its own days and times: those that never come, that mean other days, or that last for
    24 hours; and whether it never opens from `time` on, in epoch seconds.
    """
    found = [*islice((doubt for days, times in period.ranges.items() for doubt in (*_days(days), *_times(days, times))),
                     SHOWN)]
    if period.never_opens(time):
        found.append("it never opens" if period.never_opens(0.0) else "it never opens again: its days are past")
    return found


def _days(text: str) -> Iterator[str]:
    days = parse_days(text)
    if not days.comes():
        yield f"'{text}' never comes{_why(days)}"
        return
    for spec in dict.fromkeys((days.first, days.last)):
        if _strange(spec):
            yield f"'{text}': {_there_is_none(spec)}{_counted_on(spec)}"


def _why(days: DayRange) -> str:
    if days.first.fixed is not None:
        return ": it ends before it begins"
    strange = [spec for spec in (days.first, days.last) if _strange(spec)]
    return f": {_there_is_none(strange[0])}" if strange else ": no month has so many of a weekday"


def _strange(spec: Spec) -> bool:
    """Whether it is the number of a day that its month, or every month, lacks; in some years for 29 February."""
    most = _LONGEST if spec.month is None else _SHORT.get(spec.month, _LONGEST)
    return spec.number is not None and spec.weekday is None and not 1 <= abs(spec.number) <= most


def _there_is_none(spec: Spec) -> str:
    if spec.month is None:
        return f"no month has a day {spec.number}"
    some = "not every" if (spec.month, abs(spec.number or 0)) == (2, 29) else "no"
    return f"{some} {MONTHS[spec.month - 1]} has a day {spec.number}"


def _counted_on(spec: Spec) -> str:
    """Which days of the calendar it is, as far as they are always the same."""
    if spec.month is None:
        return ""
    ordinary, leap = (_named(spec, first) for first in (_ORDINARY, _LEAP))
    other = "" if leap == ordinary else f", in leap years {leap}"
    return ordinary and f"; it is {ordinary}{other}, as in Icinga 2"


def _named(spec: Spec, first: date) -> str:
    """The day that it is in a year; empty when that is one of another year."""
    day = spec.begin(first)
    return f"{MONTHS[day.month - 1]} {day.day}" if day is not None and day.year == first.year else ""


def _times(days: str, text: str) -> Iterator[str]:
    for part in text.split(","):
        (begin, end), = parse_times(part)
        hours = [int(clock.split(":")[0]) for clock in part.split("-")]
        if begin == end:
            yield f"{days}: '{part}' is no time at all"
        elif end - begin == _DAY and hours[0] == hours[1]:
            _, _, minutes = part.partition("-")[2].partition(":")
            plain = f"{part.partition('-')[0]}-{hours[0] + 24}:{minutes}"
            yield f"{days}: '{part}' is 24 hours, as in Icinga 2; if so, write {plain}"
