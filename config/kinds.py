"""The kinds of value that an option may hold: how each is read from YAML, an environment variable or a flag."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.codec import pack
from common.durations import DURATION, SIZE, parse_duration, parse_size
from common.errors import UsageError
from common.ids import MASTER, MinionId
from common.link import KEY_TEXT
from common.text import nearest

FACTS_LIMIT = 48 * 1024
"""Bytes of the packed facts of the settings. What is found on the host goes with them into every Hello, and both
together must stay below the limit of that (`common.messages.FACTS_LIMIT`)."""

_HOST = re.compile(r"[A-Za-z0-9:._-]{1,253}")
_JOIN_LIMIT = 1_000


@dataclass(frozen=True)
class Kind:
    """How a value is read. `read` raises ValueError or UsageError for what is not `allowed`."""

    allowed: str
    """What may stand there, to follow "it must be"."""
    read: Callable[[Any], Any]
    verbatim: bool = False
    """True when text from the environment is the value itself, and not YAML."""
    secret: bool = False
    """True when the value must not be shown."""
    apart: bool = False
    """True when the value is looked at elsewhere, part by part, so that what is wrong in it costs only itself."""


def _text(check: Callable[[str], object]) -> Callable[[Any], str]:
    """A reader of text that is empty or passes `check`."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or (value and not check(value)):
            raise ValueError
        return value

    return read


def choice(*names: str) -> Kind:
    """One of `names`."""

    def read(value: Any) -> str:
        if value not in names:
            raise UsageError(f"one of {', '.join(names)}{nearest(str(value), names)}")
        return str(value)

    return Kind(f"one of {', '.join(names)}", read, verbatim=True)


def number(low: int, high: int) -> Kind:
    """A whole number, both ends allowed."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", read)


def duration(low: str, high: str, bare: str = "s") -> Kind:
    """Seconds, from `low` to `high`; a number without a unit counts in units of `bare`."""
    least, most = parse_duration(low), parse_duration(high)

    def read(value: Any) -> float:
        seconds = parse_duration(value, bare)
        if not least <= seconds <= most:
            raise ValueError
        return seconds

    unit = "; a bare number means hours" if bare == "h" else ""
    return Kind(f"{DURATION}, from {low} to {high}{unit}", read)


def size(low: str, high: str) -> Kind:
    """Bytes, from `low` to `high`."""
    least, most = parse_size(low), parse_size(high)

    def read(value: Any) -> int:
        found = parse_size(value)
        if not least <= found <= most:
            raise ValueError
        return found

    return Kind(f"{SIZE}, from {low} to {high}", read)


def unlimited(kind: Kind) -> Kind:
    """The same, or 0 for no limit."""

    def read(value: Any) -> Any:
        return 0 if value in (0, "0") and not isinstance(value, bool) else kind.read(value)

    return Kind(f"{kind.allowed}, or 0 for no limit", read)


def _minion_id(value: Any) -> MinionId:
    if not isinstance(value, str):
        raise ValueError
    id = MinionId(value)
    if id == MASTER:
        raise UsageError('any other minion id: "master" is reserved for runner jobs')
    return id


def _address(value: str) -> bool:
    ipaddress.ip_address(value)
    return True


def _folders(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.startswith("/") for item in value):
        raise ValueError
    return tuple(value)


def _facts(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError
    try:
        packed = pack(value)
    except TypeError as error:
        raise UsageError(f"plain data ({error}; put it in quotes)") from error
    if len(packed) > FACTS_LIMIT:
        raise UsageError(f"at most {FACTS_LIMIT} bytes of plain data")
    return value


ADDRESS = Kind("an IP address of this host, such as 0.0.0.0 for all", _text(_address), verbatim=True)
HOST = Kind("a host name or an IP address", _text(_HOST.fullmatch), verbatim=True)
PUBLIC_KEY = Kind("the 40 characters that `jr-key finger` shows on the master", _text(KEY_TEXT.fullmatch),
                  verbatim=True)
JOIN = Kind("the line that `jr-key token` printed", _text(lambda text: len(text) <= _JOIN_LIMIT), verbatim=True,
            secret=True)
MINION_ID = Kind("a minion id: a-z, 0-9, dot, underscore and dash, 63 characters at most, in quotes if all digits",
                 _minion_id, verbatim=True)
FOLDERS = Kind("a list of absolute paths", _folders)
FACTS = Kind("a mapping of names to plain data", _facts)
SCHEDULE = Kind("a mapping of names to entries", lambda value: value, apart=True)
PERIODS = Kind("a mapping of names to periods", lambda value: value, apart=True)
PORT = number(1, 65_535)
