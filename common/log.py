"""Log lines on stderr, as text for people or JSON for programs. Each names its action; jid, minion and user if any.

Use `logging.getLogger("jr.part")` and `extra={"action": ..., "jid": ..., "minion": ...}`; `user` where one has asked.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

from common.clock import boottime
from common.text import escape, escape_json

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FIELDS = ("action", "jid", "minion", "user")
OTHER = "other"
"""The action of a line that a library wrote."""
MESSAGE_LIMIT = 8_000
"""Characters of a message; what is longer came from outside and is cut."""


class TextFormatter(logging.Formatter):
    """`2026-01-02 03:04:05.678 WARNING jr.agent refuse: cannot ... jid=... minion=...`; a traceback is indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, in local time, with control characters escaped."""
        fields = _fields(record)
        tail = "".join(f" {name}={escape(fields[name])}" for name in FIELDS[1:] if name in fields)
        line = (
            f"{_local(int(record.created))}.{int(record.msecs):03d} {record.levelname} {escape(record.name)} "
            f"{escape(fields['action'])}: {escape(_message(record))}{tail}"
        )
        trace = _trace(record)
        return line + "".join(f"\n  {escape(part)}" for part in trace.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, action, jid, minion, user, message, error with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without control characters."""
        when = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **_fields(record),
            "message": _message(record),
        }
        if trace := _trace(record):
            line["error"] = trace
        return escape_json(json.dumps(line, ensure_ascii=False))


@lru_cache(1)
def _local(second: int) -> str:
    """A second in local time. Most lines come in the second of the line before."""
    return f"{datetime.fromtimestamp(second, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _fields(record: logging.LogRecord) -> dict[str, str]:
    found = {name: str(value) for name in FIELDS if (value := getattr(record, name, None)) is not None}
    return {"action": OTHER, **found}


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + f"... ({len(text)} characters)"


def _trace(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def setup(level: str = "info", fmt: Literal["text", "json"] = "text", stream: TextIO | None = None) -> None:
    """Send the lines of this process to `stream` (stderr); called again, it replaces what it set up before.

    Libraries get a word in from warnings on. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is not a log level: one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    handler.set_name("jr")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "jr"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger("jr").setLevel(LEVELS[level])


class Limits:
    """Which keys have had their line, and how many were held back since. Remembers the last `most` keys only."""

    def __init__(self, now: Callable[[], float] = boottime, most: int = 1_000) -> None:
        """`now` counts seconds and never goes back."""
        self._now = now
        self._most = most
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def admit(self, logger: str, key: str, seconds: float) -> int | None:
        """How many lines were held back before this one, or None when this one is to be held back too."""
        now = self._now()
        last, held = self._seen.get((logger, key), (now - seconds, 0))
        if now - last < seconds:
            self._seen[logger, key] = (last, held + 1)
            return None
        self._seen[logger, key] = (now, 0)
        self._seen.move_to_end((logger, key))
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return held

    def forget(self) -> None:
        """Begin anew: every key may have its line again."""
        self._seen.clear()


LIMITS = Limits()
"""Those of the process."""


class LimitedLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that lets one line through in a while."""

    def __init__(self, logger: logging.Logger, key: str, seconds: float, limits: Limits) -> None:
        super().__init__(logger, {})
        self._key = key
        self._seconds = seconds
        self._limits = limits

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Write the line, with the count of those held back before it, or hold it back."""
        if not self.logger.isEnabledFor(level):
            return
        held = self._limits.admit(self.logger.name, self._key, self._seconds)
        if held is not None:
            self.logger.log(level, f"{msg} ({held} more like it were held back)" if held else msg, *args, **kwargs)


def limited(logger: logging.Logger, key: str, seconds: float = 60.0, limits: Limits = LIMITS) -> LimitedLogger:
    """A view of `logger` that writes one line of `key` in `seconds`, and with it how many were held back.

    For whatever others can cause at will: `limited(logger, "bad-frame").warning("cannot ...", extra={...})`.
    """
    return LimitedLogger(logger, key, seconds, limits)
