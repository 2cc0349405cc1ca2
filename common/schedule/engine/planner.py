"""What becomes of planned times that have come: which of them begin, and what the verdict of the others is.

Most of the time that is one run, in time. After a stall, a restart or a clock that was set it may be a year of them:
then they are cut into stretches that are dealt with alike, found by asking the plan for its next and its last time.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator

from common.schedule.engine import policy
from common.schedule.engine.board import Board
from common.schedule.engine.gate import TOO_SLOW, Gate, Refusal
from common.schedule.engine.plans import Plan, Rhythm
from common.schedule.engine.slot import Slot
from common.schedule.model import Decision, Moment, Waiting

FINE = 8 * 86_400.0
"""Seconds back from now in which missed runs are told from those that no window would have let begin; before, or
before `catch_up_window` if that is longer, all are missed."""
PIECES = 200
"""Stretches that one entry's past is cut into, at the most."""
_WALKED = 30
"""Planned times that are walked: a leap costs as much as some fifty."""
_AFTER = 2e-6
"""More than the precision of a planned time."""


class Planner:
    """Judges what an entry's plan has come to."""

    def __init__(self, board: Board, gate: Gate) -> None:
        self._board = board
        self._gate = gate

    def look(self, slot: Slot, now: Moment, out: list[Decision]) -> None:
        """Deal with all of an entry that has come, and set its timer."""
        self.settle(slot, now, out)
        if slot.waiting:
            self._gate.pump(slot, now, out)
        if slot.rests:
            self.rest(slot, now)
        self._board.arm(slot, now)

    def settle(self, slot: Slot, now: Moment, out: list[Decision]) -> None:
        """Deal with everything that is planned up to now."""
        first, plan = slot.next, slot.plan
        if first is None or plan is None or first + slot.splay > now.wall or slot.finished:
            return
        reach = max(first, now.wall - slot.splay)
        last = _last(plan, first, reach)
        if slot.skips or slot.moved or first != last or not slot.windows.is_open(first) or slot.paused:
            runs = self._settle_row(slot, first, last, now, out)
        else:
            runs = self._settle_one(slot, first, now, out)
        slot.move_on(last)
        self._board.touch(slot)
        self._begin(slot, runs, now, out)
        self._count_on(slot, last, now)

    def pass_over(self, slot: Slot, why: str, now: Moment, out: list[Decision]) -> None:
        """Judge what came due while nobody could begin it: none of it is made up for."""
        first, plan = slot.next, slot.plan
        if first is None or plan is None or first + slot.splay > now.wall or slot.finished:
            return
        last = _last(plan, first, max(first, now.wall - slot.splay))
        changes = _changes(slot, first, last, _fine(slot, now))
        inside = Refusal("skipped_paused", slot.paused) if slot.paused else Refusal("missed", why)
        for row in _without(slot, first, last, ()):
            self._judge_pieces(slot, row, changes, inside, now, out)
        slot.move_on(last)
        self._board.touch(slot)
        self._count_on(slot, last, now)

    def rest(self, slot: Slot, now: Moment, begun: float | None = None) -> None:
        """Plan the next run of an entry that counts from the ends of its runs, once nothing of it goes on.

        `begun` is when the run that just ended did, by the boot clock; None: it was skipped.
        """
        entry = slot.entry
        if not slot.rests or slot.next is not None or slot.busy or slot.finished or not entry.enabled:
            return
        if any(one.cause in ("plan", "retry") for one in slot.waiting) or (slot.paused and entry.continuous):
            return
        delay = slot.interval
        if entry.continuous:
            delay = policy.SHORTEST if begun is None else max(0.0, begun + policy.SHORTEST - now.boot)
        opening = slot.windows.next_opening(now.wall)
        if opening is not None:
            slot.count_from(now.wall + delay if opening <= now.wall else opening)
            self._board.touch(slot)

    def _settle_one(self, slot: Slot, only: float, now: Moment, out: list[Decision]) -> list[float]:
        """The one planned time that has come, with nothing special about it."""
        due = only + slot.splay
        there = policy.there_from(now.wall, self._board.born)
        if due >= policy.reaches_back(slot.entry, now.wall, there):
            return [only]
        self._board.judge_stretch(slot, only, only, *(_TOO_LATE if due < there else TOO_SLOW), now, out)
        return []

    def _settle_row(self, slot: Slot, first: float, last: float, now: Moment, out: list[Decision]) -> list[float]:
        """Choose which of a row of planned times begin, and judge the others. Returns those that begin."""
        if slot.paused:
            for begin, end in _without(slot, first, last, ()):
                self._board.judge_stretch(slot, begin, end, "skipped_paused", slot.paused, now, out)
            return []
        earliest = policy.reaches_back(slot.entry, now.wall, policy.there_from(now.wall, self._board.born))
        runs = _newest(slot, max(first, earliest - slot.splay), last, policy.made_up_at_once(slot.entry))
        changes = _changes(slot, first, last, _fine(slot, now))
        for row in _without(slot, first, last, runs):
            self._judge_pieces(slot, row, changes, _TOO_LATE, now, out)
        return runs

    def _judge_pieces(self, slot: Slot, row: tuple[float, float], changes: list[tuple[float, bool]], inside: Refusal,
                      now: Moment, out: list[Decision]) -> None:
        """Judge a row of planned times by the windows in which they lie; `inside` is for those in an open one."""
        assert slot.plan is not None
        at: float | None = row[0]
        last = row[1]
        while at is not None and at <= last:
            index = bisect.bisect_right(changes, (at, True)) - 1
            refusal = inside if index < 0 or changes[index][1] else _OUTSIDE
            end = last
            if index + 1 < len(changes):
                end = max(at, min(last, slot.plan.previous_before(changes[index + 1][0]) or at))
            self._board.judge_stretch(slot, at, end, *refusal, now, out)
            at = slot.plan.next_after(end)

    def _begin(self, slot: Slot, runs: list[float], now: Moment, out: list[Decision]) -> None:
        there = policy.there_from(now.wall, self._board.born)
        for planned in runs:
            due = planned + slot.splay
            self._gate.enter(slot, Waiting(planned=slot.key_time(planned), due=due, caught_up=due < there,
                                           patient=len(runs) > 1), now, out)

    def _count_on(self, slot: Slot, last: float, now: Moment) -> None:
        """Where an interval goes on from. Its rhythm stays, also after a run that was made up for, so that no planned
        time goes without its verdict.
        """
        if isinstance(slot.plan, Rhythm):
            slot.high = max(slot.high, last)
            if not slot.windows.is_open(last) and not slot.windows.is_open(now.wall):
                opening = slot.windows.next_opening(now.wall)
                if opening is None:
                    slot.next = None
                else:
                    slot.count_from(opening)
        elif slot.rests:
            slot.high = max(slot.high, last)
            slot.next = None
            self.rest(slot, now)


_TOO_LATE = Refusal("missed", "nobody was there to begin it")
_OUTSIDE = Refusal("skipped_window", "")


def _last(plan: Plan, first: float, reach: float) -> float:
    """The last planned time that has come, given the first one: a short row is walked, a long one leapt over."""
    last = first
    for _ in range(_WALKED):
        following = plan.next_after(last)
        if following is None or following > reach:
            return last
        last = following
    return plan.previous_before(reach + _AFTER) or last


def _newest(slot: Slot, earliest: float, last: float, count: int) -> list[float]:
    """The newest planned times between two that lie in a window and are neither skipped nor moved, oldest first."""
    assert slot.plan is not None
    found: list[float] = []
    segments = [(earliest, last + _AFTER)] if slot.windows.always else slot.windows.segments(earliest, last + _AFTER)
    for begin, end in reversed(segments):
        at = slot.plan.previous_before(end)
        while at is not None and at >= begin and len(found) < count:
            if at not in slot.skips and at not in slot.moved:
                found.append(at)
            at = slot.plan.previous_before(at)
        if len(found) >= count:
            break
    return found[::-1]


def _fine(slot: Slot, now: Moment) -> float:
    return now.wall - max(FINE, slot.entry.catch_up_window)


def _changes(slot: Slot, first: float, last: float, fine: float) -> list[tuple[float, bool]]:
    """How the windows stood: the changes between two times, none before `fine`."""
    if slot.windows.always:
        return []
    return slot.windows.changes(max(first, fine), last + _AFTER)[-PIECES:]


def _without(slot: Slot, first: float, last: float, runs: Iterable[float]) -> Iterator[tuple[float, float]]:
    """The row of planned times without those that begin, and those that were skipped or moved by hand."""
    assert slot.plan is not None
    at = slot.plan.next_after(first - _AFTER)
    for gone in sorted({*slot.skips, *slot.moved, *runs}):
        if at is None or gone > last:
            break
        before = slot.plan.previous_before(gone)
        if before is not None and before >= at:
            yield at, before
        if gone >= at:
            at = slot.plan.next_after(gone)
    if at is not None and at <= last:
        end = slot.plan.previous_before(last + _AFTER)
        assert end is not None
        yield at, end
