"""Time periods: named sets of time windows, in a zone. Pure. `days.py` has the grammar of the days.

A period maps day definitions to times: `{"monday - friday": "09:00-17:00", "december 24": "00:00-12:00,18:00-24:00"}`.
All its ranges are united. Other periods are included or excluded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from common.schedule.times.days import DayRange, parse_days

RANGES_LIMIT = 1_000
"""Day definitions in one period."""
TIMES_LIMIT = 100
"""Times in one day definition."""
HOURS_LIMIT = 24 * 31
"""Hours that a time may say: it may end a month after its day began."""
HORIZON = 366 * 40
"""Days that `next_opening` looks ahead: the 29th of February is a Monday once in 28 years, or 40 around 2100."""

_RANGE = re.compile(r"([0-9]{1,3}):([0-9]{2})(?::([0-9]{2}))?-([0-9]{1,3}):([0-9]{2})(?::([0-9]{2}))?")
_DAY = 86_400


class Times(NamedTuple):
    """Seconds after midnight, by the clock on the wall: half open, and perhaps on the next day."""

    begin: int
    end: int


class Segment(NamedTuple):
    """A stretch of time in which a period is open, epoch seconds: `begin` belongs to it, `end` does not."""

    begin: float
    end: float


class Period:
    """A set of time windows. Times asked for and told are epoch seconds."""

    def __init__(
        self, ranges: Mapping[str, str], zone: tzinfo, *, includes: Iterable[Period] = (),
        excludes: Iterable[Period] = (), prefer_includes: bool = True,
    ) -> None:
        """`ranges` maps day definitions to times; `zone` is whose wall clock they are read by.

        What is both included and excluded is in when `prefer_includes`, else out. Raises ValueError.
        """
        if len(ranges) > RANGES_LIMIT:
            raise ValueError(f"it has {len(ranges)} day definitions, and {RANGES_LIMIT} are allowed")
        self._ranges = [(parse_days(days), parse_times(times)) for days, times in ranges.items()]
        self.ranges = dict(ranges)
        self.zone = zone
        self.includes = tuple(includes)
        self._excludes = tuple(excludes)
        self._prefer_includes = prefer_includes
        self._size = sum(1 + len(times) for _, times in self._ranges) + sum(
            period.size for period in (*self.includes, *self._excludes))
        longest = max((time.end for _, times in self._ranges for time in times), default=0)
        self._spill = longest // _DAY + 1

    def never_opens(self, time: float) -> bool:
        """Whether it is plain that it does not open from this time on: none of its days comes any more, nor do those
        of what it includes. What others exclude is not looked at.
        """
        day = self._local(time) - timedelta(days=self._spill)
        return not any(_comes(days, day) and any(begin < end for begin, end in times) for days, times in self._ranges) \
            and all(period.never_opens(time) for period in self.includes)

    @property
    def size(self) -> int:
        """Its day definitions with their times, with those of all that it includes and excludes."""
        return self._size

    def segments(self, begin: float, end: float) -> list[Segment]:
        """The open stretches between two times, cut to them, in order; no two of them touch."""
        own = union(self._own(begin, end))
        included = union(segment for period in self.includes for segment in period.segments(begin, end))
        excluded = union(segment for period in self._excludes for segment in period.segments(begin, end))
        if self._prefer_includes:
            return union([*minus(own, excluded), *included])
        return minus(union([*own, *included]), excluded)

    def is_inside(self, time: float) -> bool:
        """Whether it is open at this time."""
        return any(segment.begin <= time < segment.end for segment in self.segments(time, time + 1.0))

    def next_opening(self, time: float) -> float | None:
        """The first time that is not before `time` at which it is open, or None when it does not open again."""
        span = 86_400.0
        looked = 0.0
        while looked < HORIZON * _DAY:
            try:
                found = self.segments(time + looked, time + looked + span)
            except (ValueError, OverflowError):
                return None  # the calendar ends with the year 9999
            if found:
                return found[0].begin
            looked += span
            span = min(span * 2, 400.0 * _DAY)
        return None

    def _own(self, begin: float, end: float) -> Iterator[Segment]:
        """What the ranges say, cut to the window."""
        day, last = self._local(begin) - timedelta(days=self._spill), self._local(end)
        while day <= last:
            for time in self._times(day):
                segment = Segment(max(begin, self._instant(day, time.begin)), min(end, self._instant(day, time.end)))
                if segment.begin < segment.end:
                    yield segment
            day += timedelta(days=1)

    def _local(self, time: float) -> date:
        return datetime.fromtimestamp(time, UTC).astimezone(self.zone).date()

    def _times(self, day: date) -> Iterator[Times]:
        for days, times in self._ranges:
            if days.covers(day):
                yield from times

    def _instant(self, day: date, seconds: int) -> float:
        """When the wall clock says so: the first time if it does so twice; as before the change if it never does."""
        # Sums of a datetime with a zone go by its wall clock.
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return (midnight + timedelta(seconds=seconds)).timestamp()


def _comes(days: DayRange, day: date) -> bool:
    """Whether it may mean that day, or a later one."""
    return days.comes() and (days.last.fixed is None or days.last.fixed >= day)


def parse_times(text: str) -> tuple[Times, ...]:
    """`09:00-12:00,13:00-17:00`. An end that is not after the begin is on the next day. Raises ValueError."""
    parts = text.split(",")
    if len(parts) > TIMES_LIMIT:
        raise ValueError(f"it has {len(parts)} times, and {TIMES_LIMIT} are allowed")
    return tuple(map(_times, parts))


def _times(text: str) -> Times:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time range, such as 09:00-17:00 or 22:00-06:00; no blanks")
    numbers = [int(part or 0) for part in match.groups()]
    begin, end = (hours * 3600 + minutes * 60 + seconds for hours, minutes, seconds in (numbers[:3], numbers[3:]))
    end = end if end > begin else end + _DAY
    if end > HOURS_LIMIT * 3600:
        raise ValueError(f"'{text}' ends more than {HOURS_LIMIT} hours after its day begins")
    return Times(begin, max(begin, end))


def union(segments: Iterable[Segment]) -> list[Segment]:
    """All of them, in order, those that overlap or touch made one."""
    merged: list[Segment] = []
    for segment in sorted(segments):
        if merged and segment.begin <= merged[-1].end:
            merged[-1] = Segment(merged[-1].begin, max(merged[-1].end, segment.end))
        else:
            merged.append(segment)
    return merged


def minus(segments: list[Segment], holes: list[Segment]) -> list[Segment]:
    """What is left of `segments` without `holes`; both are in order, as `union` makes them."""
    left: list[Segment] = []
    for begin, end in segments:
        at = begin
        for hole in holes:
            if hole.end <= at or hole.begin >= end:
                continue
            if hole.begin > at:
                left.append(Segment(at, hole.begin))
            at = max(at, hole.end)
        if at < end:
            left.append(Segment(at, end))
    return left
