"""The periods of a `periods:` mapping: named windows that may include and exclude others, checked as they are read.

Pure but for time zones: whether one exists is asked of this host's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from common.errors import UsageError
from common.schedule.entries.fields import LIST_LIMIT, NAME, NAMES, READERS
from common.schedule.times.days import MONTHS, WEEKDAYS, parse_days
from common.schedule.times.periods import Period, parse_times
from common.text import escape, nearest

PERIODS_LIMIT = 1_000
PARTS_LIMIT = 1_000
"""Periods that one consists of, with all that those include and exclude, each as often as it is named."""
SIZE_LIMIT = 2_000
"""Days and times of one period with all that it includes and excludes: each costs some microseconds a day looked at."""

_OPTIONS = ("timezone", "includes", "excludes", "prefer_includes")
_WORDS = (*_OPTIONS, *WEEKDAYS, *MONTHS, "day")


def read_periods(periods: Any, zone: tzinfo) -> tuple[dict[str, Period], dict[str, str]]:
    """The periods that can be used by name, and what is wrong with the others: one line for each name.

    `zone` is the host's, for those that name none. A period that includes or excludes a bad one is bad itself. Raises
    UsageError when there is no mapping at all.
    """
    if periods is None:
        return {}, {}
    if not isinstance(periods, Mapping):
        raise UsageError("cannot use the periods: they must be a mapping of names to periods")
    if len(periods) > PERIODS_LIMIT:
        raise UsageError(f"cannot use the periods: there are {len(periods)}, and {PERIODS_LIMIT} are allowed")
    reader = _Reader(periods, zone)
    for name in periods:
        reader.read(name)
    return {name: reader.found[name] for name in periods if name in reader.found}, reader.problems


def parse_period(fields: Any, known: Mapping[str, Period], zone: tzinfo, name: str = "given") -> Period:
    """One period that is in no file; it may include and exclude the `known` ones. Raises UsageError."""
    try:
        return _period(fields, known, zone)
    except ValueError as error:
        raise UsageError(f"cannot use the period '{escape(name[:100])}': {error}") from error


class _Reader:
    """Makes periods in the order in which they need one another."""

    def __init__(self, periods: Mapping[Any, Any], zone: tzinfo) -> None:
        self.found: dict[str, Period] = {}
        self.problems: dict[str, str] = {}
        self._periods = periods
        self._zone = zone
        self._sizes: dict[str, int] = {}
        self._path: list[str] = []

    def read(self, name: Any) -> None:
        """Make this period and those that it needs, or find out what is wrong with them."""
        if name in self.found or name in self.problems:
            return
        try:
            self._read(name)
        except ValueError as error:
            self.problems[str(name)] = f"cannot use the period '{escape(str(name)[:100])}': {error}"

    def _read(self, name: Any) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"a name takes {NAMES}")
        fields = self._periods[name]
        needed = list(_needed(fields))
        self._path.append(name)
        try:
            for key, other in needed:
                self._need(key, other)
        finally:
            self._path.pop()
        size = 1 + sum(self._sizes[other] for _, other in needed)
        if size > PARTS_LIMIT:
            raise ValueError(f"it consists of {size} periods, and {PARTS_LIMIT} are allowed")
        period = _period(fields, self.found, self._zone)
        if period.size > SIZE_LIMIT:
            raise ValueError(f"it has {period.size} days and times, with those that it includes and excludes, and "
                             f"{SIZE_LIMIT} are allowed")
        self.found[name] = period
        self._sizes[name] = size

    def _need(self, key: str, other: str) -> None:
        if other not in self._periods:
            near = nearest(other, map(str, self._periods))
            raise ValueError(f"{key} names '{other}', and there is no such period{near}")
        if other in self._path:
            circle = [*self._path[self._path.index(other):], other]
            raise ValueError(f"{key} leads back to where it began: {' > '.join(circle)}")
        if len(self._path) > LIST_LIMIT:
            raise ValueError(f"{key} goes more than {LIST_LIMIT} periods deep")
        self.read(other)
        if other not in self.found:
            raise ValueError(f"{key} names '{other}', which cannot be used itself")


def _needed(fields: Any) -> Iterator[tuple[str, str]]:
    """The periods that one names, each with the key that does. Raises ValueError."""
    for key in ("includes", "excludes"):
        if isinstance(fields, Mapping) and key in fields:
            for name in _names(key, fields[key]):
                yield key, name


def _period(fields: Any, known: Mapping[str, Period], zone: tzinfo) -> Period:
    if not isinstance(fields, Mapping):
        raise ValueError('it must be a mapping of days to times, such as {"monday - friday": "09:00-17:00"}')
    others: dict[str, list[Period]] = {"includes": [], "excludes": []}
    for key, name in _needed(fields):
        if name not in known:
            raise ValueError(f"{key} names '{name}', and there is no such period{nearest(name, known)}")
        others[key].append(known[name])
    return Period(dict(_ranges(fields)), _zone(fields.get("timezone"), zone), includes=others["includes"],
                  excludes=others["excludes"], prefer_includes=_preference(fields.get("prefer_includes", True)))


def _ranges(fields: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if key in _OPTIONS:
            continue
        days = key.isoformat() if isinstance(key, date) else key  # YAML makes a date of 2026-12-24
        if not isinstance(days, str):
            raise ValueError(f"'{escape(str(key)[:100])}' is no day, such as monday, day -1 or december 24")
        try:
            parse_days(days)
        except ValueError as error:
            raise ValueError(f"{escape(str(error)[:300])}{_meant(days)}") from error
        yield days, _times(days, value)


def _meant(days: str) -> str:
    first = days.split(" ")[0]
    return "" if first in _WORDS else nearest(first.lower(), _WORDS)


def _times(days: str, value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{escape(days[:100])} needs times in quotes, such as '09:00-12:00,13:00-17:00'")
    text = ",".join(parts)
    try:
        parse_times(text)
    except ValueError as error:
        raise ValueError(f"{escape(days[:100])}: {escape(str(error)[:300])}") from error
    return text


def _names(key: str, value: Any) -> tuple[str, ...]:
    try:
        found: tuple[str, ...] = READERS["during"](value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    return found


def _zone(value: Any, zone: tzinfo) -> tzinfo:
    try:
        return zone if value is None else ZoneInfo(READERS["timezone"](value))
    except ValueError as error:
        raise ValueError(f"timezone is {escape(repr(value)[:100])}: {error}") from error


def _preference(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"prefer_includes is {escape(repr(value)[:100])}: it must be true or false")
    return value
