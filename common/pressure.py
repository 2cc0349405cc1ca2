"""Whether this process has grown: the cheap look that says when a costly one is due."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

_STATM = Path("/proc/self/statm")
_RESIDENT = 1
"""Its second number."""


def resident() -> int:
    """Bytes of this process that are in memory; 0 where the system does not tell it so."""
    try:
        return int(_STATM.read_text("ascii").split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


class Pressure:
    """Says for a while that memory has grown, once it has by more than a step."""

    def __init__(self, step: int, lasting: float, measure: Callable[[], int] = resident) -> None:
        """`step` is in bytes, `lasting` in seconds."""
        self._step, self._lasting, self._measure = step, lasting, measure
        self._floor = measure()
        self._until: float | None = None

    def felt(self, now: float) -> bool:
        """Whether it grew lately; `now` is boot time. What is still there after that time counts as its own."""
        size = self._measure()
        if self._until is not None and now >= self._until:
            self._until, self._floor = None, size
        self._floor = min(self._floor, size)
        if self._until is None and size > self._floor + self._step:
            self._until = now + self._lasting
        return self._until is not None
