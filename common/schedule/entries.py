"""The entries of a `schedule:` mapping: what runs, and by which trigger; checked as they are read.

Pure but for time zones: whether one exists is asked of this host's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

from common.codec import ARGS_LIMIT, pack
from common.durations import parse_duration
from common.errors import UsageError
from common.schedule.triggers import Cron, Every, Trigger, check_cron
from common.secrets import check
from common.text import escape, nearest

ENTRIES_LIMIT = 1_000
SHORTEST = 1.0
"""Seconds between two runs, at least."""

P = TypeVar("P")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
_TRIGGERS = ("every", "cron")
_TEXT_LIMIT = 200
_UNSHOWN = ("kwargs", "secret")


class Entry(Struct, frozen=True, kw_only=True):
    """One named entry. Exactly one of `every` and `cron` is set."""

    name: str
    function: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    secret: list[str] = []
    """Names in `kwargs` whose values only the payload may read."""
    every: float | None = None
    """Seconds."""
    cron: str | None = None
    timezone: str | None = None
    """Of `cron`; None is the host's own."""
    timeout: float | None = None
    """Seconds that a run may take; None is for ever."""
    enabled: bool = True
    metadata: dict[str, str] = {}

    def __repr__(self) -> str:
        """For `--check-config`: without the arguments, which may be secrets."""
        return f"<{self.function} {f'every {self.every:g} s' if self.every is not None else f'cron {self.cron}'}>"

    def trigger(self, base: float, zone: tzinfo) -> Trigger:
        """The entry's trigger: `base` is where intervals count from, `zone` the host's time zone."""
        if self.every is not None:
            return Every(self.every, base)
        return Cron(self.cron or "", ZoneInfo(self.timezone) if self.timezone else zone)


def parse_entries(schedule: Any) -> dict[str, Entry]:
    """The entries by name, in the order in which they stand. Raises UsageError: one line with the entry and the key."""
    if schedule is None:
        return {}
    if not isinstance(schedule, Mapping):
        raise UsageError("cannot use the schedule: it must be a mapping of names to entries")
    if len(schedule) > ENTRIES_LIMIT:
        raise UsageError(f"cannot use the schedule: it has {len(schedule)} entries, and {ENTRIES_LIMIT} are allowed")
    return {str(name): parse_entry(name, fields) for name, fields in schedule.items()}


def parse_entry(name: Any, fields: Any) -> Entry:
    """The one entry. Raises UsageError: one line with the entry and the key."""
    try:
        return _entry(name, fields)
    except ValueError as error:
        raise UsageError(f"cannot use the schedule '{escape(str(name)[:100])}': {error}") from error


def _entry(name: Any, fields: Any) -> Entry:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("a name takes letters, digits, dot, underscore and dash, 100 characters at most")
    if not isinstance(fields, Mapping):
        raise ValueError("it must be a mapping, for example {function: test.ping, every: 30s}")
    for key in fields:
        if key not in _READERS:
            raise ValueError(f"it has no key '{escape(str(key)[:100])}'{nearest(str(key), _READERS)}")
    if "function" not in fields:
        raise ValueError('it needs a "function"')
    given = [key for key in _TRIGGERS if key in fields]
    if len(given) != 1:
        raise ValueError(f"it needs one trigger, {' or '.join(_TRIGGERS)}, and has {' and '.join(given) or 'none'}")
    if "timezone" in fields and "cron" not in fields:
        raise ValueError("timezone goes with cron only")
    entry = Entry(name=name, **{key: _value(key, value) for key, value in fields.items()})
    try:
        check(entry.function, entry.kwargs, entry.secret)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return entry


def _value(key: str, value: Any) -> Any:
    try:
        return _READERS[key](value)
    except ValueError as error:
        # Arguments may be secrets, so they are not quoted.
        raise ValueError(f"{key} {'is wrong' if key in _UNSHOWN else _shown(value)}: {error}") from error


def _shown(value: Any) -> str:
    text = escape(repr(value))
    return f"is {text}" if len(text) <= 60 else "is wrong"


def _function(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT or not _FUNCTION.fullmatch(value):
        raise ValueError("it must be a function such as test.ping")
    return value


def _every(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds < SHORTEST:
        raise ValueError("it must be 1s at least")
    return seconds


def _cron(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be text, in quotes, such as '*/5 * * * *'")
    return check_cron(value)


def _timezone(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be the name of a time zone such as Europe/Berlin")
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no such time zone{nearest(value, available_timezones())}") from error


def _timeout(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("it must be more than 0; leave it out for no limit")
    return seconds


def _enabled(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false")
    return value


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
    if not isinstance(value, dict) or len(value) > _TEXT_LIMIT:
        raise ValueError("it must be a mapping of text to text")
    for part in (part for item in value.items() for part in item):
        if not isinstance(part, str) or len(part) > _TEXT_LIMIT:
            raise ValueError(f"it must be a mapping of text to text, {_TEXT_LIMIT} characters at most; use quotes")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "function": _function, "args": _args, "kwargs": _kwargs, "secret": _secret, "every": _every, "cron": _cron,
    "timezone": _timezone, "timeout": _timeout, "enabled": _enabled, "metadata": _metadata,
}
