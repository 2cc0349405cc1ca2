"""When an entry is due: triggers that know the planned times and nothing else. Aware times in, UTC out.

A further trigger is one more class with these two methods, one key in `model.Entry`, one reader in `fields.py` and one
line in `trigger_of`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from common.schedule import wall
from common.schedule.model import Base, Entry

EXPRESSION_LIMIT = 200
"""Characters of a cron expression."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GRID_ANCHOR = "2024-01-01T00:00:00"
"""Where a grid begins that names neither an anchor nor a start: a Monday, so that `1w` is from Monday to Monday."""

_TICK = timedelta(microseconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAYS_AHEAD = 9
"""Days in which each weekday has come, also when the calendar skips one (Pacific/Apia, 2011-12-30)."""


class Trigger(Protocol):
    """An endless, or ending, row of planned times. The one way is the exact inverse of the other."""

    def next_after(self, time: datetime) -> datetime | None:
        """The first planned time later than `time`, or None when none comes."""

    def previous_before(self, time: datetime) -> datetime | None:
        """The last planned time earlier than `time`, or None when none came since 1970."""


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


class Cron:
    """A cron expression in a time zone, with Debian's rules for daylight saving.

    A time of day that a change skips comes at the end of the gap; one that comes twice counts once, the first time;
    `*` in minutes or hours goes by elapsed time. Six fields begin with seconds.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        """Raises ValueError when the expression is none. `check_cron` says whether it ever comes."""
        try:
            self._sim = CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 (the wall clock's own time)
        except CronSimError as error:
            raise ValueError(str(error)[:1].lower() + str(error)[1:]) from error
        minutes, hours = expression.split()[-5:-3]
        self._elapsed = minutes.startswith("*") or hours.startswith("*")
        self._zone = zone

    def next_after(self, time: datetime) -> datetime | None:
        """None when the expression matches no date in the next fifty years."""
        return wall.following(self._match, time, self._zone, elapsed=self._elapsed)

    def previous_before(self, time: datetime) -> datetime | None:
        """None before 1970 only."""
        return wall.previous(self.next_after, time)

    def _match(self, at: datetime) -> datetime | None:
        sim = copy.copy(self._sim)  # parsing costs more than looking
        sim.dt = at.replace(microsecond=0)
        found: datetime | None = next(sim, None)
        return found


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
        from common.schedule.calendar import Calendar  # only who uses it pays for its library, 15 MiB

        return Calendar(entry.calendar, zone)
    return None if entry.once is None else Once(instant(entry.once, zone))


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


def check_cron(expression: str) -> str:
    """The expression. Raises ValueError that says what is wrong with it, also when it never comes."""
    if len(expression) > EXPRESSION_LIMIT:
        raise ValueError(f"it has {len(expression)} characters, and {EXPRESSION_LIMIT} are allowed")
    if Cron(expression, UTC).next_after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("it never comes")
    return expression


def parse_at(text: str) -> str:
    """One time of `at` in its plain form: `03:00`, `mon 10:00`, `mon-fri 09:00:30`. Raises ValueError."""
    days, moment = read_at(text)
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    if len(days) == len(WEEKDAYS):
        return clock
    words = text.lower().split()[0]
    return f"{re.sub('[a-z]+', lambda name: name[0][:3], words)} {clock}"


def read_at(text: str) -> tuple[frozenset[int], time]:
    """The days of the week, 0 is Monday, and the time of day."""
    words = text.split()
    match = _CLOCK.fullmatch(words[-1]) if words else None
    if match is None or len(words) > 2:
        raise ValueError(f"'{text}' is no time of day, such as 03:00, 03:00:30 or mon 10:00")
    days = _weekdays(words[0].lower()) if len(words) == 2 else range(len(WEEKDAYS))
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


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _weekday(name: str) -> int:
    for names in (WEEKDAYS, _LONG):
        if name in names:
            return names.index(name)
    raise ValueError(f"'{name}' is no day of the week; they are {', '.join(WEEKDAYS)}")
