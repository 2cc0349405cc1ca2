"""Text for people: control characters made harmless, times in local time, lengths of time. No clock is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

# C0, DEL and C1; line and paragraph separators; the marks that turn the direction of text round; half characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NAME = 80
"""Characters of an unknown name that are compared with the known ones: a longer one would cost too much time."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def escape(text: str, keep: str = "") -> str:
    """`text` with every character that could steer a terminal written as an escape, save those in `keep`."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def escape_json(text: str) -> str:
    """JSON text that is safe to print and to encode; it says the same, since such characters stand in strings only."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in "\n" else f"\\u{ord(match[0]):04x}", text)


def is_safe(text: str, keep: str = "") -> bool:
    """True when nothing in `text` would have to be escaped, save what is in `keep`."""
    return all(match[0] in keep for match in _UNSAFE.finditer(text))


def _escaped(char: str) -> str:
    if char in _NAMES:
        return _NAMES[char]
    return f"\\x{ord(char):02x}" if char < "\x80" else f"\\u{ord(char):04x}"


def local_time(epoch: float | None) -> str:
    """`2026-01-02 03:04:05` in the zone of this host; empty for None, the bare number when it is no date."""
    if epoch is None:
        return ""
    try:
        return datetime.fromtimestamp(epoch, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return repr(epoch)


def span(seconds: float | None) -> str:
    """A length of time in its two largest units: `12ms`, `4.2s`, `3m 5s`, `2d 4h`; empty for None."""
    if seconds is None:
        return ""
    if not -1e15 < seconds < 1e15:
        return repr(seconds)
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    return _long_span(round(seconds))


def _long_span(seconds: int) -> str:
    for (size, unit), (smaller, below) in zip(_UNITS, (*_UNITS[1:], (1, "s")), strict=True):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit} {rest}{below}" if rest else f"{seconds // size}{unit}"
    return f"{seconds}s"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant by one that is not known; None when nothing is like it."""
    # Loaded here: no command needs it that was typed right, and the spawner never does.
    from difflib import get_close_matches

    found = get_close_matches(name[:_NAME], list(known), n=1)
    return found[0] if found else None


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "port"?`, to follow an error about a name that is not known; empty when nothing is like it."""
    found = closest(name, known)
    return "" if found is None else f'; did you mean "{found}"?'
