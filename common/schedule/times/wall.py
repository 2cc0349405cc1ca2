"""The clock on the wall: what it shows when, and when it shows what. Pure; zones come from their files.

One rule for all triggers that go by it, so that each planned time runs once: a time that a change skips comes at the
first instant after the gap, one that comes twice counts the first time. What has no hour of its own, such as every
five minutes, goes by the time that passes instead: it does not come in the gap, and in both passes of a doubled hour.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

Match = Callable[[datetime], datetime | None]
"""What a clock without any changes shows at the first planned time after it shows the argument."""

BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
"""No time before this one is asked for."""
_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_FIRST = timedelta(minutes=1)


def instant(wall: datetime, zone: tzinfo) -> datetime:
    """When the wall clock of `zone` shows `wall`, which has no zone; in UTC."""
    before, after = _offsets(wall, zone)
    if before >= after:
        return (wall - before).replace(tzinfo=UTC)  # plain, or the first of two
    return _change(wall, zone)


def following(match: Match, time: datetime, zone: tzinfo, *, elapsed: bool = False) -> datetime | None:
    """The first planned time after `time`, in UTC; None when none comes. `elapsed`: it goes by the time that passes."""
    try:
        return (_elapsed if elapsed else _fixed)(match, time, zone)
    except (OverflowError, ValueError):
        return None  # the calendar ends with the year 9999


def _fixed(match: Match, time: datetime, zone: tzinfo) -> datetime | None:
    local = time.astimezone(zone)
    at = local.replace(tzinfo=None, fold=0)
    before, after = _offsets(at, zone)
    if before > after and local.fold:
        # All that the second pass shows was planned in the first one.
        at = _change(at, zone).replace(tzinfo=None) + before - _TICK
    found = match(at)
    return None if found is None else instant(found, zone)


def _elapsed(match: Match, time: datetime, zone: tzinfo) -> datetime | None:
    local = time.astimezone(zone)
    at = local.replace(tzinfo=None, fold=0)
    before, after = _offsets(at, zone)
    if before > after:
        change = _change(at, zone).replace(tzinfo=None)
        end = change + before
        found = match(at)
        if found is not None and found < end:
            return (found - (after if local.fold else before)).replace(tzinfo=UTC)
        found = None if local.fold else match(change + after - _TICK)
        if found is not None and found < end:
            return (found - after).replace(tzinfo=UTC)
    while (found := match(at)) is not None:
        before, after = _offsets(found, zone)
        if before >= after:
            return (found - before).replace(tzinfo=UTC)
        at = _change(found, zone).replace(tzinfo=None) + after - _TICK
    return None


def iso(time: float, zone: tzinfo) -> str:
    """`2026-01-02T03:04:05+01:00`."""
    return datetime.fromtimestamp(round(time), UTC).astimezone(zone).isoformat()


def shown(time: datetime, zone: tzinfo) -> datetime:
    """What the wall clock of `zone` shows at `time`, without a zone."""
    return time.astimezone(zone).replace(tzinfo=None)


def previous(next_after: Match, time: datetime) -> datetime | None:
    """The last of a row of times that is before `time`, given how to ask for the next one after any.

    Leaps back in doubled steps until one is found, then halves: some fifty questions, however rare the times are.
    None when none came since 1970.
    """
    step = _FIRST
    while True:
        low = time - step if time - BEGIN > step else BEGIN - _TICK
        found = next_after(low)
        if found is not None and found < time:
            break
        if low < BEGIN:
            return None
        step *= 2
    high = time
    while high - found > _SECOND:
        middle = found + (high - found) / 2
        leap = next_after(middle)
        if leap is not None and leap < time:
            found = leap
        else:
            high = middle
    while (leap := next_after(found)) is not None and leap < time:
        found = leap
    return found


def _change(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock changes, in UTC: `wall` is a time that it skips or shows twice."""
    before, after = _offsets(wall, zone)
    low, high = sorted(((wall - before).replace(tzinfo=UTC), (wall - after).replace(tzinfo=UTC)))
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _offsets(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """The offsets by which `wall` is read: twice the same, save where the clock changes."""
    before, after = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    assert before is not None
    assert after is not None
    return before, after
