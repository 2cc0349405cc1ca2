"""Day definitions of time periods: `monday`, `day -1`, `monday 2 february - november 8 / 3`. Pure calendar arithmetic.

The grammar is that of Icinga 2's time periods, with three of its faults mended: a range of weekdays covers the days in
between, a range may go over the end of the year or of the month, and a stride counts days and not seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")
NUMBER_LIMIT = 100_000
"""Days that a number may say: far more than any calendar needs, and no date can overflow for it."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_ONE = timedelta(days=1)
_MOST_WEEKS = 5
"""Times that a weekday may come in a month."""
_YEARS = (2027, 2028, 2029)
"""All that days of months can be: in a year with a leap day, in those without, and next to one."""


class Spec(NamedTuple):
    """One end of a range. What is None was not said."""

    fixed: date | None = None
    """`2026-01-31`; then nothing else is set."""
    weekday: int | None = None
    """0 is Monday."""
    number: int | None = None
    """The day of the month, or which of the month's such weekdays; from its end when negative."""
    month: int | None = None

    def begin(self, day: date) -> date | None:
        """The day it means, seen from `day`: its year and its month; None when that month has no such weekday.

        A bare weekday is the next one that is not before `day`.
        """
        if self.fixed is not None:
            return self.fixed
        if self.number is None:
            assert self.weekday is not None
            return day + timedelta(days=(self.weekday - day.weekday()) % 7)
        first = date(day.year, self.month or day.month, 1)
        if self.weekday is None:
            return _counted(first, self.number)
        return _nth(first, self.weekday, self.number)


class DayRange(NamedTuple):
    """A day definition: the days from `first` to `last`, every `stride`-th of them."""

    first: Spec
    last: Spec
    stride: int = 1

    def covers(self, day: date) -> bool:
        """Whether it means this day."""
        begin = self._begin(day)
        return begin is not None and (day - begin).days % self.stride == 0

    def _begin(self, day: date) -> date | None:
        """The first day of that run of days which `day` is in, if there is one."""
        if _bare(self.first) and _bare(self.last):
            assert self.first.weekday is not None
            assert self.last.weekday is not None
            gone = (day.weekday() - self.first.weekday) % 7
            return day - timedelta(days=gone) if gone <= (self.last.weekday - self.first.weekday) % 7 else None
        return next((begin for begin, end in self._runs(day) if begin <= day <= end), None)

    def comes(self) -> bool:
        """Whether it can mean a day at all; false only when that is certain."""
        ends = (self.first, self.last)
        if self.first.fixed is not None and self.last.fixed is not None:
            return self.first.fixed <= self.last.fixed
        if not all(spec.number is not None and spec.weekday is None for spec in ends):
            return all(abs(spec.number or 0) <= _MOST_WEEKS for spec in ends if spec.weekday is not None)
        months = [date(year, month, 1) for year in _YEARS for month in range(1, 13)]
        return any(begin < _following(first) and first <= end for first in months for begin, end in self._runs(first))

    def _runs(self, day: date) -> Iterator[tuple[date, date]]:
        """The first and the last of the days that are meant by the year and the month of `day`; and of those meant by
        the ones before, where they go over their end.
        """
        for at in (day, self._turn(day)):
            begin, end = self.first.begin(at), self.last.begin(at)
            if begin is None or end is None:
                continue
            if end < begin and self._wraps():
                end = self.last.begin(self._turn(at, back=False))
            elif at is not day:
                continue
            if end is not None:
                yield begin, end

    def _wraps(self) -> bool:
        """Whether the end may lie in the next year or month: both ends are told by the month, or both by the day."""
        ends = (self.first, self.last)
        return all(spec.number is not None for spec in ends) and _yearly(self.first) == _yearly(self.last)

    def _turn(self, day: date, *, back: bool = True) -> date:
        """A day of the year, or of the month, before or after."""
        if _yearly(self.first) or _yearly(self.last):
            return date(day.year - 1 if back else day.year + 1, 1, 1)
        first = day.replace(day=1)
        return (first - _ONE).replace(day=1) if back else (first + timedelta(days=31)).replace(day=1)


def parse_days(text: str) -> DayRange:
    """A day definition. Raises ValueError that says what is wrong with it."""
    head, dash, tail = text.partition("- ")
    if not dash:
        spec, slash, stride = text.partition("/")
        first = _spec(spec.split(" "), spec)
        return DayRange(first, first, _stride(stride) if slash else 1)
    end, slash, stride = tail.partition("/")
    words = head.strip().split(" ")
    first = _spec(words, head.strip())
    last_words = end.strip().split(" ")
    if _NUMBER.fullmatch(last_words[0]):
        last_words = [words[0], *last_words]
    return DayRange(first, _spec(last_words, end.strip()), _stride(stride) if slash else 1)


def _spec(words: list[str], text: str) -> Spec:
    if _DATE.fullmatch(text):
        try:
            return Spec(fixed=date.fromisoformat(text))
        except ValueError:
            raise ValueError(f"the calendar has no {text}") from None
    name, numbers = words[0], words[1:]
    if name == "day" or name in MONTHS:
        # A third word that is a number is no range, for want of a blank, and means nothing: so it is in Icinga.
        if not numbers or (len(numbers) > 1 and not (len(numbers) == 2 and _NUMBER.fullmatch(numbers[1]))):
            raise ValueError(f"'{text}' is no day: after '{name}' comes one number")
        return Spec(number=_number(numbers[0]), month=MONTHS.index(name) + 1 if name in MONTHS else None)
    if name in WEEKDAYS and len(numbers) < 3:
        month = numbers[1] if len(numbers) == 2 else None
        if month is not None and month not in MONTHS:
            raise ValueError(f"'{month}' is no month")
        number = _number(numbers[0]) if numbers else None
        if number == 0:
            raise ValueError(f"'{text}' is no day: weekdays of a month are counted from 1, or from -1 backwards")
        return Spec(weekday=WEEKDAYS.index(name), number=number, month=MONTHS.index(month) + 1 if month else None)
    raise ValueError(f"'{text}' is no day, such as 2026-12-24, monday, monday -1, monday 1 may, day 15 or july 4")


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text}' is no number")
    number = int(text)
    if abs(number) > NUMBER_LIMIT:
        raise ValueError(f"{number} is too large")
    return number


def _stride(text: str) -> int:
    """Every how many days; 0 counts as 1."""
    number = _number(text.strip())
    if number < 0:
        raise ValueError(f"a stride cannot be {number}")
    return max(1, number)


def _bare(spec: Spec) -> bool:
    return spec.weekday is not None and spec.number is None


def _yearly(spec: Spec) -> bool:
    return spec.month is not None


def _counted(first: date, number: int) -> date:
    """The `number`-th day of the month that begins with `first`, or from its end; beyond them in its neighbours."""
    if number >= 0:
        return first + timedelta(days=number - 1)
    return _following(first) + timedelta(days=number)


def _nth(first: date, weekday: int, number: int) -> date | None:
    if number > 0:
        found = first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))
    else:
        last = _following(first) - _ONE
        found = last - timedelta(days=(last.weekday() - weekday) % 7 + 7 * (-number - 1))
    return found if found.month == first.month and found.year == first.year else None


def _following(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
