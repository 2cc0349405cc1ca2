"""Days in words, for `explain.py`: of the month, of the week, and both together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from common.schedule.ahead.words import FEWEST, even, listed, ordinal, parts, ranged
from common.schedule.times.days import MONTHS, WEEKDAYS

LAST = -1
"""The last such weekday of a month."""
_COUNTS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_SHORTEST_MONTH = 28


class Nth(NamedTuple):
    """The `place`-th such weekday of a month; `LAST` is the last one."""

    weekday: int
    """0 is Monday."""
    place: int


class MonthDays(NamedTuple):
    """Days of a month."""

    numbers: frozenset[int] = frozenset(range(1, 32))
    last: bool = False
    """The last day."""
    last_workday: bool = False
    """The last day that is a Monday to Friday."""
    nth: frozenset[Nth] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it is every day."""
        return len(self.numbers) == 31


class WeekDays(NamedTuple):
    """Days of the week."""

    numbers: frozenset[int] = frozenset(range(7))
    """0 is Monday."""
    nth: frozenset[Nth] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it is every day."""
        return len(self.numbers) == 7


def weekday(number: int) -> str:
    """`Monday` for 0."""
    return WEEKDAYS[number].capitalize()


def month(number: int) -> str:
    """`January` for 1."""
    return MONTHS[number - 1].capitalize()


def days(of_month: MonthDays, of_week: WeekDays, *, both: bool = True) -> str:
    """`on Monday to Friday`, `on day 1 of the month or on a Friday`; empty when it is every day.

    `both` says that a day must be one and the other; else one of them is enough.
    """
    if (of_month.whole and of_week.whole) or (not both and (of_month.whole or of_week.whole)):
        return ""
    if of_week.whole:
        return _on_month_days(of_month)
    if of_month.whole:
        return _on_week_days(of_week)
    if not both:
        return f"{_on_month_days(of_month)} and also {_on_week_days(of_week)}"
    return f"{_on_month_days(of_month)} when that is {_a_week_day(of_week)}"


def months(numbers: Iterable[int]) -> str:
    """`in June to August`; empty for all of them."""
    chosen = set(numbers)
    return "" if len(chosen) == 12 else f"in {ranged(chosen, month)}"


def _on_month_days(chosen: MonthDays) -> str:
    named = [f"the {_COUNTS[nth.place]} {weekday(nth.weekday)}" for nth in sorted(chosen.nth)]
    if chosen.last_workday:
        named.append("the last Monday to Friday")
    if chosen.last:
        named.append("the last day")
    if not chosen.numbers:
        return f"on {listed(named)} of the month"
    which = "months that have it" if min(chosen.numbers) > _SHORTEST_MONTH and not named else "the month"
    return f"on {listed([_numbered(sorted(chosen.numbers)), *named])} of {which}"


def _numbered(numbers: Sequence[int]) -> str:
    step = even(numbers)
    if len(numbers) >= FEWEST and step > 1:
        return f"{stepped(step, 'day')} from {numbers[0]} to {numbers[-1]}"
    return f"day{'' if len(numbers) == 1 else 's'} {ranged(numbers)}"


def _on_week_days(chosen: WeekDays) -> str:
    return f"on {listed([*parts(chosen.numbers, weekday), *_nth(chosen)])}"


def _a_week_day(chosen: WeekDays) -> str:
    return listed([*(f"a {part}" for part in parts(chosen.numbers, weekday)), *_nth(chosen)], "or")


def _nth(chosen: WeekDays) -> list[str]:
    return [f"the {_COUNTS[nth.place]} {weekday(nth.weekday)} of the month" for nth in sorted(chosen.nth)]


def weeks(numbers: Iterable[int]) -> str:
    """`in week 1 of the year`; ISO weeks; empty for all of them."""
    chosen = set(numbers)
    if len(chosen) == 53:
        return ""
    return f"in week{'' if len(chosen) == 1 else 's'} {ranged(chosen)} of the year"


def stepped(step: int, unit: str) -> str:
    """`every 2nd year`."""
    return f"every {unit}" if step == 1 else f"every {ordinal(step)} {unit}"
