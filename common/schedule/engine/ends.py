"""What the end of a run brings: another attempt, a pause after too many failures, the entries that follow."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from common.schedule.engine import policy
from common.schedule.engine.board import Board
from common.schedule.engine.planner import Planner
from common.schedule.engine.slot import Run, Slot
from common.schedule.model import Cause, Decision, Follow, Moment, Waiting
from common.states import State


class Ends:
    """Follows up what ended."""

    def __init__(self, board: Board, planner: Planner) -> None:
        self._board = board
        self._planner = planner

    def note(self, run: Run, state: State, now: Moment) -> None:
        """Keep when and how it ended."""
        slot = self._board.slots.get(run.occurrence.schedule)
        if slot is not None:
            last = slot.standing
            state_of_last = state.value if last.last_jid == run.jid else last.last_state
            slot.standing = structs.replace(last, last_ended=now.wall, last_state=state_of_last)
            self._board.touch(slot)
        aside = self._board.aside.get(run.occurrence.schedule)
        if aside is not None:  # nothing can follow it, but it counts
            failures = 0 if state is State.SUCCEEDED else aside.failures + (state not in policy.NOT_FAILED)
            state_of_last = state.value if aside.last_jid == run.jid else aside.last_state
            self._board.put_aside(structs.replace(
                aside, failures=failures, last_ended=now.wall, last_state=state_of_last))

    def over(self, run: Run, state: State, now: Moment, out: list[Decision]) -> None:
        """It goes on no more: make room for others, and do what follows."""
        self._board.leave(run)
        slot = self._board.slots.get(run.occurrence.schedule)
        if slot is None:
            return
        touched = self._follow(slot, run, state, now, out)
        if slot.rests:
            slot.next = None  # any end is one to count from, also that of a run by hand
            self._planner.rest(slot, now, run.begun)
        for other in touched:
            self._planner.look(other, now, out)

    def _follow(self, slot: Slot, run: Run, state: State, now: Moment, out: list[Decision]) -> list[Slot]:
        """What comes of it: the entries to look at now, the run's own first."""
        self._board.touch(slot)
        if run.ended_by_us:
            return [slot]
        if state is State.SUCCEEDED:
            slot.failures = 0
            return [slot, *self._start(slot, slot.entry.then, "then", now, out)]
        if state not in policy.NOT_FAILED:
            if self._retry(slot, run, now, out):
                return [slot]
            self._count(slot)
        return [slot, *self._start(slot, slot.entry.on_failure, "on_failure", now, out)]

    def _retry(self, slot: Slot, run: Run, now: Moment, out: list[Decision]) -> bool:
        """Whether it is tried again."""
        entry, one = slot.entry, run.occurrence
        if one.attempt >= entry.retries or not entry.enabled or slot.paused:
            return False
        due = now.wall + policy.retry_after(entry, one.attempt)
        if due > slot.end:
            return False
        self._add(slot, Waiting(planned=one.planned, due=due, attempt=one.attempt + 1, cause="retry", by=one.by),
                  now, out)
        return True

    def _count(self, slot: Slot) -> None:
        slot.failures += 1
        most = slot.entry.pause_after_failures
        if most is not None and slot.failures >= most and not slot.paused:
            slot.paused = f"{slot.failures} runs in a row failed"

    def _start(self, slot: Slot, follows: Iterable[Follow], cause: Cause, now: Moment,
               out: list[Decision]) -> list[Slot]:
        """Have the entries that follow run; those that are not there were warned of as they were loaded."""
        found: list[Slot] = []
        for follow in follows:
            other = self._board.slots.get(follow.entry)
            if other is not None:
                due = _paced(other, now.wall + follow.delay, now)
                self._add(other, Waiting(planned=other.new_time(due), cause=cause, due=due, by=slot.entry.name),
                          now, out)
                found.append(other)
        return found

    def _add(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> None:
        self._board.touch(slot)
        if not slot.wait(one):
            self._board.judge(slot, one, "skipped_overlap", f"{policy.QUEUE_LIMIT} runs wait already", now, out)


def _paced(slot: Slot, due: float, now: Moment) -> float:
    """When a run that follows may begin: like one of a continuous entry not at once after another one, so that
    no chain, whatever it leads to, takes all of a host.
    """
    if slot.standing.last_started is not None:
        due = max(due, min(slot.standing.last_started, now.wall) + policy.SHORTEST)
    for one in slot.waiting:  # by when they are due
        if one.cause in ("then", "on_failure") and abs(one.due - due) < policy.SHORTEST:
            due = one.due + policy.SHORTEST
    return due
