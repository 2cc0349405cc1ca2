"""Triggers in epoch seconds, for the engine that does not know `triggers.py` yet; it goes with the last user of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from common.schedule import triggers
from common.schedule.model import Entry


class Trigger(Protocol):
    """An endless, or ending, row of planned times. Frozen, and equal when the times are."""

    def next_after(self, time: float) -> float | None:
        """The first planned time later than `time`, or None when none comes."""

    def moved(self, by: float) -> Trigger:
        """The trigger after the wall clock was set `by` seconds: what counts elapsed time moves along."""


@dataclass(frozen=True, slots=True)
class Every:
    """Every `seconds`, on a grid: run n is planned at base + n * seconds, however late the others ran."""

    seconds: float
    base: float

    def next_after(self, time: float) -> float:
        """Never None."""
        count = max(1, math.floor((time - self.base) / self.seconds))
        # Counted up from one too few, since the division may round either way.
        while (planned := self.base + count * self.seconds) <= time:
            count += 1
        return planned

    def moved(self, by: float) -> Every:
        """The same rhythm: what was to come in ten seconds still comes in ten seconds."""
        return Every(self.seconds, self.base + by)


@dataclass(frozen=True, slots=True)
class Planned:
    """What `triggers.py` plans; nothing for an entry that no wall clock plans."""

    told: str
    inner: triggers.Trigger | None = field(compare=False)

    def next_after(self, time: float) -> float | None:
        """None when none comes."""
        if self.inner is None:
            return None
        found = self.inner.next_after(datetime.fromtimestamp(time, UTC))
        return None if found is None else found.timestamp()

    def moved(self, by: float) -> Planned:
        """Itself: its times are those of the wall clock."""
        return self


def trigger_of(entry: Entry, base: float, zone: tzinfo) -> Trigger:
    """The entry's trigger: `base` is where intervals count from, `zone` the host's time zone."""
    if entry.every is not None and triggers.base_of(entry) != "grid":
        return Every(entry.every, base)
    return Planned(triggers.fingerprint(entry), triggers.trigger_of(entry, zone))


def latest(trigger: Trigger, planned: float, now: float) -> float:
    """The latest planned time that is not after `now`, given that `planned` is one of them.

    Halves the rest of the time with each step, so that a host which slept for a year costs some thirty questions.
    """
    found, end = planned, now
    while (following := trigger.next_after(found)) is not None and following <= now:
        found = following
        middle = found + (end - found) / 2
        leap = trigger.next_after(middle)
        if leap is not None and leap <= now:
            found = leap
        else:
            end = middle
    return found
