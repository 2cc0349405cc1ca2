"""Waiting for something to become true, with an end: the one place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 60.0, what: str = "the condition") -> T:
    """The first true value of `condition`. Raises AssertionError after `seconds`: generous, machines are shared."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)  # short enough not to matter, long enough not to starve what is waited for
