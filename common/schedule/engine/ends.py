"""What the end of a run brings: another attempt, a pause after too many failures, the entries that follow."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from msgspec import structs

from common.schedule.engine import policy
from common.schedule.engine.board import Board, occurrence_of
from common.schedule.engine.gate import UNUSABLE, Refusal
from common.schedule.engine.planner import Planner
from common.schedule.engine.slot import Run, Slot
from common.schedule.engine.standings import stand_in
from common.schedule.model import Cause, Decision, Ended, Follow, Judge, Moment, Occurrence, Standing, Waiting
from common.states import State

_TOO_MANY = Refusal("skipped_overlap", f"{policy.QUEUE_LIMIT} runs wait already")


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
        if aside is not None:
            state_of_last = state.value if aside.last_jid == run.jid else aside.last_state
            self._board.put_aside(structs.replace(aside, last_ended=now.wall, last_state=state_of_last))

    def over(self, run: Run, state: State, now: Moment, out: list[Decision]) -> None:
        """It goes on no more: make room for others, and do what follows."""
        self._board.leave(run)
        slot = self._board.slots.get(run.occurrence.schedule)
        if slot is None:
            self._defer(run, state, now)
            return
        touched = [] if run.ended_by_us else self._follow(slot, run.occurrence, state, now.wall, now, out)
        if slot.rests:
            slot.next = None  # any end is one to count from, also that of a run by hand
            self._planner.rest(slot, now, run.begun)
        self._board.touch(slot)
        for other in [slot, *touched]:
            self._planner.look(other, now, out)

    def make_up(self, slot: Slot, now: Moment, out: list[Decision]) -> list[Slot]:
        """The entry can be used again: do what follows the runs that ended meanwhile. The entries to look at now."""
        ends = slot.standing.ends
        if not ends:
            return []  # what it planned stays planned, whatever else of it waits
        slot.standing = structs.replace(slot.standing, ends=())
        found = [other for one in ends
                 for other in self._follow(slot, one.run, one.state, min(one.at, now.wall), now, out)]
        if slot.rests and slot.waiting:
            slot.next = None  # its next run is planned when these are over
        return found

    def _defer(self, run: Run, state: State, now: Moment) -> None:
        """Keep what ended until its entry can be used again; of one that was deleted nothing follows."""
        aside = self._board.aside.get(run.occurrence.schedule)
        if aside is not None and not run.ended_by_us:
            ended = Ended(run=run.occurrence, state=state, at=now.wall)
            self._board.put_aside(structs.replace(aside, ends=(*aside.ends, ended)[-policy.QUEUE_LIMIT:]))

    def _follow(self, slot: Slot, one: Occurrence, state: State, at: float, now: Moment,
                out: list[Decision]) -> list[Slot]:
        """What comes of a run that ended at that time: the other entries to look at now."""
        if state is State.SUCCEEDED:
            slot.failures = 0
            return self._start(slot, slot.entry.then, "then", at, now, out)
        if state not in policy.NOT_FAILED:
            if self._retry(slot, one, at, now, out):
                return []
            self._count(slot)
        return self._start(slot, slot.entry.on_failure, "on_failure", at, now, out)

    def _retry(self, slot: Slot, one: Occurrence, at: float, now: Moment, out: list[Decision]) -> bool:
        """Whether it is tried again."""
        entry = slot.entry
        if one.attempt >= entry.retries or not entry.enabled or slot.paused:
            return False
        due = at + policy.retry_after(entry, one.attempt)
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

    def _start(self, slot: Slot, follows: Iterable[Follow], cause: Cause, at: float, now: Moment,
               out: list[Decision]) -> list[Slot]:
        """Have the entries that follow run; those that are not there were warned of as they were loaded."""
        found: list[Slot] = []
        for follow in follows:
            other = self._board.slots.get(follow.entry)
            if other is None and follow.entry in self._board.broken:
                due = at + follow.delay
                self._put_off(follow.entry, Waiting(planned=due, due=due, cause=cause, by=slot.entry.name), slot.zone,
                              now, out)
            elif other is not None:
                due = _paced(other, at + follow.delay, now)
                self._add(other, Waiting(planned=other.new_time(due), cause=cause, due=due, by=slot.entry.name),
                          now, out)
                found.append(other)
        return found

    def _put_off(self, name: str, one: Waiting, zone: tzinfo, now: Moment, out: list[Decision]) -> None:
        """A run of an entry that cannot be used for now waits until it can be."""
        aside = self._board.aside.get(name) or Standing(name=name)
        known = stand_in(aside, zone, now)
        one = structs.replace(one, planned=known.new_time(one.due))
        if not known.wait(one):
            out.append(Judge(occurrence=occurrence_of(name, one, *_TOO_MANY, now)))
        self._board.put_aside(structs.replace(aside, waiting=tuple(known.waiting), lap=known.lap, high=known.high))

    def _add(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> None:
        self._board.touch(slot)
        there = policy.there_from(now.wall, self._board.born)
        if one.due < policy.reaches_back(slot.entry, now.wall, there):
            why = UNUSABLE if one.cause == "retry" else "the entry before it could not be used"
            self._board.judge(slot, one, "missed", why, now, out)
        elif not slot.wait(structs.replace(one, caught_up=one.due < there)):
            self._board.judge(slot, one, *_TOO_MANY, now, out)


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
