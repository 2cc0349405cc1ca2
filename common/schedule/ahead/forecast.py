"""When an entry will run: its planned times in its windows, what the changes of the clock do to them, and what never
comes. Pure; the engine decides when the time is there, this only looks ahead."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from msgspec import structs

from common.schedule.ahead.words import even, listed
from common.schedule.model import Entry
from common.schedule.times.doubts import doubts
from common.schedule.times.periods import Period, Segment
from common.schedule.times.triggers import Trigger, bounds_of, trigger_of, zone_of
from common.schedule.times.windows import Windows

RUNS_LIMIT = 100_000
"""Planned times of one entry that are looked at."""
HORIZON = 366 * 10 * 86_400.0
"""Seconds ahead in which a run must be possible, or there never is one."""

_MEETINGS = 1_000
"""Openings of a window at which a trigger is looked for, before it counts as one that never meets them."""
_SHOWN = 4
_SAMPLE = 120
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


class Run(NamedTuple):
    """One planned run; times are epoch seconds, without splay."""

    planned: float
    begins: float | None
    """When its job begins if nothing holds it up; None when its window is closed, so that it is skipped."""


class Change(NamedTuple):
    """A change of a zone's offset."""

    at: datetime
    """In UTC: the first instant of the new offset."""
    before: timedelta
    after: timedelta


class Oddity(NamedTuple):
    """What a change of the clock does to an entry."""

    at: float
    """Epoch seconds of the change."""
    text: str


@dataclass(frozen=True)
class Outlook:
    """One entry, made ready to look ahead."""

    entry: Entry
    zone: tzinfo
    """The entry's own."""
    trigger: Trigger | None
    windows: Windows
    start: float | None
    end: float | None
    runs: int = 0
    """Of `max_runs`, that were."""
    usual: float = 0.0
    """Seconds that a run takes: what counts from the end of a run needs it."""

    def left(self) -> int:
        """How many runs it may have at all."""
        return RUNS_LIMIT if self.entry.max_runs is None else max(0, min(RUNS_LIMIT, self.entry.max_runs - self.runs))

    @property
    def counted(self) -> bool:
        """Whether its runs count from one another, and no clock on the wall plans them."""
        return self.trigger is None and (self.entry.every is not None or self.entry.continuous)


def outlook(entry: Entry, zone: tzinfo, periods: Mapping[str, Period], runs: int = 0, usual: float = 0.0) -> Outlook:
    """Make an entry ready; `zone` is the host's, `runs` how many it had."""
    start, end = (None if bound is None else bound.timestamp() for bound in bounds_of(entry, zone))
    return Outlook(entry, zone_of(entry, zone), trigger_of(entry, zone), Windows(entry, periods), start, end,
                   runs, usual)


def forecast(look: Outlook, begin: float, end: float, most: int = RUNS_LIMIT) -> list[Run]:
    """Its planned runs after `begin` and up to `end`, in order, `most` at most; none when it is disabled."""
    if not look.entry.enabled:
        return []
    found: list[Run] = []
    begun, left = 0, look.left()
    rows = _counted(look, begin, end) if look.counted else _planned(look, begin, end)
    for run in itertools.islice(rows, most):
        if begun >= left:
            break
        begun += run.begins is not None
        found.append(run)
    return found


def following(look: Outlook, begin: float, count: int) -> list[float]:
    """The next `count` times after `begin` at which it begins, fewer when no more come in ten years."""
    found: list[float] = []
    at = begin
    for _ in range(min(count, look.left())):
        then = _next_open(look, at, begin + HORIZON)
        if then is None:
            break
        found.append(then)
        at = _over(look, then)
    return found


def finished(look: Outlook, now: float) -> str:
    """Why nothing of it is left to run, as it was meant to be; empty when something is."""
    if not look.entry.enabled:
        return ""
    if not look.left():
        return "it had its one run" if look.entry.max_runs == 1 else f"it had its {look.entry.max_runs} runs"
    past = look.entry.once is not None and look.trigger is not None and look.trigger.next_after(_utc(now)) is None
    return f"its time was {look.entry.once}" if past else ""


def never(look: Outlook, now: float) -> str:
    """Why it can never run by itself again; empty when it can, is not meant to, or is finished."""
    why = barren(look, now)
    return why if why and _next_open(look, now, now + HORIZON) is None else ""


def barren(look: Outlook, now: float) -> str:
    """Why no run of it is to be found; empty when it is not meant to run by itself, or is finished."""
    entry, windows = look.entry, look.windows
    if not entry.enabled or (look.trigger is None and not look.counted) or finished(look, now):
        return ""
    if look.end is not None and look.end < now:
        return f"it ended {entry.end}"
    if look.trigger is not None and look.trigger.next_after(_utc(now)) is None:
        return "none of its times is still to come"
    if windows.unknown:
        return f"there is no period {listed(windows.unknown, 'or')}"
    shut = [f"'{name}'" for name in entry.during if windows.named[name].never_opens(now)]
    if shut and len(shut) == len(entry.during):
        return f"the period{'' if len(shut) == 1 else 's'} {listed(shut)} never open{'s' if len(shut) == 1 else ''}"
    return "none of its times comes" if windows.always else "none of its times lies in its window"


def doubtful(look: Outlook, now: float) -> list[str]:
    """What of its periods is probably not what was meant."""
    return [f"period '{name}': {doubt}" for name, period in look.windows.named.items() for doubt in doubts(period, now)]


def oddities(look: Outlook, begin: float, end: float) -> list[Oddity]:
    """What changes of its zone's clock do to it between two times. An even row round the clock has none."""
    entry, trigger = look.entry, look.trigger
    if trigger is None or not entry.enabled or not (entry.cron or entry.at or entry.calendar or _naive(entry.once)):
        return []
    # The same trigger in a zone without changes tells the times that are meant.
    meant = trigger_of(structs.replace(entry, timezone="UTC", start=None, end=None), UTC)
    if meant is None:
        return []
    found = (_oddity(trigger, meant, change, look.zone) for change in changes(look.zone, _utc(begin), _utc(end)))
    return [oddity for oddity in found if oddity is not None]


def changes(zone: tzinfo, begin: datetime, end: datetime) -> Iterator[Change]:
    """The changes of a zone's offset between two times. One that is taken back within a day is not seen."""
    at = begin
    while at < end:
        later = min(at + _DAY, end)
        if _offset(at, zone) != _offset(later, zone):
            low, high = at, later
            while high - low > _SECOND:
                middle = low + (high - low) / 2
                low, high = (low, middle) if _offset(middle, zone) != _offset(at, zone) else (middle, high)
            yield Change(high.replace(microsecond=0), _offset(at, zone), _offset(later, zone))
        at = later


# inside


def _planned(look: Outlook, begin: float, end: float) -> Iterator[Run]:
    """What the wall clock plans, in its window or not."""
    at = _utc(begin)
    segments = None if look.windows.always else look.windows.segments(begin, end + 1.0)
    while look.trigger is not None and (planned := look.trigger.next_after(at)) is not None:
        time = planned.timestamp()
        if time > end:
            return
        yield Run(time, time if segments is None or _inside(segments, time) else None)
        at = planned


def _inside(segments: Sequence[Segment], time: float) -> bool:
    place = bisect.bisect_right(segments, (time, math.inf))
    return place > 0 and time < segments[place - 1].end


def _counted(look: Outlook, begin: float, end: float) -> Iterator[Run]:
    """Runs that count from one another: what is due outside the window comes at its next opening."""
    # What is continuous begins at once.
    at = begin - _gap(look) if look.entry.continuous else begin
    while (then := _next_open(look, at, end)) is not None:
        yield Run(then, then)
        at = _over(look, then)


def _next_open(look: Outlook, after: float, end: float) -> float | None:
    """The first time after `after`, up to `end`, at which it begins: planned, and its window open."""
    if look.counted:
        return _next_counted(look, after, end)
    at = _utc(after)
    for _ in range(_MEETINGS):
        planned = None if look.trigger is None else look.trigger.next_after(at)
        if planned is None or planned.timestamp() > end:
            return None
        time = planned.timestamp()
        opens = look.windows.next_opening(time)
        if opens is None or opens == time:
            return opens
        at = _utc(opens) - _TICK
    return None


def _next_counted(look: Outlook, after: float, end: float) -> float | None:
    due = after + _gap(look)
    due = due if look.start is None else max(due, look.start)
    opens = look.windows.next_opening(due)
    end = end if look.end is None else min(end, look.end)
    return None if opens is None or opens > end else opens


def _gap(look: Outlook) -> float:
    """Seconds from what a run counts from to its planned time; of a continuous entry from start to start."""
    return max(1.0, look.usual) if look.entry.every is None else look.entry.every


def _over(look: Outlook, begun: float) -> float:
    """What the run after the one that begins then counts from."""
    return begun + look.usual if look.entry.base == "end" else begun


def _oddity(trigger: Trigger, meant: Trigger, change: Change, zone: tzinfo) -> Oddity | None:
    """What one change does: the times that it skips come once after it, those that it doubles the first time."""
    width = abs(change.after - change.before)
    low = change.at + min(change.after, change.before)
    names = [time for time in _after(meant, low - _TICK, _SAMPLE) if time < low + width]
    if not names or _steady(meant, low - _DAY, width):
        return None
    shown = listed([f"{time:%H:%M}" for time in names]) if len(names) <= _SHOWN else \
        f"{names[0]:%H:%M} to {names[-1]:%H:%M}"
    several = len(names) > 1
    day = f"{low:%Y-%m-%d}"
    if change.after > change.before:
        made = _first(trigger, change.at, change.at + _SECOND)
        end = "no run" if made is None else f"{'one run' if several else 'it runs'} at {_shown(made, zone)}"
        if made is not None and _first(meant, low + width, low + width + _SECOND) is not None:
            end = f"the run at {_shown(made, zone)} stands for {'them' if several else 'it'}"
        return Oddity(change.at.timestamp(), f"{day}: {shown} {'do' if several else 'does'} not exist, {end}")
    first, second = (_first(trigger, change.at + by, change.at + by + width) for by in (-width, timedelta(0)))
    if first is None:
        return None
    end = "runs both times" if second is not None else f"runs the first time only, at {_shown(first, zone)}"
    return Oddity(change.at.timestamp(), f"{day}: {shown} {'come' if several else 'comes'} twice, {end}")


def _steady(meant: Trigger, begin: datetime, width: timedelta) -> bool:
    """Whether it goes round the clock in steps that the change does not stretch."""
    times = _after(meant, begin, _SAMPLE)
    step = even([int(time.timestamp()) for time in times])
    return len(times) == _SAMPLE and 0 < step <= width.total_seconds()


def _after(trigger: Trigger, begin: datetime, count: int) -> Sequence[datetime]:
    found: list[datetime] = []
    at: datetime | None = begin
    while len(found) < count and at is not None:
        at = trigger.next_after(at)
        if at is not None:
            found.append(at)
    return found


def _first(trigger: Trigger, begin: datetime, end: datetime) -> datetime | None:
    found = trigger.next_after(begin - _TICK)
    return found if found is not None and found < end else None


def _shown(time: datetime, zone: tzinfo) -> str:
    local = time.astimezone(zone).isoformat(timespec="minutes")
    return f"{local[11:16]} {local[16:]}"


def _naive(once: str | None) -> bool:
    return once is not None and datetime.fromisoformat(once).tzinfo is None


def _offset(time: datetime, zone: tzinfo) -> timedelta:
    return time.astimezone(zone).utcoffset() or timedelta(0)


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)
