"""What the keys of an entry must not say together: contradictions, and runs that can never come. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from common.durations import duration_text
from common.errors import UsageError
from common.schedule.model import TRIGGERS, Entry
from common.schedule.times import wall
from common.schedule.times.triggers import base_of, bounds_of, instant, trigger_of, zone_of
from common.targets import parse

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def check(entry: Entry, zone: tzinfo) -> None:
    """Raises ValueError that names the field. `zone` is the host's."""
    _check_trigger(entry)
    _check_policies(entry)
    _check_target(entry)
    _check_bounds(entry, zone)


def _check_trigger(entry: Entry) -> None:
    given = [name for name in TRIGGERS if getattr(entry, name) not in (None, (), False)]
    if len(given) > 1:
        raise ValueError(f"it has {len(given)} triggers, {' and '.join(given)}; one is allowed")
    for name in ("base", "anchor"):
        if getattr(entry, name) is not None and entry.every is None:
            raise ValueError(f"{name} goes with every only")
    if entry.anchor is not None and base_of(entry) != "grid":
        raise ValueError(f"anchor goes with base grid only, and base is {entry.base}")
    for name in ("start", "end"):
        if getattr(entry, name) is not None and not given:
            raise ValueError(f"{name} goes with a trigger only: {', '.join(TRIGGERS)}")


def _check_policies(entry: Entry) -> None:
    if entry.allow != 1 and entry.overlap != "allow":
        raise ValueError(f"allow goes with overlap allow only, and overlap is {entry.overlap}")
    for name in entry.excepting:
        if name in entry.during:
            raise ValueError(f"except names '{name}', as during does, so that it would never run")
    for name in ("then", "on_failure"):
        if any(follow.entry == entry.name for follow in getattr(entry, name)):
            raise ValueError(f"{name} names the entry itself; continuous or retries do that")


def _check_target(entry: Entry) -> None:
    if entry.target is None:
        if entry.target_type != "glob":
            raise ValueError("target_type goes with a target only")
        return
    try:
        parse(entry.target_type, entry.target)
    except UsageError as error:
        raise ValueError(f"target: {error}") from error


def _check_bounds(entry: Entry, zone: tzinfo) -> None:
    start, end = bounds_of(entry, zone)
    if start is not None and end is not None and end < start:
        raise ValueError(f"end is {entry.end}: it is before start, which is {entry.start}")
    if entry.once is not None:
        time = instant(entry.once, zone_of(entry, zone))
        if start is not None and time < start:
            raise ValueError(f"once is {entry.once}: it is before start, which is {entry.start}")
        if end is not None and end < time:
            raise ValueError(f"once is {entry.once}: it is after end, which is {entry.end}")
    trigger = trigger_of(entry, zone)
    if trigger is not None and trigger.next_after(_BEGIN) is None:
        bounds = " and ".join(f"{name} {value}" for name in ("start", "end") if (value := getattr(entry, name)))
        raise ValueError(f"{_told(entry)} never comes{f' within {bounds}' if bounds else ''}")


def check_ahead(entry: Entry, zone: tzinfo, after: datetime) -> None:
    """Raises ValueError that names the field when nothing is planned after that time.

    A `once` is let pass: its one run has a verdict, also when it is past. `zone` is the host's.
    """
    if entry.once is not None:
        return
    _, end = bounds_of(entry, zone)
    if end is not None and end <= after:
        raise ValueError(f"end is {entry.end}: it is past, so that it would never run again")
    trigger = trigger_of(entry, zone)
    if trigger is not None and trigger.next_after(after) is None:
        last = trigger.previous_before(after)
        when = "" if last is None else f"; the last time was {wall.shown(last, zone_of(entry, zone)):%Y-%m-%d %H:%M:%S}"
        raise ValueError(f"{_told(entry)} never comes again{when}")


def _told(entry: Entry) -> str:
    """The trigger as it was written."""
    name = next(name for name in TRIGGERS if getattr(entry, name))
    value = getattr(entry, name)
    if isinstance(value, dict):
        return f"{name} {{{', '.join(f'{field}: {item}' for field, item in value.items())}}}"
    return f"{name} {duration_text(value) if name == 'every' else ', '.join(value) if name == 'at' else repr(value)}"
