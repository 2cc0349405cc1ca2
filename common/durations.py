"""Lengths of time and sizes as people write them: `90`, `30s`, `1h 30m`, `2w`; `4096`, `512k`, `1M`."""

from __future__ import annotations

import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
LONGEST = 100 * 366 * SECONDS["d"]
"""A hundred years: more is a slip of the pen, and would overflow dates further on."""
LARGEST = 2**50

DURATION = "a length of time such as 30s, 5m, 2h, 1d or 2w"
SIZE = "a number of bytes such as 4096, 512k, 1M or 2G"

_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|[smhdw])\s*")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_LONGEST_TEXT = 100


def parse_duration(value: object, bare: str = "s") -> float:
    """Seconds. A number without a unit counts in units of `bare`. Raises ValueError, whatever `value` is."""
    seconds = _seconds(value.strip(), bare) if isinstance(value, str) else _number(value) * SECONDS[bare]
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{DURATION}, from 0 to 100 years")
    return seconds


def duration_text(seconds: float) -> str:
    """A length of time as `parse_duration` reads it back, in the largest unit that leaves no rest."""
    for unit, size in sorted(SECONDS.items(), key=lambda item: -item[1]):
        if seconds and unit != "ms" and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def parse_size(value: object) -> int:
    """Bytes; k, M and G are powers of 1024. Raises ValueError, whatever `value` is."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip()) if len(value) <= _LONGEST_TEXT else None
        if match is None:
            raise ValueError(SIZE)
        size = int(match[1]) * _BYTES[match[2].lower()]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(SIZE)
    if not 0 <= size <= LARGEST:
        raise ValueError(SIZE)
    return size


def _seconds(text: str, bare: str) -> float:
    if len(text) > _LONGEST_TEXT:
        raise ValueError(DURATION)
    if _NUMBER.fullmatch(text):
        return float(text) * SECONDS[bare]
    if not _WHOLE.fullmatch(text):
        raise ValueError(DURATION)
    return sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(text))


def _number(value: object) -> float:
    # The comparison also refuses NaN, infinity and whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST:
        raise ValueError(DURATION)
    return float(value)
