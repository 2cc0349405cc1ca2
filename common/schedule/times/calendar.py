"""Calendar triggers: fields from year to second that must all match, such as day of week and hour.

The grammar of a field and its evaluation are APScheduler's; what it takes without a meaning is refused here. It is
asked in wall-clock time only, and `wall.py` says when that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from apscheduler.triggers.cron import CronTrigger

from common.schedule.times import wall
from common.schedule.times.days import MONTHS, WEEKDAYS
from common.schedule.times.upward import Scale, upward
from common.text import nearest

FIELDS = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
FIELD_LIMIT = 200
"""Characters of one field."""

_ALLOWED = {
    "year": "1970 to 9999", "month": "1 to 12 or jan to dec", "day": "1 to 31, last, 2nd tue or last fri",
    "week": "1 to 53", "day_of_week": "0 to 6 or mon to sun, 0 is Monday", "hour": "0 to 23", "minute": "0 to 59",
    "second": "0 to 59",
}
_SCALES = {
    "month": Scale(1, 12, [name[:3] for name in MONTHS]), "day": Scale(1, 31), "week": Scale(1, 53),
    "day_of_week": Scale(0, 6, [name[:3] for name in WEEKDAYS]), "hour": Scale(0, 23), "minute": Scale(0, 59),
    "second": Scale(0, 59),
}
_STEP_AFTER_NAMES = re.compile(r"[a-z]{3}(-[a-z]{3})?/", re.IGNORECASE)
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Calendar:
    """The times at which all fields match. Fields above the least one given are free, those below at their least."""

    def __init__(self, fields: Mapping[str, str | int], zone: tzinfo) -> None:
        """`fields` by name, 0 is Monday in `day_of_week`. Raises ValueError that names the field, also for never."""
        if not fields:
            raise ValueError(f"it needs a field, one of {', '.join(FIELDS)}")
        self._zone = zone
        self._trigger, self._hourly = _read(tuple((name, str(value)) for name, value in fields.items()))

    def next_after(self, time: datetime) -> datetime | None:
        """The first planned time that is later than `time`, in UTC; None when none comes."""
        return wall.following(self._match, time, self._zone, elapsed=self._hourly)

    def previous_before(self, time: datetime) -> datetime | None:
        """The last planned time that is before `time`, in UTC; None when none came since 1970."""
        return wall.previous(self.next_after, time)

    def _match(self, at: datetime) -> datetime | None:
        found = self._trigger.get_next_fire_time(None, at.replace(tzinfo=UTC) + _TICK)
        return None if found is None else found.replace(tzinfo=None)


@lru_cache(maxsize=1_000)
def _read(items: tuple[tuple[str, str], ...]) -> tuple[CronTrigger, bool]:
    """What evaluates the fields, and whether they go by the time that passes; kept, since reading costs the most."""
    fields = {name: _checked(name, value) for name, value in items}
    if not _comes(fields):
        raise ValueError(f"it never comes: {', '.join(f'{name}={value}' for name, value in items)}")
    return CronTrigger(timezone=UTC, **fields), _hourly(fields)


def _comes(fields: Mapping[str, str]) -> bool:
    """Whether these fields ever match. In all years alike, what comes at all has come within sixty."""
    years = fields.get("year", "*")
    end = _BEGIN.replace(year=_BEGIN.year + 60) if years.startswith("*") else None
    return CronTrigger(timezone=UTC, end_date=end, **fields).get_next_fire_time(None, _BEGIN) is not None


def _hourly(fields: Mapping[str, str]) -> bool:
    """Whether it comes in every hour, or every few: then it goes by the time that passes, as cron does."""
    return fields["hour"].startswith("*") if "hour" in fields else "minute" in fields or "second" in fields


def _checked(name: str, value: str) -> str:
    if name not in FIELDS:
        raise ValueError(f"it has no field '{name}'; there are {', '.join(FIELDS)}{nearest(name, FIELDS)}")
    if len(value) > FIELD_LIMIT:
        raise ValueError(f"{name} has {len(value)} characters, and {FIELD_LIMIT} are allowed")
    if _STEP_AFTER_NAMES.search(value):
        raise ValueError(f"{name} '{value}': names take no step; write numbers, such as 0-4/2")
    try:
        CronTrigger(timezone=UTC, **{name: value})
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{name} '{value}': {_reason(name, value, str(error))}") from error
    return value


def _reason(name: str, value: str, error: str) -> str:
    """What is wrong with a field, of which the library says `error`."""
    if "minimum value in a range" in error:
        meant = upward(value, _SCALES[name]) if name in _SCALES else ""
        return f"a range goes up; write {meant or 'two, such as 22-23,0-2'}"
    if "step value" in error:
        return "its step is longer than its range"
    allowed = f"it takes {_ALLOWED[name]}, lists (1,2), ranges (1-5) and steps (*/5)"
    names = name == "day" and any(day[:3] in value.lower() for day in WEEKDAYS)
    return f"{allowed}; days of the week stand in day_of_week" if names else allowed
