"""Entries as they are shown: their fields, when they run next, what became of the last run."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import structs

from common.schedule.engine.plans import OnWall
from common.schedule.engine.slot import Slot
from common.schedule.engine.standings import standing_of
from common.schedule.entries.entries import to_fields
from common.schedule.model import Hold, Waiting
from common.schedule.times.windows import HORIZON

_LAST = ("last_planned", "last_verdict", "last_jid", "last_started", "last_ended", "last_state", "last_skipped")
_TRIED = 1_000
"""Openings of the windows, one after the other, that none of the planned times meets: the search ends there."""


def described(slot: Slot, held: Hold | None, now: float) -> dict[str, Any]:
    """One entry as plain data."""
    coming = upcoming(slot, 1, now)
    standing = structs.asdict(standing_of(slot))
    why = _why_silent(slot, now)
    return {
        "name": slot.entry.name, **to_fields(slot.entry, shown=True), "enabled": slot.entry.enabled,
        "status": _status(slot, held, why), "why": why, "next": coming[0] if coming else None,
        "running": sorted(slot.running), "waiting": [_waits(slot, one) for one in slot.waiting],
        "paused": slot.paused, "runs": slot.runs, "failures": slot.failures,
        "skips": sorted(slot.skips), "moved": sorted(slot.moved.items()), **{name: standing[name] for name in _LAST},
    }


def upcoming(slot: Slot, count: int, now: float) -> list[float]:
    """The next times at which it runs; of an interval that counts from the ends of its runs only the first is known."""
    if not slot.entry.enabled:
        return []
    waiting = sorted(one.due for one in slot.waiting if one.due > now)
    found: list[float] = []
    for time in heapq.merge(waiting, _planned(slot)):
        if len(found) >= count:
            break
        found.append(time)
    return found


def _planned(slot: Slot) -> Iterator[float]:
    """When what is planned is due, inside its windows; nothing more once five years let none of it through."""
    at, tried = slot.next, 0
    if slot.plan is None or at is None or slot.finished:
        return
    last = at
    while at is not None and tried < _TRIED:
        tried += 1
        if at in slot.skips or at in slot.moved:
            at = slot.plan.next_after(at)
            continue
        if slot.windows.is_open(at):
            yield at + slot.splay
            last, tried = at, 0
            at = slot.plan.next_after(at)
            continue
        opening = slot.windows.next_opening(at) if at <= last + HORIZON else None
        if opening is None:
            return
        # Intervals run as it opens, whatever their rhythm; the others at the next of their times.
        at = slot.plan.next_after(opening - 1e-6) if isinstance(slot.plan, OnWall) else opening


def _why_silent(slot: Slot, now: float) -> str:
    """Why it does nothing at times that it names; empty when there is no such reason."""
    plan, decided = slot.plan, slot.decided
    if not isinstance(plan, OnWall) or decided is None or decided <= now:
        return ""
    coming = plan.next_after(now)
    if coming is None or coming > decided:
        return ""
    until = datetime.fromtimestamp(decided, slot.zone).isoformat(sep=" ", timespec="seconds")
    return f"the clock was set back: times until {until} have their verdict already"


def _status(slot: Slot, held: Hold | None, why: str) -> str:
    """One word."""
    checks: Iterable[tuple[Any, str]] = (
        (slot.running, "running"), (not slot.entry.enabled, "disabled"), (held is not None, "held"),
        (slot.paused, "paused"), (slot.waiting or slot.asked or why, "waiting"), (_is_finished(slot), "finished"),
        (slot.plan is None, "manual"))
    return next((word for check, word in checks if check), "scheduled")


def _is_finished(slot: Slot) -> bool:
    return slot.finished or (slot.plan is not None and slot.next is None)


def _waits(slot: Slot, one: Waiting) -> dict[str, Any]:
    asked = slot.key_of(one) in slot.asked
    return {"planned": one.planned, "due": one.due, "cause": one.cause, "attempt": one.attempt, "asked": asked}
