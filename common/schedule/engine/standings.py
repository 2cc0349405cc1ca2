"""Between a slot and what the journal keeps of it over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from msgspec import convert, structs

from common.schedule.engine import policy
from common.schedule.engine.plans import OnWall
from common.schedule.engine.slot import Slot, leave_plan
from common.schedule.model import TRIGGERS, Entry, Moment, Standing
from common.schedule.times.periods import Period
from common.schedule.times.triggers import fingerprint, trigger_of

_PLANNING = {field.name: field.default for field in structs.fields(Entry) if field.name in {
    *TRIGGERS, "base", "anchor", "start", "end", "timezone", "during", "excepting", "splay", "max_runs"}}
"""The fields that decide which runs an entry plans, with their defaults."""


def standing_of(slot: Slot) -> Standing:
    """What must survive a restart."""
    return structs.replace(
        slot.standing, trigger=slot.trigger, plan=_plan_of(slot.entry) if slot.trigger else {},
        decided=None if slot.counted else slot.decided,
        planned=slot.next if slot.counted else None, runs=slot.runs, failures=slot.failures, paused=slot.paused,
        skips=tuple(sorted(slot.skips)), moved=tuple(sorted(slot.moved.items())), ahead=tuple(sorted(slot.ahead)),
        waiting=tuple(slot.waiting),
        turn=slot.turn, lap=slot.lap, high=slot.high)


def restore(slot: Slot, standing: Standing, now: Moment) -> None:
    """Go on from there: where its trigger is still the same nothing is planned twice, and nothing forgotten."""
    slot.standing = structs.replace(standing, broken=False)
    slot.runs, slot.failures, slot.paused = standing.runs, standing.failures, standing.paused
    slot.turn, slot.lap, slot.high = standing.turn, standing.lap, standing.high
    slot.waiting = list(standing.waiting)
    slot.decided, slot.skips, slot.moved = standing.decided, set(standing.skips), dict(standing.moved)
    slot.ahead = set(standing.ahead)
    if not slot.entry.enabled or standing.trigger != fingerprint(slot.entry):
        leave_plan(slot, on_wall=standing.decided is not None)
        slot.plan_from(now)
        return
    slot.trigger = standing.trigger
    trigger = trigger_of(slot.entry, slot.zone)
    if trigger is not None:
        slot.plan = OnWall(trigger)
        slot.decided = now.wall if standing.decided is None else standing.decided
        slot.forget_the_future(now.wall)
        slot.next = slot.plan.next_after(slot.decided)
    elif slot.rests or slot.interval:
        _count_on(slot, standing, now)


def former(standing: Standing, who: str, zone: tzinfo, periods: Mapping[str, Period], now: Moment) -> Slot | None:
    """The entry as it was when its standing was kept, as far as that decides what it planned; None when it planned
    nothing, or an older version did not keep it.
    """
    if not standing.plan or (standing.decided is None and standing.planned is None):
        return None
    try:
        entry = convert({**standing.plan, "name": standing.name, "function": ""}, Entry)
        if not {*entry.during, *entry.excepting} <= periods.keys():
            entry = structs.replace(entry, during=(), excepting=())  # nobody knows any more when they were open
        slot = Slot(entry, who, zone, periods)
        restore(slot, standing, now)
    except (ValueError, LookupError):
        return None  # a time zone that is gone, or a trigger that only an older version understood
    return slot


def stand_in(standing: Standing, zone: tzinfo, now: Moment) -> Slot:
    """An entry that cannot be used, as far as it is known: what it planned, what waits, the names that its runs had."""
    slot = former(standing, "", zone, {}, now)
    if slot is None:
        slot = Slot(Entry(name=standing.name, function=""), "", zone, {})
        restore(slot, standing, now)
    return slot


def _plan_of(entry: Entry) -> dict[str, Any]:
    """What of it decides its planned times, in plain data; defaults are left out."""
    return {name: value for name, default in _PLANNING.items() if (value := getattr(entry, name)) != default}


def _count_on(slot: Slot, standing: Standing, now: Moment) -> None:
    """An interval neither begins again nor starves, however often the daemon is started."""
    planned = standing.planned
    if planned is None:
        if slot.rests and (slot.busy or slot.waiting):
            return  # its next run is planned when these are over
        ended = standing.last_ended if standing.last_ended is not None else now.wall
        planned = min(max(ended, now.wall - slot.interval), now.wall) + slot.interval
    longest = 2 * max(slot.interval, policy.SHORTEST) + slot.spread
    opening = slot.windows.next_opening(now.wall) or now.wall
    if not slot.skips and planned > max(now.wall, opening, slot.start) + longest:
        # The clock was set back while nobody was there: nothing else plans so far ahead.
        slot.lap, slot.high = slot.lap + 1, 0.0
        planned = now.wall + slot.interval
    if slot.entry.continuous:
        planned = max(planned, now.wall, min(standing.last_started or 0.0, now.wall) + policy.SHORTEST)
    slot.count_from(planned)
