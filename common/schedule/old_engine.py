"""The scheduler as a pure machine: it is told the time and which runs go on, and says what is due. It never sleeps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from common.schedule.model import Entry
from common.schedule.old import Trigger, latest, trigger_of
from common.secrets import told_of

LONGEST_SLEEP = 60.0
"""Seconds after which the engine wants to be asked again at the latest, so that a clock that was set is noticed."""

_STREAKS = 64
_NUDGE = 0.001
"""Seconds by which the grid of an interval shifts when the clock is set back, so that no planned time comes again."""


@dataclass(frozen=True, slots=True)
class Due:
    """Start this entry now, for the run that was planned at `planned` (epoch seconds)."""

    name: str
    planned: float


@dataclass(slots=True)
class _Streak:
    """Planned times of one trigger that were dealt with without a gap, from `first` to `last`."""

    trigger: Trigger
    first: float
    last: float


class _Slot:
    """One entry and where it stands."""

    def __init__(self, entry: Entry, now: float, zone: tzinfo) -> None:
        self.entry = entry
        self.trigger = trigger_of(entry, now, zone)
        self.planned = self.trigger.next_after(now) if entry.enabled else None
        self.last: float | None = None
        self.running = False
        self.skipped = 0
        self._streaks: deque[_Streak] = deque(maxlen=_STREAKS)

    def take(self, now: float) -> float | None:
        """The latest planned time that is due, with all before it dealt with; None when nothing is due."""
        if self.planned is None or self.planned > now:
            return None
        taken = latest(self.trigger, self.planned, now)
        # After the clock was set back, what is latest may have been dealt with before; `planned` itself never was.
        while (streak := self._dealt_with(taken)) is not None:
            taken = latest(self.trigger, self.planned, math.nextafter(streak.first, -math.inf))
        self._remember(taken, missed=taken != self.planned)
        self.planned = self._fresh(taken)
        self.last = taken
        return taken

    def set_back(self, now: float, by: float) -> None:
        """The clock was set back `by` seconds: plan again from `now`."""
        if self.planned is not None:
            self.trigger = self.trigger.moved(_NUDGE - by)
            self.planned = self._fresh(now)

    def _remember(self, taken: float, *, missed: bool) -> None:
        streak = self._streaks[-1] if self._streaks else None
        follows = streak is not None and not missed and streak.trigger == self.trigger
        if streak is not None and follows and self.trigger.next_after(streak.last) == taken:
            streak.last = taken
        else:
            self._streaks.append(_Streak(self.trigger, taken, taken))

    def _fresh(self, after: float) -> float | None:
        """The first planned time after `after` that was never dealt with: a clock that is set back repeats none."""
        planned = self.trigger.next_after(after)
        while planned is not None and (streak := self._dealt_with(planned)) is not None:
            planned = self.trigger.next_after(streak.last)
        return planned

    def _dealt_with(self, planned: float) -> _Streak | None:
        for streak in self._streaks:
            if streak.trigger == self.trigger and streak.first <= planned <= streak.last:
                return streak
        return None


class Engine:
    """Entries with their next planned times.

    Of the runs that a stall missed only the latest is made up for. A clock that is set back never repeats a planned
    time: intervals keep their rhythm, cron entries wait for the first time that has not been. A run that is due while
    the last one of its entry goes on is skipped.
    """

    def __init__(self, entries: Mapping[str, Entry], now: float, zone: tzinfo = UTC) -> None:
        """`now` is epoch seconds, from which intervals count; `zone` is where cron entries live that name none."""
        self._slots = {name: _Slot(entry, now, zone) for name, entry in entries.items()}
        self._now = now
        self._zone = zone

    def load(self, entries: Mapping[str, Entry], now: float) -> None:
        """These are the entries from now on; those that did not change keep their state."""
        former = self._slots
        self._slots = {name: former[name] if name in former and former[name].entry == entry
                       else _Slot(entry, now, self._zone) for name, entry in entries.items()}
        for name, slot in self._slots.items():
            slot.running = name in former and former[name].running

    def next(self) -> float | None:
        """When the next run is planned; None when none is. The clock may be set meanwhile: sleep by `wait`."""
        return min((slot.planned for slot in self._slots.values() if slot.planned is not None), default=None)

    def wait(self, now: float) -> float | None:
        """How many seconds to sleep before asking `due` again, at most LONGEST_SLEEP; None when nothing is planned."""
        planned = self.next()
        return None if planned is None else min(max(0.0, planned - now), LONGEST_SLEEP)

    def due(self, now: float) -> list[Due]:
        """What to start now, earliest planned first. Each is given once; the caller says `running` and `ended`."""
        if now < self._now:
            for slot in self._slots.values():
                slot.set_back(now, self._now - now)
        self._now = now
        found: list[Due] = []
        for name, slot in self._slots.items():
            planned = slot.take(now)
            if planned is None:
                continue
            if slot.running:
                slot.skipped += 1
            else:
                found.append(Due(name, planned))
        return sorted(found, key=lambda due: (due.planned, due.name))

    def running(self, name: str) -> None:
        """A run of this entry goes on; an entry that is not there is no error (it may have been taken away)."""
        if name in self._slots:
            self._slots[name].running = True

    def ended(self, name: str) -> None:
        """The run is over."""
        if name in self._slots:
            self._slots[name].running = False

    def entry(self, name: str) -> Entry:
        """The entry. Raises KeyError."""
        return self._slots[name].entry

    def describe(self) -> list[dict[str, Any]]:
        """Every entry as plain data: its fields, and `next`, `last`, `running` and `skipped`."""
        return [
            {
                "name": name, "function": slot.entry.function, "args": slot.entry.args,
                "kwargs": told_of(slot.entry.function, slot.entry.kwargs, slot.entry.secret),
                "every": slot.entry.every, "cron": slot.entry.cron, "timezone": slot.entry.timezone,
                "timeout": slot.entry.timeout, "enabled": slot.entry.enabled, "metadata": slot.entry.metadata,
                "next": slot.planned, "last": slot.last, "running": slot.running, "skipped": slot.skipped,
            }
            for name, slot in self._slots.items()
        ]
