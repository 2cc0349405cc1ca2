"""Cron expressions, read and evaluated by cronsim on the clock on the wall; what is wrong with one is told in words."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

from common.schedule.times import wall
from common.schedule.times.days import MONTHS, WEEKDAYS
from common.schedule.times.upward import Scale, upward

EXPRESSION_LIMIT = 200
"""Characters of a cron expression."""

_FIELDS = {
    "second": "0 to 59", "minute": "0 to 59", "hour": "0 to 23", "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC", "day-of-week": "0 to 7 or SUN to SAT, 0 and 7 are Sunday",
}
_SCALES = {
    "second": Scale(0, 59), "minute": Scale(0, 59), "hour": Scale(0, 23), "day-of-month": Scale(1, 31),
    "month": Scale(1, 12, [name[:3] for name in MONTHS]),
    "day-of-week": Scale(0, 6, [name[:3] for name in (WEEKDAYS[-1], *WEEKDAYS[:-1])]),
}
_MONTH = -2
"""Where the month stands."""
_NICKNAMES = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}
_SUNDAY = re.compile(r"\b7-(?=[0-6])")
_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)


class Cron:
    """A cron expression in a time zone, with Debian's rules for daylight saving.

    A time of day that a change skips comes at the end of the gap; one that comes twice counts once, the first time;
    `*` in minutes or hours goes by elapsed time. Six fields begin with seconds.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        """Raises ValueError when the expression is none. `check_cron` says whether it ever comes."""
        self._sim = _parsed(expression)
        minutes, hours = expression.split()[-5:-3]
        self._elapsed = minutes.startswith("*") or hours.startswith("*")
        self._zone = zone

    def next_after(self, time: datetime) -> datetime | None:
        """None when the expression matches no date in the next fifty years."""
        return wall.following(self._match, time, self._zone, elapsed=self._elapsed)

    def previous_before(self, time: datetime) -> datetime | None:
        """None before 1970 only."""
        return wall.previous(self.next_after, time)

    def _match(self, at: datetime) -> datetime | None:
        sim = copy.copy(self._sim)  # parsing costs more than looking
        sim.dt = at.replace(microsecond=0)
        found: datetime | None = next(sim, None)
        return found


def check_cron(expression: str) -> str:
    """The expression; of a nickname such as `@daily` what it stands for.

    Raises ValueError that says what is wrong with it, also when it never comes.
    """
    expression = _NICKNAMES.get(expression, expression)
    if len(expression) > EXPRESSION_LIMIT:
        raise ValueError(f"it has {len(expression)} characters, and {EXPRESSION_LIMIT} are allowed")
    if Cron(expression, UTC).next_after(_BEGIN) is None:
        raise ValueError("it never comes: no month has that day")
    return expression


def _parsed(expression: str) -> CronSim:
    try:
        return _simulated(expression)
    except CronSimError as error:
        raise ValueError(_wrong(expression, str(error))) from error


def _simulated(expression: str) -> CronSim:
    return CronSim(expression, _BEGIN.replace(tzinfo=None))  # the wall clock's own time


def _wrong(expression: str, error: str) -> str:
    """What is wrong with an expression that cronsim does not take; `error` is what it says, such as `Bad hour`."""
    parts = expression.split()
    if len(parts) not in (len(_FIELDS) - 1, len(_FIELDS)):
        return (f"wrong number of fields: it has {len(parts)}; it takes minute, hour, day of the month, month and "
                "day of the week, perhaps with the second before them")
    name = error.partition(" ")[2]
    if name not in _FIELDS:
        return error[:1].lower() + error[1:]
    if name == "day-of-month" and _comes_in_other_months(parts):
        return f"it never comes: month {parts[_MONTH]} has no day {parts[_MONTH - 1]}"
    place = [*_FIELDS].index(name) - len(_FIELDS)
    meant = _meant(name, parts[place])
    if meant != parts[place] and _is_fine(meant, place):
        return f"bad {name} '{parts[place]}': a range goes up; write {meant}"
    return f"bad {name} '{parts[place]}': it takes {_FIELDS[name]}, lists (1,2), ranges (1-5) and steps (*/5)"


def _meant(name: str, field: str) -> str:
    """The field without ranges that go down. Crons differ over those: they refuse them, take them for nothing, or go
    round; so each is to be written as what it means.
    """
    field = _SUNDAY.sub("0-", field) if name == "day-of-week" else field
    return upward(field, _SCALES[name]) or field


def _comes_in_other_months(parts: list[str]) -> bool:
    return _is_cron([*parts[:_MONTH], "*", parts[-1]])


def _is_fine(field: str, place: int) -> bool:
    """Whether a field takes this, whatever stands in the others."""
    parts = ["*"] * len(_FIELDS)
    parts[place] = field
    return _is_cron(parts)


def _is_cron(parts: list[str]) -> bool:
    try:
        _simulated(" ".join(parts))
    except CronSimError:
        return False
    return True
