"""The filters of a list of jobs, from the text of a command line. Pure: the time is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from common.durations import parse_duration
from common.errors import UsageError
from common.states import State

_TEXT = ("function", "target", "minion", "user", "schedule")
_TIMES = ("since", "until")
_METADATA = "metadata."
_EARLIEST = 1e8
_LATEST = 1e11
_NAMES = (*_TEXT, "state", "metadata.KEY", *_TIMES)


def parse_filters(given: Mapping[str, str], now: float) -> dict[str, Any]:
    """The `filter` of the verb `jobs`; `now` is epoch seconds of the wall clock. Raises UsageError for a bad one."""
    filters: dict[str, Any] = {}
    for name, value in given.items():
        if name in _TEXT:
            filters[name] = value
        elif name == "state":
            filters[name] = _state(value)
        elif name in _TIMES:
            filters[name] = parse_time(name, value, now)
        elif name.startswith(_METADATA) and name != _METADATA:
            filters.setdefault("metadata", {})[name.removeprefix(_METADATA)] = value
        else:
            raise UsageError(f"cannot filter jobs by {name!r}: the filters are {', '.join(_NAMES)}")
    return filters


def parse_time(name: str, text: str, now: float) -> float:
    """Epoch seconds of `1767225600`, of an ISO time (local unless it says otherwise), or of `2h`: that long ago.

    A number below 1973 is no time that anybody means: `20260102` is a date. Raises UsageError that names the key.
    """
    for parse in (_epoch, _iso, lambda word: now - _ago(word)):
        try:
            return parse(text)
        except (ValueError, OverflowError):
            continue
    raise UsageError(
        f"cannot read {name}={text}: a time is epoch seconds, a date like 2026-01-02T03:04, or how long ago, like 2h"
    )


def _epoch(text: str) -> float:
    seconds = float(text)
    if not _EARLIEST <= seconds <= _LATEST:
        raise ValueError
    return seconds


def _iso(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _ago(text: str) -> float:
    if not text[-1:].isalpha():
        raise ValueError
    return parse_duration(text)


def _state(text: str) -> str:
    try:
        return State(text).value
    except ValueError:
        raise UsageError(f"cannot filter by state={text}: the states are {', '.join(State)}") from None
