"""What people who write entries and periods ask: when is it open, when does it run, what does it mean. Pure.

An entry or a period is asked for by its name or as it would be written; an entry also as a cron expression alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from common.errors import NotFoundError, UsageError
from common.schedule.ahead.explain import explain
from common.schedule.ahead.forecast import Outlook, barren, doubtful, following, outlook
from common.schedule.ahead.known import Known
from common.schedule.ahead.words import listed
from common.schedule.entries.calendars import parse_period
from common.schedule.entries.entries import parse_entry
from common.schedule.model import Entry
from common.schedule.times.cron import check_cron
from common.schedule.times.periods import Period
from common.schedule.times.triggers import instant
from common.schedule.times.wall import iso
from common.text import escape, nearest

SEGMENTS_LIMIT = 1_000
"""Segments that are told at once."""
RUNS_LIMIT = 1_000
"""Runs that are told at once."""
WORK_LIMIT = 200_000
"""Days, times the definitions of the period, that are looked at: what an agent can do without anybody noticing."""

_DAY = 86_400
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""The calendar ends a thousand years later: whatever looks ahead comes to its own end first."""
_GIVEN = "given"
_FUNCTION = "test.ping"
"""Of an entry that is only asked for its times."""


def written(known: Known) -> dict[str, Any]:
    """The periods as they are written, and the zone of those that name none; None when that has no name."""
    # YAML makes dates of days such as 2026-12-24.
    periods = {name: {str(key): value for key, value in fields.items()} for name, fields in known.written.items()}
    return {"periods": periods, "timezone": "UTC" if known.zone == UTC else getattr(known.zone, "key", None)}


def segments(given: Any, begin: str, end: str, known: Known) -> list[dict[str, Any]]:
    """When a period is open between two ISO times; those without an offset are of the period's zone.

    Raises NotFoundError, UsageError.
    """
    period = _period(given, known)
    low, high = asked_time(begin, period.zone), asked_time(end, period.zone)
    if high <= low:
        raise UsageError(f"cannot show a period from {begin} to {end}: the end must be later than the begin")
    days = max(1, WORK_LIMIT // max(1, period.size))
    if high - low > days * _DAY:
        raise UsageError(f"cannot show so long a time of this period at once: {days} days are allowed")
    found = period.segments(low, high)
    if len(found) > SEGMENTS_LIMIT:
        raise UsageError(f"cannot show {len(found)} segments at once: {SEGMENTS_LIMIT} are allowed; ask for less time")
    return [{"begin": iso(segment.begin, period.zone), "end": iso(segment.end, period.zone),
             "begin_epoch": segment.begin, "end_epoch": segment.end} for segment in found]


def coming(given: Any, begin: str, count: int, known: Known) -> list[dict[str, Any]]:
    """The next `count` runs of an entry after an ISO time, without splay; fewer when no more come in ten years.

    Runs that its windows skip are left out. What counts from the end of a run is told as if runs took no time.
    Raises NotFoundError, UsageError.
    """
    look = _outlook(asked_entry(given, known), known)
    return [{"time": iso(time, look.zone), "epoch": time}
            for time in _following(look, asked_time(begin, look.zone), count)]


def explained(given: Any, begin: str, count: int, known: Known) -> dict[str, Any]:
    """An entry in words, with its next runs. Raises NotFoundError, UsageError."""
    entry = asked_entry(given, known)
    look = outlook(entry, known.zone, known.periods)
    told, unknown = explain(entry, str(known.zone)), look.windows.unknown
    if unknown:
        told.append(f"when that is cannot be told here, where there is no period {listed(unknown, 'or')}")
    since = asked_time(begin, look.zone)
    times = [] if unknown else _following(look, since, count)
    if not times and not unknown and (why := barren(look, since)):
        told.append(f"it never runs: {why}")
    told += doubtful(look, since)
    return {"explained": told, "next": [iso(time, look.zone) for time in times]}


def asked_entry(given: Any, known: Known) -> Entry:
    """The entry that a name, a mapping or a cron expression means. Raises NotFoundError, UsageError."""
    if isinstance(given, Mapping):
        return parse_entry(_GIVEN, {"function": _FUNCTION, **given}, master=True, zone=known.zone)
    text = str(given)
    if text in known.entries:
        return known.entries[text]
    if text in known.broken:
        raise UsageError(known.broken[text])
    if len(text.split()) > 1 or text.startswith("@"):
        try:
            return Entry(name=_GIVEN, function=_FUNCTION, cron=check_cron(text))
        except ValueError as error:
            raise UsageError(f"cannot read the cron expression '{escape(text[:100])}': {error}") from error
    raise NotFoundError(f"cannot find an entry '{escape(text[:100])}': give a name, a cron expression, or a mapping "
                        f"such as {{every: 5m}}{nearest(text, known.entries)}")


def asked_time(text: str, zone: tzinfo) -> float:
    """Epoch seconds of an ISO time; without an offset it is one of the zone. Raises UsageError."""
    try:
        found = instant(text, zone).timestamp()
        if not 0.0 <= found < LATEST:
            raise ValueError
        return found
    except (ValueError, OverflowError):
        raise UsageError(f"cannot read the time '{escape(text[:100])}': it must be like 2026-03-29, 2026-03-29T02:30 "
                         "or 2026-03-29T02:30+01:00, from 1970 to 8999") from None


def _period(given: Any, known: Known) -> Period:
    if isinstance(given, Mapping):
        return parse_period(given, known.periods, known.zone)
    if str(given) not in known.periods:
        text = str(given)
        raise NotFoundError(f"cannot find a period '{escape(text[:100])}': give a name, or a mapping such as "
                            f"{{monday - friday: '09:00-17:00'}}{nearest(text, known.periods)}")
    return known.periods[str(given)]


def _outlook(entry: Entry, known: Known) -> Outlook:
    look = outlook(entry, known.zone, known.periods)
    if look.windows.unknown:
        raise NotFoundError(f"cannot tell when '{entry.name}' runs: there is no period '{look.windows.unknown[0]}'"
                            f"{nearest(look.windows.unknown[0], known.periods)}")
    return look


def _following(look: Outlook, begin: float, count: int) -> list[float]:
    if not 0 < count <= RUNS_LIMIT:
        raise UsageError(f"cannot show {count} runs: from 1 to {RUNS_LIMIT} are allowed")
    look.windows.work = WORK_LIMIT
    try:
        return following(look, begin, count)
    except TimeoutError:
        raise UsageError(f"cannot look so far ahead for '{look.entry.name}': its periods have too many days and times; "
                         "ask for fewer runs, or make them simpler") from None
