"""When an entry's next run is planned, in epoch seconds: a trigger of the wall clock, or an interval that the engine
itself counts. Pure, and frozen: an interval that is moved is another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from common.schedule.times.triggers import Bounded, Grid, Trigger

COUNTED = 1_000
"""Planned times of a stretch that are counted one by one; of a longer one that is no grid it is told that there were
*at least* so many. First and last time are exact."""

_LAST = datetime.max.replace(tzinfo=UTC).timestamp() - 86_400.0
_MILLI = 3
"""Digits behind the point of a time that the engine makes up."""


class Plan(Protocol):
    """A row of planned times."""

    def next_after(self, time: float) -> float | None:
        """The first one later than `time`."""

    def previous_before(self, time: float) -> float | None:
        """The last one earlier than `time`."""

    def count(self, first: float, last: float, limit: int) -> int:
        """How many there are from `first` to `last`, both of which are such; what must be counted up, to `limit`."""


@dataclass(frozen=True, slots=True)
class OnWall:
    """What a trigger plans by the clock on the wall."""

    trigger: Trigger

    def next_after(self, time: float) -> float | None:
        found = self.trigger.next_after(_moment(time))
        return None if found is None else found.timestamp()

    def previous_before(self, time: float) -> float | None:
        found = self.trigger.previous_before(_moment(time))
        return None if found is None else found.timestamp()

    def count(self, first: float, last: float, limit: int) -> int:
        """At least, where it is the limit."""
        trigger = self.trigger.trigger if isinstance(self.trigger, Bounded) else self.trigger
        if isinstance(trigger, Grid):
            return round((last - first) / trigger.step.total_seconds()) + 1
        found, at = 1, first
        while at < last and found < limit:
            following = self.next_after(at)
            if following is None:
                break
            found, at = found + 1, following
        return found


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Every `seconds` from `first` on, which is where an interval stands that counts from the starts of its runs."""

    seconds: float
    first: float
    end: float = math.inf

    def next_after(self, time: float) -> float | None:
        number = max(0, math.floor((time - self.first) / self.seconds))
        # From one too few, since the division may round either way.
        while (found := self._at(number)) <= time:
            number += 1
        return found if found <= self.end else None

    def previous_before(self, time: float) -> float | None:
        number = math.ceil((min(time, self.end + 0.001) - self.first) / self.seconds)
        while number >= 0 and ((found := self._at(number)) >= time or found > self.end):
            number -= 1
        return found if number >= 0 else None

    def count(self, first: float, last: float, limit: int) -> int:
        return round((last - first) / self.seconds) + 1

    def _at(self, number: int) -> float:
        return round(self.first + number * self.seconds, _MILLI)


@dataclass(frozen=True, slots=True)
class Single:
    """One time: what follows it depends on how the run ends."""

    first: float
    end: float = math.inf

    def next_after(self, time: float) -> float | None:
        return self.first if time < self.first <= self.end else None

    def previous_before(self, time: float) -> float | None:
        return self.first if self.first < time and self.first <= self.end else None

    def count(self, first: float, last: float, limit: int) -> int:
        return 1


def made(time: float) -> float:
    """A time that the engine makes up: whole milliseconds."""
    return round(time, _MILLI)


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(min(max(0.0, time), _LAST), UTC)
