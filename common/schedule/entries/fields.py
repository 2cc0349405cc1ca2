"""How each key of an entry is read from plain data. Each reader raises ValueError that says what is allowed.

Pure but for time zones: whether one exists is asked of this host's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from common.choices import LeftBehind, TargetType
from common.codec import ARGS_LIMIT, pack
from common.durations import parse_duration
from common.schedule.model import Base, CatchUp, Check, Follow, Overlap
from common.schedule.times.cron import check_cron
from common.schedule.times.daytimes import parse_at
from common.schedule.times.triggers import calendar_of
from common.text import escape, nearest

SHORTEST = 1.0
"""Seconds between two runs, at least."""
TEXT_LIMIT = 200
LIST_LIMIT = 100
"""Items in a list of times, periods or entries."""
COMMAND = "cmd.run"
"""The function that a `should_run` given as text is handed to."""

P = TypeVar("P")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAMES = "letters, digits, dot, underscore and dash, 100 characters at most"
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
                  r"(Z|[+-][0-9]{2}:[0-9]{2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_YEAR = 1970
_CHECK_KEYS = ("function", "args", "kwargs")
_FOLLOW_KEYS = ("entry", "delay")


def _function(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LIMIT or not _FUNCTION.fullmatch(value):
        raise ValueError("it must be a function such as test.ping")
    return value


def _duration(value: Any) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"it must be {error}") from error


def _every(value: Any) -> float:
    seconds = _duration(value)
    if seconds < SHORTEST:
        raise ValueError("it must be 1s at least")
    return seconds


def _text(value: Any, *, example: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_LIMIT:
        raise ValueError(f"it must be text, in quotes, such as '{example}'")
    return value


def _cron(value: Any) -> str:
    return check_cron(_text(value, example="*/5 * * * *") if not isinstance(value, str) or not value else value)


def _times(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not 0 < len(items) <= LIST_LIMIT:
        raise ValueError(f"it must be a time of day, or a list of 1 to {LIST_LIMIT} of them")
    return tuple(dict.fromkeys(map(_time, items)))


def _time(value: Any) -> str:
    if isinstance(value, str):
        return parse_at(escape(value))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 86_400:
        # YAML reads 10:00 without quotes as a number to the base of sixty.
        minutes, seconds = divmod(value, 60) if value >= 1_440 else (value, None)
        clock = f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds is not None else "")
        raise ValueError(f"a time of day needs quotes; is it '{clock}'?")
    raise ValueError("it must be a time of day in quotes, such as '03:00' or 'mon 10:00', or a list of them")


def _calendar(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError("it must be a mapping such as {day_of_week: mon-fri, hour: 9}")
    for name, item in value.items():
        if not isinstance(name, str) or isinstance(item, bool) or not isinstance(item, (str, int)):
            raise ValueError(f"{escape(str(name)[:100])} must be text or a number, such as 9 or '9-17/2'")
    fields = {name: str(item) for name, item in value.items()}
    calendar_of(fields, UTC)
    return fields


def _iso(value: Any, *, date_too: bool = False) -> str:
    """The ISO time as text; YAML makes a datetime of it when it has no quotes. `date_too`: a date is its midnight."""
    text = value.isoformat() if isinstance(value, date) else value
    if not isinstance(text, str) or not (_ISO.fullmatch(text) or (date_too and _DATE.fullmatch(text))):
        more = "; say the time of that day as well" if isinstance(text, str) and _DATE.fullmatch(text) else ""
        raise ValueError(f"it must be a time such as 2026-12-31T18:00:00, perhaps with Z or +01:00 behind it{more}")
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"no such time: {error}") from error
    if found.year < _FIRST_YEAR:
        raise ValueError(f"the year must be {_FIRST_YEAR} at least")
    return text


def _timezone(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be the name of a time zone such as Europe/Berlin")
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no such time zone{nearest(value, available_timezones())}") from error


def _length(value: Any, *, zero: str = "") -> float:
    """Seconds; `zero` says what to do instead of 0 when that is not allowed."""
    seconds = _duration(value)
    if zero and seconds == 0:
        raise ValueError(f"it must be more than 0; {zero}")
    return seconds


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false")
    return value


def _choice(value: Any, *, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if value not in names:
        raise ValueError(f"it must be one of {', '.join(names)}{nearest(str(value), names)}")
    return str(value)


def _whole(value: Any, *, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"it must be a whole number from {low} to {high}")
    return value


def _factor(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 10:
        raise ValueError("it must be a number from 1 to 10")
    return float(value)


def _args(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("it must be a list")
    return _checked_plain(value)


def _kwargs(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError("it must be a mapping with names as keys")
    return _checked_plain(value)


def _secret(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("it must be a list of names in kwargs")
    return value


def _checked_plain(value: P) -> P:
    try:
        size = len(pack(value))
    except TypeError as error:
        raise ValueError(f"{error}; put it in quotes") from error
    if size > ARGS_LIMIT:
        raise ValueError(f"it has {size} bytes, and {ARGS_LIMIT} are allowed")
    return value


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > TEXT_LIMIT:
        raise ValueError("it must be a mapping of text to text")
    for part in (part for item in value.items() for part in item):
        if not isinstance(part, str) or len(part) > TEXT_LIMIT:
            raise ValueError(f"it must be a mapping of text to text, {TEXT_LIMIT} characters at most; use quotes")
    return value


def _target(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it must be text that names minions, such as 'web*'")
    return value


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not 0 < len(items) <= LIST_LIMIT or not all(isinstance(item, str) and NAME.fullmatch(item) for item in items):
        quotes = "; yes, no, on and off need quotes" if any(isinstance(item, bool) for item in items) else ""
        raise ValueError(f"it must be the name of a period, or a list of names{quotes}")
    return tuple(dict.fromkeys(items))


def _check(value: Any) -> Check:
    if isinstance(value, str) and value.strip():
        return Check(function=COMMAND, args=_checked_plain([value]))
    if not isinstance(value, Mapping) or "function" not in value:
        raise ValueError("it must be a command such as 'test -f /srv/ready', or a mapping {function, args, kwargs}")
    _known(value, _CHECK_KEYS)
    return Check(function=_function(value["function"]), args=_args(value.get("args", [])),
                 kwargs=_kwargs(value.get("kwargs", {})))


def _follows(value: Any) -> tuple[Follow, ...]:
    items = value if isinstance(value, list) else [value]
    if len(items) > LIST_LIMIT:
        raise ValueError(f"it has {len(items)} entries, and {LIST_LIMIT} are allowed")
    return tuple(map(_follow, items))


def _follow(value: Any) -> Follow:
    fields = {"entry": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or "entry" not in fields:
        raise ValueError("it must be the name of an entry, {entry: NAME, delay: 1m}, or a list of them")
    _known(fields, _FOLLOW_KEYS)
    if not isinstance(fields["entry"], str) or not NAME.fullmatch(fields["entry"]):
        raise ValueError(f"the name of an entry takes {NAMES}")
    return Follow(entry=fields["entry"], delay=_duration(fields.get("delay", 0)))


def _known(fields: Mapping[Any, Any], known: Iterable[str]) -> None:
    names = tuple(known)
    for key in fields:
        if key not in names:
            raise ValueError(f"it has no key '{escape(str(key)[:100])}'{nearest(str(key), names)}")


READERS: dict[str, Callable[[Any], Any]] = {
    "function": _function, "args": _args, "kwargs": _kwargs, "secret": _secret, "metadata": _metadata,
    "timeout": partial(_length, zero="leave it out for no limit"),
    "left_behind": partial(_choice, allowed=get_args(LeftBehind)),
    "target": _target, "target_type": partial(_choice, allowed=get_args(TargetType)),
    "every": _every, "base": partial(_choice, allowed=get_args(Base)), "anchor": partial(_iso, date_too=True),
    "at": _times, "cron": _cron, "calendar": _calendar, "once": _iso, "continuous": _truth,
    "start": partial(_iso, date_too=True), "end": _iso, "timezone": _timezone, "during": _names, "except": _names,
    "overlap": partial(_choice, allowed=get_args(Overlap)), "allow": partial(_whole, low=1, high=1_000),
    "catch_up": partial(_choice, allowed=get_args(CatchUp)), "catch_up_window": _length,
    "start_deadline": partial(_length, zero="leave it out for no limit"), "splay": _length,
    "retries": partial(_whole, low=0, high=1_000), "retry_delay": _length, "retry_backoff": _factor,
    "should_run": _check, "then": _follows, "on_failure": _follows,
    "max_runs": partial(_whole, low=1, high=10**9), "pause_after_failures": partial(_whole, low=1, high=10**6),
    "run_on_start": _truth, "enabled": _truth,
}
"""By the key as it is written."""

PARTS = {
    "overlap": {"allow": "allow"},
    "catch_up": {"runs": "catch_up", "window": "catch_up_window"},
    "retries": {"count": "retries", "delay": "retry_delay", "backoff": "retry_backoff"},
}
"""Keys that may hold a mapping, and the keys that stand for its parts."""

HINTS = {
    "seconds": "every: 30s", "minutes": "every: 5m", "hours": "every: 2h", "days": "every: 1d", "weeks": "every: 1w",
    "interval": "every: 5m", "schedule_interval": "every: 5m", "run_interval": "every: 5m", "when": "at: '03:00'",
    "scheduled_times": "at: ['03:00']", "scheduled_interval": "every: 5m", "date": "once: 2026-12-31T18:00:00",
    "schedule_date": "once: 2026-12-31T18:00:00", "after": "start: 2026-12-31T18:00:00",
    "until": "end: 2026-12-31T18:00:00", "range": "during: PERIOD", "skip_during_range": "except: PERIOD",
    "timeperiod": "during: PERIOD", "maxrunning": "overlap: {allow: 3}", "max_instances": "overlap: {allow: 3}",
    "misfire_grace_time": "catch_up_window: 1h", "max_retries": "retries: 3", "excepting": "except: PERIOD",
    "max_retries_interval": "retry_delay: 1m", "trigger_next_jobs": "then: ENTRY", "disabled": "enabled: false",
    "tz": "timezone: Europe/Berlin", "tgt": "target: 'web*'", "fun": "function: test.ping",
    "func": "function: test.ping", "job_args": "args: [1]", "job_kwargs": "kwargs: {name: 1}", "jitter": "splay: 1m",
}
"""What other schedulers call a key, and what is written here."""
