"""The clock on the wall: what it shows when, and when it shows what. Pure; zones come from their files.

One rule for all triggers that go by it, so that each planned time runs once: a time that a change skips comes at the
first instant after the gap, one that comes twice counts the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

_SECOND = timedelta(seconds=1)
_FIRST = timedelta(minutes=1)
_BACK = timedelta(days=366 * 60)
"""How far `previous` looks back: whatever comes at all has come within sixty years."""


def instant(wall: datetime, zone: tzinfo) -> datetime:
    """When the wall clock of `zone` shows `wall`, which has no zone; in UTC."""
    early = wall.replace(tzinfo=zone, fold=0)
    late = wall.replace(tzinfo=zone, fold=1)
    before, after = _offset(early), _offset(late)
    if before >= after:
        return early.astimezone(UTC)  # plain, or the first of two
    # Skipped: the change lies between what both offsets make of it.
    low, high = (wall - after).replace(tzinfo=UTC), (wall - before).replace(tzinfo=UTC)
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        if _offset(middle.astimezone(zone)) >= after:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def shown(time: datetime, zone: tzinfo) -> datetime:
    """What the wall clock of `zone` shows at `time`, without a zone."""
    return time.astimezone(zone).replace(tzinfo=None)


def previous(next_after: Callable[[datetime], datetime | None], time: datetime) -> datetime | None:
    """The last of a row of times that is before `time`, given how to ask for the next one after any.

    Leaps back in doubled steps until one is found, then halves: some fifty questions, however rare the times are.
    None when none came in the sixty years before.
    """
    step = _FIRST
    while True:
        low = time - min(step, _BACK)
        found = next_after(low)
        if found is not None and found < time:
            break
        if step >= _BACK:
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


def _offset(time: datetime) -> timedelta:
    offset = time.utcoffset()
    assert offset is not None
    return offset
