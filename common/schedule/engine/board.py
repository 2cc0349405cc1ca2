"""What the parts of the engine share: the entries, the runs that go on, one timer for each entry, and the only two
ways in which a planned run gets its verdict: `judge` and `begin`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator

from msgspec import structs

from common.ids import Jid
from common.schedule.engine import policy
from common.schedule.engine.plans import COUNTED, OnWall
from common.schedule.engine.slot import Run, Slot
from common.schedule.engine.standings import standing_of
from common.schedule.model import (
    Begin,
    Decision,
    Hold,
    Judge,
    Moment,
    Occurrence,
    Standing,
    Verdict,
    Waiting,
)
from common.timers import Timers

STEP = 1.0
"""Seconds by which the clocks must part to count as a clock that was set. Less is what an unlucky reading makes."""

SLICE = 250
"""Entries that are taken over, or packed for the journal, at once: some 15 ms at the most."""
Changes = Generator[None, None, tuple[tuple[Standing, ...], tuple[str, ...]]]
"""What changed, in parts: others may look in between, and nothing may be changed."""

_COUNTED_AT_ONCE = 20_000
"""Missed times that are counted one by one before the engine answers: half a second of CPU, however many entries a host
that was away for a year has."""
_COUNTABLE = 1_000_000_000
"""Runs in one stretch, as far as an occurrence may tell."""


class Board:
    """All entries and where they stand. `out`, in all its methods, is where decisions go."""

    def __init__(self, mint: Callable[[float], Jid], hold: Hold | None, now: Moment) -> None:
        self.mint = mint
        self.held = hold
        self.born = now.wall
        """When the scheduler started, by the wall clock as it is set now."""
        self.slots: dict[str, Slot] = {}
        self.aside: dict[str, Standing] = {}
        """Where the entries stand that cannot be used for now."""
        self.broken: Container[str] = ()
        """The names of those, also of such that have never been anything else."""
        self._runs: dict[Jid, Run] = {}
        self.running: dict[str, dict[Jid, Run]] = {}
        self.dropped: set[str] = set()
        self._offset = now.wall - now.boot
        self._timers: Timers[str] = Timers()
        self._on_wall: set[str] = set()
        """Entries that the wall clock may bring forward: a step must be noticed for them."""
        self._count_left = _COUNTED_AT_ONCE
        self._changed: dict[str, None] = {}
        self.changing: Callable[[Slot], None] | None = None
        """Who is told of an entry before it changes, from a mark on until it is asked what has changed."""

    # time

    def stepped(self, now: Moment) -> float:
        """Seconds by which the wall clock was set since `notice`; 0 when it was not."""
        by = now.wall - now.boot - self._offset
        return by if abs(by) >= STEP else 0.0

    def notice(self, now: Moment) -> None:
        """Plan again when the wall clock was set. Called first of all, whatever the engine is told."""
        self._count_left = _COUNTED_AT_ONCE
        by = self.stepped(now)
        if not by:
            return
        self._offset += by
        self.born += by
        for name, slot in self.slots.items():
            self.change(slot)
            slot.step(by, now.wall - by, now.wall)
            self._changed[name] = None
            self.arm(slot, now)

    def arm(self, slot: Slot, now: Moment) -> None:
        """Set the entry's timer by what is planned now."""
        self.arm_at(slot, slot.wake(now.wall))

    def arm_at(self, slot: Slot, at: float | None) -> None:
        """Set the entry's timer; None: there is nothing to wait for."""
        name = slot.entry.name
        slot.wakes = at
        if at is None:
            self._timers.clear(name)
            self._on_wall.discard(name)
            return
        self._timers.set(name, at)
        if isinstance(slot.plan, OnWall) or any(one.postponed for one in slot.waiting):
            self._on_wall.add(name)
        else:
            self._on_wall.discard(name)

    def disarm(self, name: str) -> None:
        """The entry is gone."""
        self._timers.clear(name)
        self._on_wall.discard(name)

    def next(self) -> float | None:
        """When the next entry is to be looked at."""
        return self._timers.next()

    @property
    def follows_wall(self) -> bool:
        """Whether anything is planned by the wall clock."""
        return bool(self._on_wall)

    def due(self, now: Moment) -> list[Slot]:
        """The entries to look at now, earliest first; the caller arms them again."""
        return [self.change(self.slots[name]) for name in self._timers.due(now.wall)]

    # state

    def change(self, slot: Slot) -> Slot:
        """The same; it is about to change. Said of every entry that a verb may change, so that it can be taken back."""
        if self.changing is not None:
            self.changing(slot)
        return slot

    def touch(self, slot: Slot) -> None:
        """Its standing changed."""
        self._changed[slot.entry.name] = None

    def changed(self) -> Changes:
        """The standings that changed since this was asked last, and the names of those that are gone."""
        standings: list[Standing] = []
        for number, name in enumerate(self._changed):
            if number % SLICE == SLICE - 1:
                yield
            if name in self.slots:
                standings.append(standing_of(self.slots[name]))
        standings += [self.aside[name] for name in self._changed if name in self.aside]
        dropped = tuple(sorted(name for name in self.dropped if name not in self.slots and name not in self.aside))
        self._changed.clear()
        self.dropped.clear()
        self.changing = None
        return tuple(standings), dropped

    def put_aside(self, standing: Standing) -> None:
        """Its entry cannot be used, and is none of the slots."""
        self.aside[standing.name] = standing if standing.broken else structs.replace(standing, broken=True)
        self._changed[standing.name] = None

    # runs

    def enter(self, run: Run) -> None:
        """It goes on from now."""
        self._runs[run.jid] = run
        self.runs_of(run.occurrence.schedule)[run.jid] = run

    def leave(self, run: Run) -> None:
        """It is over."""
        del self._runs[run.jid]
        name = run.occurrence.schedule
        del self.running[name][run.jid]
        if not self.running[name] and name not in self.slots:
            del self.running[name]

    def run(self, jid: Jid) -> Run | None:
        """The run of that jid, as long as it goes on."""
        return self._runs.get(jid)

    def runs_of(self, name: str) -> dict[Jid, Run]:
        """The runs of an entry that go on, also of one that was deleted; a slot has the same object."""
        return self.running.setdefault(name, {})

    # verdicts

    def judge(self, slot: Slot, one: Waiting, verdict: Verdict, reason: str, now: Moment, out: list[Decision]) -> None:
        """A run that does not begin."""
        self._judged(slot, occurrence_of(slot.entry.name, one, verdict, reason, now), now, out)

    def judge_stretch(self, slot: Slot, first: float, last: float, verdict: Verdict, reason: str, now: Moment,
                      out: list[Decision]) -> None:
        """All that is planned from `first` to `last`, both raw: nothing of it begins."""
        assert slot.plan is not None
        count = 1
        if first != last:
            limit = max(2, min(COUNTED, self._count_left))
            count = min(slot.plan.count(first, last, limit), _COUNTABLE)
            self._count_left -= min(count, limit)
            if count == limit:
                reason = f"{reason}; counted up to {count} only".removeprefix("; ")
        self._judged(slot, Occurrence(
            schedule=slot.entry.name, planned=slot.key_time(first), verdict=verdict, at=now.wall, reason=reason,
            count=count, last=None if first == last else slot.key_time(last)), now, out)

    def begin(self, slot: Slot, one: Waiting, now: Moment, out: list[Decision]) -> None:
        """A run that begins."""
        entry = slot.entry
        jid = self.mint(now.wall)
        occurrence = Occurrence(
            schedule=entry.name, planned=one.planned, attempt=one.attempt, at=now.wall, jid=jid, cause=one.cause,
            by=one.by, verdict=policy.verdict(one.due, now.wall, caught_up=one.caught_up))
        self.enter(Run(occurrence, jid, now.boot))
        slot.runs += counts(occurrence)
        slot.standing = structs.replace(
            slot.standing, last_planned=one.planned, last_verdict=occurrence.verdict, last_jid=jid,
            last_started=now.wall, last_state=None)
        self.touch(slot)
        deadline = None if entry.start_deadline is None else one.due + entry.start_deadline
        out.append(Begin(entry=entry, occurrence=occurrence, until=deadline, due=one.due))

    def failed(self, run: Run, reason: str, now: Moment, out: list[Decision]) -> None:
        """A run that was to begin, and could not."""
        occurrence = structs.replace(run.occurrence, verdict="failed_to_start", at=now.wall, reason=reason)
        slot = self.slots.get(occurrence.schedule)
        if slot is None:
            out.append(Judge(occurrence=occurrence))
            return
        slot.runs -= counts(occurrence)
        self._judged(slot, occurrence, now, out)

    def _judged(self, slot: Slot, occurrence: Occurrence, now: Moment, out: list[Decision]) -> None:
        verdict = occurrence.verdict
        last = occurrence.planned if occurrence.last is None else occurrence.last
        slot.standing = structs.replace(
            slot.standing, last_planned=last, last_verdict=verdict,
            last_skipped=now.wall if verdict.startswith("skipped") else slot.standing.last_skipped)
        self.touch(slot)
        out.append(Judge(occurrence=occurrence))


def occurrence_of(name: str, one: Waiting, verdict: Verdict, reason: str, now: Moment) -> Occurrence:
    """A run of the entry `name` that waited, and does not begin."""
    return Occurrence(schedule=name, planned=one.planned, attempt=one.attempt, verdict=verdict, at=now.wall,
                      cause=one.cause, by=one.by, reason=reason)


def counts(occurrence: Occurrence) -> bool:
    """Whether a run is one of the entry's `max_runs`: neither a retry nor what somebody ran by hand is."""
    return occurrence.attempt == 0 and occurrence.cause != "by_hand"


