"""Times of day, some of them on some days of the week only: `03:00`, `mon 10:00`, `mon-fri 09:00:30`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta, tzinfo

from common.schedule.times import wall
from common.schedule.times.days import WEEKDAYS

SHORT = tuple(name[:3] for name in WEEKDAYS)

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAYS_AHEAD = 9
"""Days in which each weekday has come, also when the calendar skips one (Pacific/Apia, 2011-12-30)."""


class At:
    """Times of day, each perhaps on some days of the week only, by the wall clock of a zone."""

    def __init__(self, times: Iterable[str], zone: tzinfo) -> None:
        """`times` as `parse_at` takes them. Raises ValueError."""
        self._times = sorted(((moment, days) for days, moment in map(read_at, times)), key=lambda item: item[0])
        self._zone = zone

    def next_after(self, time: datetime) -> datetime | None:
        """None near the end of the calendar only."""
        return wall.following(self._match, time, self._zone)

    def previous_before(self, time: datetime) -> datetime | None:
        """None before 1970 only."""
        return wall.previous(self.next_after, time)

    def _match(self, at: datetime) -> datetime | None:
        for ahead in range(_DAYS_AHEAD):
            day = at.date() + timedelta(days=ahead)
            for moment, days in self._times:
                found = datetime.combine(day, moment)
                if found > at and day.weekday() in days:
                    return found
        return None


def parse_at(text: str) -> str:
    """One time of `at` in its plain form: `03:00`, `mon 10:00`, `mon-fri 09:00:30`. Raises ValueError."""
    days, moment = read_at(text)
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    if len(days) == len(SHORT):
        return clock
    words = text.lower().split()[0]
    return f"{re.sub('[a-z]+', lambda name: name[0][:3], words)} {clock}"


def read_at(text: str) -> tuple[frozenset[int], time]:
    """The days of the week, 0 is Monday, and the time of day."""
    words = text.split()
    match = _CLOCK.fullmatch(words[-1]) if words else None
    if match is None or len(words) > 2:
        raise ValueError(f"'{text}' is no time of day, such as 03:00, 03:00:30 or mon 10:00")
    days = _weekdays(words[0].lower()) if len(words) == 2 else range(len(SHORT))
    hour, minute, second = (int(part or 0) for part in match.groups())
    return frozenset(days), time(hour, minute, second)


def _weekdays(text: str) -> Iterable[int]:
    """`mon`, `mon-fri`, `sat,sun`, `fri-mon`."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = _weekday(first), _weekday(last if dash else first)
        found.update((begin + day) % 7 for day in range((end - begin) % 7 + 1))
    return found


def _weekday(name: str) -> int:
    for names in (SHORT, WEEKDAYS):
        if name in names:
            return names.index(name)
    raise ValueError(f"'{name}' is no day of the week; they are {', '.join(SHORT)}")
