"""May this run begin now? Each run that is due comes through here, whatever it is due for, and leaves with its verdict
or waits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import structs

from common.schedule.engine import policy
from common.schedule.engine.board import Board
from common.schedule.engine.slot import Slot
from common.schedule.model import LATE, Ask, Decision, End, Moment, Verdict, Waiting


class Refusal(NamedTuple):
    """Why a run does not begin, ever."""

    verdict: Verdict
    reason: str = ""


HELD = Refusal("skipped_paused", "all schedules were held")
UNUSABLE = "the entry could not be used"
TOO_SLOW = Refusal("missed", "its start deadline passed")


class Gate:
    """Lets runs begin, wait, or end without having begun."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def enter(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> bool:
        """A run that is due: begin it, judge it, or let it wait. Whether it has its verdict."""
        if self._pass(slot, one, now, out, asked=False):
            return True
        if self._board.held is not None and slot.entry.overlap != "queue":
            self._only_the_newest(slot, one, now, out)
        if slot.wait(one):
            self._board.touch(slot)
            return False
        slot.asked.pop(slot.key_of(one), None)
        self._board.judge(slot, one, "skipped_overlap", f"{policy.QUEUE_LIMIT} runs wait already", now, out)
        return True

    def pump(self, slot: Slot, now: Moment, out: list[Decision]) -> None:
        """Look again at all that waits."""
        for one in tuple(slot.waiting):
            if one.due > now.wall:
                break
            # What one of them does may have ended the waiting of another.
            if one not in slot.waiting or slot.key_of(one) in slot.asked:
                continue
            if one.postponed:
                one = self._arrived(slot, one, now)
                if one.due < policy.reaches_back(slot.entry, now.wall, self._there(now)):
                    self.give_up(slot, one, Refusal("missed", "nobody was there to begin it"), now, out)
                    continue
            if self._pass(slot, one, now, out, asked=False):
                self._leave(slot, one)

    def answered(self, slot: Slot, one: Waiting, yes: bool, reason: str, now: Moment, out: list[Decision]) -> None:
        """What `should_run` said."""
        if not yes:
            self._leave(slot, one)
            self._board.judge(slot, one, "skipped_should_run", reason, now, out)
        elif self._pass(slot, one, now, out, asked=True):
            self._leave(slot, one)

    def turn_away(
        self, slot: Slot, refusal: Refusal, now: Moment, out: list[Decision], until: float = math.inf,
    ) -> None:
        """Nothing that waits will begin, as far as it is due by `until`."""
        for one in tuple(slot.waiting):
            if one.due <= until:
                self.give_up(slot, one, refusal, now, out)

    def returned(self, slot: Slot, was_broken: bool, now: Moment, out: list[Decision]) -> None:
        """After a start: what came due while nobody was there, and waits for nothing else, is made up for or missed.

        A planned run whose question was not answered is like one that was never looked at; what else was to come, such
        as a retry, still comes, unless the entry could not be used for too long.
        """
        if slot.busy or self._board.held is not None:
            return
        for place, one in enumerate(tuple(slot.waiting)):
            if one.due >= self._there(now) or one.postponed or one.caught_up or one.patient:
                continue
            slot.waiting[place] = structs.replace(one, caught_up=True)
        reach = policy.reaches_back(slot.entry, now.wall, self._there(now))
        for one in tuple(slot.waiting):
            if not one.caught_up or one.patient or one.due >= reach:
                continue
            if one.cause == "plan" and not one.attempt:
                self.give_up(slot, one, Refusal("missed", "nobody was there to begin it"), now, out)
            elif was_broken and one.cause in ("retry", "then", "on_failure"):
                self.give_up(slot, one, Refusal("missed", UNUSABLE), now, out)

    def _arrived(self, slot: Slot, one: Waiting, now: Moment) -> Waiting:
        """A postponed run whose time has come: from here on it is like any other."""
        arrived = structs.replace(one, postponed=False, caught_up=one.due < self._there(now))
        slot.waiting[slot.waiting.index(one)] = arrived
        self._board.touch(slot)
        return arrived

    def _there(self, now: Moment) -> float:
        return policy.there_from(now.wall, self._board.born)

    def _only_the_newest(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> None:
        """Of the planned runs of an entry that is held only the last one goes on waiting."""
        if one.cause != "plan" or one.attempt or one.patient:
            return
        for older in tuple(slot.waiting):
            let = slot.key_of(older) in slot.let
            if older.cause == "plan" and not older.attempt and older.due <= now.wall and not older.patient and not let:
                self.give_up(slot, older, HELD, now, out)

    def give_up(self, slot: Slot, one: Waiting, refusal: Refusal, now: Moment, out: list[Decision]) -> None:
        """This one of those that wait will not begin."""
        slot.asked.pop(slot.key_of(one), None)
        self._leave(slot, one)
        self._board.judge(slot, one, *refusal, now, out)

    def _leave(self, slot: Slot, one: Waiting) -> None:
        slot.let.discard(slot.key_of(one))
        if one in slot.waiting:
            slot.waiting.remove(one)
        self._board.touch(slot)

    def _pass(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision], asked: bool) -> bool:
        """Whether it has its verdict; else it waits."""
        refusal = _refused(slot, one, now)
        if refusal is None and self._board.held is not None and not one.force and slot.key_of(one) not in slot.let:
            return False
        if refusal is None and slot.busy >= policy.at_once(slot.entry):
            if self._makes_room(slot, one, now, out):
                return False
            refusal = Refusal("skipped_overlap")
        if refusal is not None:
            self._board.judge(slot, one, *refusal, now, out)
            return True
        if not asked and slot.entry.should_run is not None and one.attempt == 0 and not one.force:
            key = slot.key_of(one)
            slot.asked[key] = one
            out.append(Ask(entry=slot.entry, key=key))
            return False
        self._board.begin(slot, one, now, out)
        return True

    def _makes_room(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> bool:
        """Whether there will be room for it, if it waits."""
        if one.patient or slot.entry.overlap == "queue":
            return True
        if slot.entry.overlap != "kill":
            return False
        for older in tuple(slot.waiting):
            if older is not one and older.due <= now.wall and not older.patient:
                self.give_up(slot, older, Refusal("skipped_overlap", "a newer run took its place"), now, out)
        for run in slot.running.values():
            if not run.ended_by_us:
                run.ended_by_us = True
                out.append(End(jid=run.jid, reason=f"a newer run of {slot.entry.name} takes its place"))
        return True


def _refused(slot: Slot, one: Waiting, now: Moment) -> Refusal | None:
    """What stands against it for good."""
    entry = slot.entry
    if policy.is_over(one.due, entry, now.wall):
        return TOO_SLOW
    if one.force or one.cause == "by_hand":
        return None
    if not entry.enabled:
        return Refusal("skipped_paused", "the entry is disabled")
    if slot.paused:
        return Refusal("skipped_paused", slot.paused)
    if slot.finished and one.attempt == 0:
        return Refusal("missed", f"it ran {entry.max_runs} times, as often as it may")
    return _outside(slot, one, now.wall)


def _outside(slot: Slot, one: Waiting, now: float) -> Refusal | None:
    """Whether its time is no time at which the entry may run. Whoever is in time was found inside as it was planned."""
    if one.cause == "plan" and not one.postponed and now - one.due <= LATE:
        return None
    if now < slot.start or now > slot.end:
        return Refusal("skipped_window", "the entry has not begun yet" if now < slot.start else "the entry has ended")
    return None if slot.windows.is_open(now) else Refusal("skipped_window")
