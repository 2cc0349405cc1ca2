"""When an entry is due: triggers that know the planned times and nothing else. Times are epoch seconds.

A further trigger is one more class with these two methods and one more key in `entries.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from cronsim import CronSim, CronSimError

EXPRESSION_LIMIT = 200
"""Characters of a cron expression."""


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
class Cron:
    """A cron expression in a time zone, with Debian's rules for daylight saving.

    A time of day that a change skips comes at the end of the gap; one that comes twice counts once, the first time;
    `*` in minutes or hours goes by elapsed time. Six fields begin with seconds.
    """

    expression: str
    zone: tzinfo

    def next_after(self, time: float) -> float | None:
        """None when the expression matches no date in the next fifty years."""
        try:
            for when in CronSim(self.expression, datetime.fromtimestamp(time, UTC).astimezone(self.zone)):
                # A fixed time inside an hour that comes twice is given as its first pass, which may lie before `time`.
                if when.timestamp() > time:
                    return when.timestamp()
        except (ValueError, OverflowError):
            # The year 10000 is near: no date can be told from there.
            return None
        return None

    def moved(self, by: float) -> Cron:
        """Itself: its times are those of the wall clock."""
        return self


def check_cron(expression: str) -> str:
    """The expression. Raises ValueError that says what is wrong with it, also when it never comes."""
    if len(expression) > EXPRESSION_LIMIT:
        raise ValueError(f"it has {len(expression)} characters, and {EXPRESSION_LIMIT} are allowed")
    try:
        following = next(iter(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))), None)
    except CronSimError as error:
        raise ValueError(str(error)[:1].lower() + str(error)[1:]) from error
    if following is None:
        raise ValueError("it never comes")
    return expression


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
