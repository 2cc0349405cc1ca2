"""Ranges that go down, such as `22-2` or `fri-mon`, and what to write for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_DOWN = re.compile(r"([a-z0-9]+)-([a-z0-9]+)(?:/([1-9][0-9]?))?")


class Scale(NamedTuple):
    """The values that a field takes."""

    first: int
    last: int
    names: Sequence[str] = ()
    """What they are also called, in lower case; none, or one for each."""


def upward(text: str, scale: Scale) -> str:
    """The field with each range that goes down as what it was meant to be, over the last value and on from the first:
    `22-23,0-2`, `fri-sat,sun-mon`; empty when no range in it goes down.
    """
    parts = text.lower().split(",")
    written = [_written(part, scale) for part in parts]
    return "" if parts == written else ",".join(written)


def _written(part: str, scale: Scale) -> str:
    match = _DOWN.fullmatch(part)
    if match is None:
        return part
    begin, end = (_value(word, scale) for word in match.group(1, 2))
    if begin is None or end is None or begin <= end:
        return part
    if match[3]:
        values = [*range(begin, scale.last + 1), *range(scale.first, end + 1)][::int(match[3])]
        return ",".join(map(str, values))
    return f"{_range(begin, scale.last, match[1], scale)},{_range(scale.first, end, match[2], scale)}"


def _range(begin: int, end: int, like: str, scale: Scale) -> str:
    """Both ends in words where `like` is one."""
    words = [str(value) if like.isdigit() else scale.names[value - scale.first] for value in (begin, end)]
    return words[0] if begin == end else "-".join(words)


def _value(word: str, scale: Scale) -> int | None:
    if word.isdigit():
        value = int(word)
    elif word in scale.names:
        value = scale.first + scale.names.index(word)
    else:
        return None
    return value if scale.first <= value <= scale.last else None
