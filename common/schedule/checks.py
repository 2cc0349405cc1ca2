"""What the keys of an entry must not say together: contradictions, and runs that can never come. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from common.errors import UsageError
from common.schedule.model import TRIGGERS, Entry
from common.schedule.triggers import Bounded, base_of, bounds_of, trigger_of
from common.targets import parse

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def check(entry: Entry, zone: tzinfo, after: datetime | None = None) -> None:
    """Raises ValueError that names the field. `zone` is the host's; `after`: something must be planned after that."""
    _check_trigger(entry)
    _check_policies(entry)
    _check_target(entry)
    _check_bounds(entry, zone)
    _check_times(entry, zone, after)


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
    if entry.start_deadline is not None and entry.start_deadline < entry.splay:
        raise ValueError("start_deadline is shorter than splay, so that some minions would never run it")
    for name in ("then", "on_failure"):
        if any(follow.entry == entry.name for follow in getattr(entry, name)):
            raise ValueError(f"{name} names the entry itself; use continuous or retries")


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


def _check_times(entry: Entry, zone: tzinfo, after: datetime | None) -> None:
    trigger = trigger_of(entry, zone)
    _, end = bounds_of(entry, zone)
    if isinstance(trigger, Bounded) and trigger.next_after(_BEGIN) is None:
        name = next(name for name in TRIGGERS if getattr(entry, name))
        raise ValueError(f"{name} never comes between start and end")
    if after is None or entry.once is not None:
        return
    if end is not None and end <= after:
        raise ValueError(f"end is {entry.end}: it is past, so that nothing would run any more")
    if trigger is not None and trigger.next_after(after) is None:
        name = next(name for name in TRIGGERS if getattr(entry, name))
        raise ValueError(f"{name} never comes again")
