"""When an entry is due: triggers that know the planned times and nothing else. Aware times in, UTC out.

A further trigger is one more class with these two methods, one key in `model.Entry`, one reader in `fields.py` and one
line in `trigger_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from common.schedule.model import Base, Entry
from common.schedule.times import wall
from common.schedule.times.cron import Cron
from common.schedule.times.daytimes import At

GRID_ANCHOR = "2024-01-01T00:00:00"
"""Where a grid begins that names neither an anchor nor a start: a Monday, so that `1w` is from Monday to Monday."""

_TICK = timedelta(microseconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC)


class Trigger(Protocol):
    """An endless, or ending, row of planned times. The one way is the exact inverse of the other."""

    def next_after(self, time: datetime) -> datetime | None:
        """The first planned time later than `time`, or None when none comes."""

    def previous_before(self, time: datetime) -> datetime | None:
        """The last planned time earlier than `time`, or None when none came since 1970."""


@dataclass(frozen=True, slots=True)
class Once:
    """One planned time."""

    time: datetime

    def next_after(self, time: datetime) -> datetime | None:
        """Its time while that is ahead."""
        return self.time if time < self.time else None

    def previous_before(self, time: datetime) -> datetime | None:
        """Its time once that is past."""
        return self.time if self.time < time else None


@dataclass(frozen=True, slots=True)
class Grid:
    """Every `step` on a fixed grid, through `anchor` and to both of its sides, by the time that passes."""

    step: timedelta
    anchor: datetime

    def next_after(self, time: datetime) -> datetime | None:
        """None near the end of the calendar only."""
        return self._point((time - self.anchor) // self.step + 1)

    def previous_before(self, time: datetime) -> datetime | None:
        """None near the begin of the calendar only."""
        return self._point(-((self.anchor - time) // self.step) - 1)

    def _point(self, number: int) -> datetime | None:
        try:
            return self.anchor + self.step * number
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Bounded:
    """What of a trigger's times lies between two times, both of which belong to it."""

    trigger: Trigger
    start: datetime | None
    end: datetime | None

    def next_after(self, time: datetime) -> datetime | None:
        """None after the last one."""
        if self.start is not None and time < self.start:
            time = self.start - _TICK
        return self._kept(self.trigger.next_after(time))

    def previous_before(self, time: datetime) -> datetime | None:
        """None before the first one."""
        if self.end is not None and self.end < time:
            time = self.end + _TICK
        return self._kept(self.trigger.previous_before(time))

    def _kept(self, found: datetime | None) -> datetime | None:
        if found is None or (self.start is not None and found < self.start):
            return None
        return None if self.end is not None and self.end < found else found


def trigger_of(entry: Entry, zone: tzinfo) -> Trigger | None:
    """The trigger of an entry on a host that lives in `zone`; None for what no wall clock plans.

    That is what is manual or continuous, and an interval that counts from its runs: `base` start or end.
    Raises ValueError for what `entries.parse_entry` refuses.
    """
    trigger = _unbounded(entry, zone_of(entry, zone))
    start, end = bounds_of(entry, zone)
    return trigger if trigger is None or (start is None and end is None) else Bounded(trigger, start, end)


def _unbounded(entry: Entry, zone: tzinfo) -> Trigger | None:
    if entry.every is not None:
        if base_of(entry) != "grid":
            return None
        return Grid(timedelta(seconds=entry.every), instant(entry.anchor or entry.start or GRID_ANCHOR, zone))
    if entry.at:
        return At(entry.at, zone)
    if entry.cron is not None:
        return Cron(entry.cron, zone)
    if entry.calendar is not None:
        return calendar_of(entry.calendar, zone)
    return None if entry.once is None else Once(instant(entry.once, zone))


def calendar_of(fields: Mapping[str, str], zone: tzinfo) -> Trigger:
    """The trigger of calendar fields. Raises ValueError that names the field."""
    from common.schedule.times.calendar import Calendar  # only who uses it pays for its library, 15 MiB

    return Calendar(fields, zone)


def base_of(entry: Entry) -> Base:
    """What the entry's interval counts from."""
    if entry.base is not None:
        return entry.base
    return "start" if entry.anchor is None and entry.start is None else "grid"


def bounds_of(entry: Entry, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """The first and the last moment at which the entry may run, in UTC; None where it is not bounded."""
    zone = zone_of(entry, zone)
    return (None if entry.start is None else instant(entry.start, zone),
            None if entry.end is None else instant(entry.end, zone))


def zone_of(entry: Entry, zone: tzinfo) -> tzinfo:
    """The entry's own time zone, else the host's, `zone`."""
    return zone if entry.timezone is None else ZoneInfo(entry.timezone)


def instant(text: str, zone: tzinfo) -> datetime:
    """An ISO time, in UTC; without an offset it is read by the wall clock of `zone`. Raises ValueError."""
    found = datetime.fromisoformat(text)
    try:
        return wall.instant(found, zone) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return _LATEST  # 9999-12-31 in the west: for ever


def fingerprint(entry: Entry) -> str:
    """Text that changes when the entry's planned times change, and only then; empty for a manual entry."""
    parts = list(_fingerprinted(entry))
    if not parts:
        return ""
    if entry.timezone and (entry.at or entry.cron is not None or entry.calendar is not None or GRID_ANCHOR in parts):
        parts.append(f"in {entry.timezone}")
    parts += [f"{name} {_pinned(entry, text)}" for name, text in (("from", entry.start), ("to", entry.end)) if text]
    return " ".join(parts)


def _fingerprinted(entry: Entry) -> Iterable[str]:
    if entry.every is not None:
        base = base_of(entry)
        since = entry.anchor or entry.start
        yield f"every {entry.every!r} {base}"
        if base == "grid":
            yield _pinned(entry, since) if since else GRID_ANCHOR
    elif entry.at:
        yield f"at {','.join(sorted(set(entry.at)))}"
    elif entry.cron is not None:
        yield f"cron {' '.join(entry.cron.upper().split())}"
    elif entry.calendar is not None:
        yield "calendar " + " ".join(f"{name}={value}" for name, value in sorted(entry.calendar.items()))
    elif entry.once is not None:
        yield f"once {_pinned(entry, entry.once)}"
    elif entry.continuous:
        yield "continuous"


def _pinned(entry: Entry, text: str) -> str:
    """The moment itself where the entry tells it; a time of the host's own zone as it is written."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None and entry.timezone is None:
        return found.isoformat()
    return instant(text, zone_of(entry, UTC)).isoformat()
