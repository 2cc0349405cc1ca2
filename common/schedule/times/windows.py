"""When an entry may run: inside one of its periods `during`, and outside all those it `except`s. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from common.schedule.model import Entry
from common.schedule.times.periods import Period, Segment, minus, union

HORIZON = 5 * 366 * 86_400.0
"""Seconds that the next opening is looked for ahead."""
_DAY = 86_400.0


class Windows:
    """The windows of one entry. Times are epoch seconds; a period that is not there is never open."""

    __slots__ = ("_all_day", "_during", "_excepting", "_size", "always", "named", "unknown", "work")

    def __init__(self, entry: Entry, periods: Mapping[str, Period]) -> None:
        names = (*entry.during, *entry.excepting)
        self.unknown = tuple(name for name in names if name not in periods)
        self.always = not names
        self._all_day = not entry.during
        self.named = {name: periods[name] for name in names if name in periods}
        self._during = [periods[name] for name in entry.during if name in periods]
        self._excepting = [periods[name] for name in entry.excepting if name in periods]
        self._size = sum(period.size for period in (*self._during, *self._excepting))
        self.work = math.inf
        """Days, times the days and times of the periods, that may be looked at yet; TimeoutError ends it."""

    def is_open(self, time: float) -> bool:
        """Whether the entry may run at this time."""
        if self.always:
            return True
        self._spend(2.0)
        if any(period.is_inside(time) for period in self._excepting):
            return False
        return self._all_day or any(period.is_inside(time) for period in self._during)

    def segments(self, begin: float, end: float) -> list[Segment]:
        """The open stretches between two times, in order."""
        if begin >= end:
            return []
        self._spend((end - begin) / _DAY + 2.0)
        inside = [Segment(begin, end)] if self._all_day else union(
            segment for period in self._during for segment in period.segments(begin, end))
        if not self._excepting:
            return inside
        return minus(inside, union(segment for period in self._excepting for segment in period.segments(begin, end)))

    def next_opening(self, time: float) -> float | None:
        """The first time from `time` on at which it is open; None when it does not open in five years."""
        if self.is_open(time):
            return time
        looked, span = 0.0, _DAY
        while looked < HORIZON:
            found = self.segments(time + looked, time + looked + span)
            if found:
                return found[0].begin
            looked += span
            span = min(span * 2, 400 * _DAY)
        return None

    def _spend(self, days: float) -> None:
        self.work -= days * self._size
        if self.work < 0:
            raise TimeoutError

    def changes(self, begin: float, end: float) -> list[tuple[float, bool]]:
        """Where the windows stand from `begin` on, and each change before `end`: (time, whether it is open then)."""
        if self.always:
            return [(begin, True)]
        found: list[tuple[float, bool]] = []
        at = begin
        for segment in self.segments(begin, end):
            if segment.begin > at:
                found.append((at, False))
            found.append((segment.begin, True))
            at = segment.end
        if at < end or not found:
            found.append((at, False))
        return found


