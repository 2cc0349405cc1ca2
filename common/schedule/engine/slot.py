"""One entry and where it stands: what is planned, what waits, what runs, what became of the last run.

It keeps; what is decided is decided in `planner.py` and `gate.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from msgspec import structs

from common.ids import Jid
from common.schedule.engine import policy, splay
from common.schedule.engine.plans import OnWall, Plan, Rhythm, Single, made
from common.schedule.model import Entry, Key, Moment, Occurrence, Standing, Waiting
from common.schedule.times.periods import Period
from common.schedule.times.triggers import base_of, bounds_of, fingerprint, trigger_of
from common.schedule.times.windows import Windows

_TURN = 1e-6
_TURNS = 999
_SAME = 1.0
"""Seconds by which the time that somebody names may miss the planned one."""


@dataclass(slots=True)
class Run:
    """A run that goes on."""

    occurrence: Occurrence
    jid: Jid
    begun: float
    """By the boot clock."""
    ended_by_us: bool = False
    """Its kill was asked for, for a newer run of the entry."""


class Slot:
    """One entry and where it stands. Planned times are *raw* here: the same without the turn that keys carry."""

    __slots__ = (
        "ahead", "asked", "decided", "end", "entry", "failures", "high", "lap", "let", "moved", "next", "paused",
        "plan", "rests", "running", "runs", "skips", "spread", "standing", "start", "trigger", "turn", "waiting",
        "wakes", "windows", "zone",
    )

    def __init__(self, entry: Entry, who: str, zone: tzinfo, periods: Mapping[str, Period]) -> None:
        self.standing = Standing(name=entry.name)
        """What is only told and kept: the last run. The rest of it is in the fields below."""
        self.plan: Plan | None = None
        self.next: float | None = None
        """The first planned time that is not decided."""
        self.wakes: float | None = None
        """When its timer is set to."""
        self.decided: float | None = None
        self.trigger = ""
        self.runs = 0
        self.failures = 0
        self.paused = ""
        self.turn = 0
        self.lap = 0
        self.high = 0.0
        self.skips: set[float] = set()
        self.moved: dict[float, float] = {}
        self.ahead: set[float] = set()
        """Times of the wall clock that were skipped or moved before the entry became another one, or was disabled."""
        self.waiting: list[Waiting] = []
        self.asked: dict[Key, Waiting] = {}
        self.let: set[Key] = set()
        """Runs that are asked and may begin although all is held."""
        self.running: dict[Jid, Run] = {}
        self.set_entry(entry, who, zone, periods)

    def set_entry(self, entry: Entry, who: str, zone: tzinfo, periods: Mapping[str, Period]) -> None:
        """This is the entry from now on; `plan_from` or `restore` follows where its times changed."""
        self.entry = entry
        self.zone = zone
        self.windows = Windows(entry, periods)
        self.rests = entry.continuous or (entry.every is not None and base_of(entry) == "end")
        """Whether the next run is planned when the last one is over."""
        self.spread = splay.offset(who, entry.name, entry.splay)
        start, end = bounds_of(entry, zone)
        self.start = -math.inf if start is None else start.timestamp()
        self.end = math.inf if end is None else end.timestamp()

    @property
    def splay(self) -> float:
        """Seconds after its planned time that a run is due."""
        return 0.0 if self.rests else self.spread

    @property
    def interval(self) -> float:
        """Seconds between runs that the engine counts; 0 for other entries."""
        return self.entry.every or 0.0

    @property
    def finished(self) -> bool:
        """Whether it ran as often as it may."""
        return self.entry.max_runs is not None and self.runs >= self.entry.max_runs

    @property
    def busy(self) -> int:
        """Runs that go on, or are about to."""
        return len(self.running) + len(self.asked)

    @property
    def counted(self) -> bool:
        """Whether it is an interval that the engine counts, by the boot clock."""
        return self.rests or isinstance(self.plan, Rhythm)

    # planning

    def plan_from(self, now: Moment) -> None:
        """Plan anew from now on; what the wall clock planned and has its verdict keeps it, whatever the clock shows."""
        entry = self.entry
        self.trigger = fingerprint(entry) if entry.enabled else ""
        decided = self.decided or 0.0
        leave_plan(self, on_wall=isinstance(self.plan, OnWall))
        if self.counted:
            self.decided = None
        self.plan, self.next = None, None
        if not entry.enabled:
            return
        trigger = trigger_of(entry, self.zone)
        if trigger is not None:
            # A single time that is past, and was never decided, is made up for, or missed.
            since = 0.0 if entry.once is not None else now.wall
            self.decided = since if self.decided is None else max(self.decided, since)
            self.plan = OnWall(trigger)
            self.next = self.plan.next_after(self.decided)
            self.skips, self.ahead = {one for one in self.ahead if one > self.decided}, set()
            if self.high > now.wall or self.lap > self.turn:
                self.turn = self.lap + 1  # times that it made up itself may come again
            self.forget_the_future(now.wall)
        elif (entry.every is not None or entry.continuous) and not (self.rests and self.busy):
            if decided > now.wall or self.turn > self.lap:
                self.lap, self.high = max(self.lap, self.turn) + 1, 0.0
            first = self.start if self.start > now.wall else now.wall + self.interval
            self.count_from(first + (self.spread if self.rests else 0.0))

    def count_from(self, first: float) -> None:
        """The next run of an interval is planned then, and the others after it."""
        first = made(self._fresh(made(first)))
        self.plan = Single(first, self.end) if self.rests else Rhythm(self.interval, first, self.end)
        self.next = first if first <= self.end else None
        self.decided = None

    def move_on(self, last: float) -> None:
        """Everything planned up to `last` is decided."""
        assert self.plan is not None
        self.decided = last
        self.next = self.plan.next_after(last)
        if self.skips or self.moved:
            self.skips = {one for one in self.skips if one > last}
            self.moved = {one: to for one, to in self.moved.items() if one > last}

    def step(self, by: float, before: float, now: float) -> None:
        """The wall clock was set `by` seconds; it had shown `before`. Intervals go on as if nothing was."""
        self.waiting = sorted((_shifted(one, by, before) for one in self.waiting), key=_order)
        if self.counted:
            if self.next is not None:
                self.count_from(self.next + by)
            self.skips = {made(one + by) for one in self.skips}
            self.moved = {made(one + by): to for one, to in self.moved.items()}
            if by < 0 or self.skips or self.moved:  # their names are used up, and others may come to those times
                self.lap, self.high = self.lap + 1, 0.0
        else:
            self.forget_the_future(now)

    def forget_the_future(self, now: float) -> None:
        """Plan from now on where the clock that decided was plainly wrong; the same times get other keys."""
        if isinstance(self.plan, OnWall) and self.decided is not None and self.decided - now > policy.FORGETS:
            self.turn += 1
            self.decided = now
            self.next = self.plan.next_after(now)

    def wake(self, now: float) -> float | None:
        """When to look at it again."""
        times = [] if self.next is None or self.finished else [self.next + self.splay]
        for one in self.waiting:
            if one.due > now:
                times.append(one.due)
            elif self.entry.start_deadline is not None and self.key_of(one) not in self.asked:
                times.append(math.nextafter(one.due + self.entry.start_deadline, math.inf))
        return min(times, default=None)

    # keys

    def key_of(self, one: Waiting) -> Key:
        """Which run that is."""
        return Key(self.entry.name, one.planned, one.attempt)

    def key_time(self, raw: float) -> float:
        """The planned time as occurrences carry it."""
        return _marked(raw, self.lap if self.counted else self.turn)

    def new_time(self, wall: float) -> float:
        """A planned time near `wall`, as occurrences carry it, that no run of this entry ever had."""
        found = self._fresh(math.floor(wall * 1000) / 1000)
        while self._is_planned(made(found)):
            found += 0.001
        self.high = made(found)
        return _marked(self.high, self.lap)

    def _is_planned(self, time: float) -> bool:
        """Whether a run of the plan, or of the one before an edit, has that time."""
        if time in (self.decided, self.standing.last_planned):
            return True
        return self.plan is not None and self.plan.next_after(time - 0.0005) == time

    def _fresh(self, time: float) -> float:
        """That time, or the one after the last that was made up; a clock that was set back begins another turn."""
        if time > self.high:
            return time
        if self.high - time < _SAME:
            return self.high + 0.001
        self.lap, self.high = self.lap + 1, 0.0
        return time

    def planned_at(self, time: float | None) -> float | None:
        """The undecided planned time that somebody means; None for the next one, and back when there is none."""
        if self.plan is None or self.next is None:
            return None
        found = self.next if time is None else self.plan.next_after(time - _SAME)
        while found is not None and (found in self.skips or found in self.moved):
            found = self.plan.next_after(found)
        if found is None or found < self.next or (time is not None and abs(found - time) >= _SAME):
            return None
        return found

    def wait(self, one: Waiting) -> bool:
        """Put a run among those that wait; False when there are too many."""
        if len(self.waiting) >= policy.QUEUE_LIMIT:
            return False
        self.waiting.append(one)
        self.waiting.sort(key=_order)
        return True


def leave_plan(slot: Slot, *, on_wall: bool) -> None:
    """Another plan follows. What was skipped or moved of the wall clock's times is left out by any plan of that clock,
    whatever comes between; an interval's times are its own, and only their names must not come again.
    """
    if on_wall:
        slot.ahead |= {*slot.skips, *slot.moved}
    elif slot.skips or slot.moved:
        slot.lap, slot.high = slot.lap + 1, 0.0
    slot.skips, slot.moved = set(), {}


def _marked(time: float, turn: int) -> float:
    return time + turn % _TURNS * _TURN if turn else time


def _order(one: Waiting) -> tuple[float, float, int]:
    return (one.due, one.planned, one.attempt)


def _shifted(one: Waiting, by: float, before: float) -> Waiting:
    """What was to come in so many seconds still does; only what was postponed to a time keeps that time."""
    return one if one.postponed and one.due > before else structs.replace(one, due=one.due + by)


