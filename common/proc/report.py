"""What a payload tells its supervisor through the result pipe: packed maps, one after the other.

The pipe closes when a command is executed. So `command` comes first and an `error` may follow it; nothing at all means
that the function ended the process itself, which is never a success.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import msgpack

from common.packing import pack

SLACK = 256 * 1024
"""Bytes of a report beside its value."""
NIL = b"\xc0"
"""None, packed."""


class Report:
    """The supervisor's end of the pipe."""

    def __init__(self, limit: int) -> None:
        """`limit` is that of the packed value, in bytes."""
        self._limit = limit
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=limit + SLACK)
        self.command = False
        """A command was about to be executed."""
        self.error: tuple[str, int] | None = None
        """Why it could not be, and the exit code that says so."""
        self.failed: str | None = None
        """Why the function failed."""
        self.value: bytes | None = None
        """What the function returned, packed; None as long as it did not end."""
        self.cut = False
        """The value was cut to text."""

    def feed(self, data: bytes) -> None:
        """Take more of the pipe. What is no report is dropped: the function's own code can write here too."""
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._take(message)
        except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException):
            self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=self._limit + SLACK)

    def _take(self, message: Any) -> None:
        kind = message["kind"]
        if kind == "command":
            self.command = True
        elif kind == "error":
            self.error = str(message["reason"]), int(message["retcode"])
        elif kind == "end" and _is_packed(message["value"], self._limit):
            self.failed = None if message["failed"] is None else str(message["failed"])
            self.value, self.cut = message["value"], bool(message["cut"])


def command(fd: int) -> None:
    """Say that a command is about to be executed."""
    _send(fd, {"kind": "command"})


def error(fd: int, reason: str, retcode: int) -> None:
    """Say that it could not be."""
    _send(fd, {"kind": "error", "reason": clean(reason), "retcode": retcode})


def end(fd: int, value: Any, limit: int, failed: str | None = None, cover: Callable[[str], str] = str) -> None:
    """Say how the function ended. A value that cannot be sent makes it a failure that says where it stands, in words
    that `cover` has been over."""
    try:
        packed, cut = fit(value, limit)
    except TypeError as reason:
        packed, cut, failed = NIL, False, failed or cover(str(reason))
    _send(fd, {"kind": "end", "failed": None if failed is None else clean(failed), "value": packed, "cut": cut})


def fit(value: Any, limit: int) -> tuple[bytes, bool]:
    """The value, packed; above `limit` bytes as the beginning of its text, and True. Raises TypeError when it is not
    plain data."""
    packed = pack(value)
    if len(packed) <= limit:
        return packed, False
    text = _text(value).encode("utf-8", "replace")[:max(0, limit - 5)]
    return pack(text.decode("utf-8", "ignore")), True


def clean(text: str, limit: int = 4000) -> str:
    """One line of text that can be packed and fits its field."""
    line = " ".join(text[:4 * limit].split())
    return line.encode("utf-8", "replace").decode("utf-8")[:limit]


def describe(failure: BaseException) -> str:
    """`ValueError: text`, whatever the exception does when it is asked for its text."""
    name = type(failure).__name__
    text = _attempt(lambda: str(failure))
    return f"{name}: {text}" if text else name


def _is_packed(value: Any, limit: int) -> bool:
    """Whether these bytes are one packed value: they go into the return as they are, and must not spoil it."""
    if not isinstance(value, bytes) or len(value) > max(limit, len(NIL)):
        return False
    unpacker = msgpack.Unpacker(max_buffer_size=len(value))
    unpacker.feed(value)
    unpacker.skip()
    return bool(unpacker.tell() == len(value))


def _attempt(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception as failure:  # the text comes from code of the user, which may raise anything
        return f"<no text: {type(failure).__name__}>"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError):
        return repr(value)  # keys that JSON has not


def _send(fd: int, message: dict[str, Any]) -> None:
    data = memoryview(msgpack.packb(message))
    while data:
        data = data[os.write(fd, data):]
