"""What people ask of entries by hand: the checks, and the changes to one entry."""

from __future__ import annotations

import math

from msgspec import structs

from common.errors import UsageError
from common.schedule.engine import policy
from common.schedule.engine.board import Board
from common.schedule.engine.gate import HELD, Gate, Refusal
from common.schedule.engine.plans import Rhythm
from common.schedule.engine.slot import Slot
from common.schedule.model import Decision, Hold, Moment, Waiting
from common.schedule.times.triggers import fingerprint

CHANGED_LIMIT = 1_000
"""Runs to come of one entry that are skipped or postponed by hand."""
SKIPPED = Refusal("skipped_paused", "skipped by hand")


def check_may_run(slot: Slot, held: Hold | None) -> None:
    """Raises UsageError where a run by hand would never begin: it is refused rather than lost."""
    name = slot.entry.name
    if not slot.entry.enabled:
        raise UsageError(f"cannot run the schedule '{name}': it is disabled; run it with force=true, or enable it")
    if slot.paused:
        raise UsageError(f"cannot run the schedule '{name}': it is paused, since {slot.paused}; "
                         "run it with force=true, or resume it")
    if held is not None:
        by = f" by {held.by}" if held.by else ""
        raise UsageError(f"cannot run the schedule '{name}': all schedules are held{by}; "
                         "run it with force=true, or release them")


def skip(
    board: Board, gate: Gate, slot: Slot, planned: float | None, now: Moment, out: list[Decision],
) -> None:
    """Take a planned time out, or a run that waits, with its verdict."""
    one = _that_waits(slot, planned)
    if one is not None:
        gate.give_up(slot, one, SKIPPED, now, out)
        return
    raw = _named(slot, planned, "skip a run of")
    board.judge_stretch(slot, raw, raw, *SKIPPED, now, out)
    slot.skips.add(raw)
    if slot.rests:
        slot.high = max(slot.high, raw)
        slot.count_from(raw + max(slot.interval, policy.SHORTEST))


def postpone(board: Board, slot: Slot, planned: float | None, to: float, now: Moment) -> None:
    """Move a planned time."""
    name = slot.entry.name
    if not math.isfinite(to) or to < now.wall:
        raise UsageError(f"cannot postpone a run of the schedule '{name}': the new time is past")
    one = _that_waits(slot, planned)
    if one is not None:
        slot.waiting.remove(one)
        slot.asked.pop(slot.key_of(one), None)
        slot.wait(structs.replace(one, due=to, postponed=True))
        board.touch(slot)
        return
    raw = _named(slot, planned, "postpone a run of")
    if not slot.wait(Waiting(planned=slot.key_time(raw), due=to, postponed=True)):
        raise UsageError(f"cannot postpone a run of the schedule '{name}': too many of its runs wait already")
    if slot.rests:
        slot.high = max(slot.high, raw)
        slot.next = None
    else:
        slot.moved[raw] = to
    board.touch(slot)


def resume(board: Board, slot: Slot, now: Moment) -> None:
    """End a pause, or count the runs anew."""
    if slot.finished:
        slot.runs = 0
        slot.plan_from(now)
    slot.paused = ""
    slot.failures = 0
    board.touch(slot)


def drop(gate: Gate, slot: Slot, now: Moment, out: list[Decision]) -> None:
    """Nothing that came due while all was held begins: it is as if the entry had just run."""
    if not any(one.due <= now.wall for one in slot.waiting):
        return
    gate.turn_away(slot, HELD, now, out, until=now.wall)
    if isinstance(slot.plan, Rhythm):
        slot.count_from(now.wall + slot.interval - slot.splay)


def is_another_plan(slot: Slot, trigger: str) -> bool:
    """Whether its entry plans other times than the fingerprint says."""
    return slot.entry.enabled and fingerprint(slot.entry) != trigger


def _that_waits(slot: Slot, planned: float | None) -> Waiting | None:
    """The run that waits, where that is meant: the one planned then, or the one that comes next."""
    if planned is not None:
        return next((one for one in slot.waiting if abs(one.planned - planned) < 0.001), None)
    one = next(iter(slot.waiting), None)
    return one if one is None or slot.next is None or one.due < slot.next + slot.splay else None


def _named(slot: Slot, planned: float | None, verb: str) -> float:
    if len(slot.skips) + len(slot.moved) >= CHANGED_LIMIT:
        raise UsageError(f"cannot {verb} the schedule '{slot.entry.name}': {CHANGED_LIMIT} of its runs are skipped or "
                         "postponed already; disable it instead")
    raw = slot.planned_at(planned)
    if raw is None:
        what = "nothing is planned" if planned is None else "nothing is planned at that time"
        raise UsageError(f"cannot {verb} the schedule '{slot.entry.name}': {what}")
    return raw
