"""How often something may happen: token buckets by key. Handed the time, reads none."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Buckets(Generic[K]):
    """One token bucket for each key: `burst` at once, refilled at `burst` in `period` seconds.

    At most `room` keys are remembered; when more are busy at once, the key that was quiet longest is forgotten.
    """

    def __init__(self, burst: float, period: float, room: int = 4096) -> None:
        self._burst = burst
        self._per_second = burst / period
        self._room = room
        self._left: dict[K, tuple[float, float]] = {}

    def take(self, key: K, now: float) -> bool:
        """Use one token of `key` at `now` (seconds); False when none is left, and then none is used."""
        left, seen = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._per_second)
        allowed = left >= 1.0
        # The key is put in again behind all others: the first one is always the one that was quiet longest.
        self._left[key] = (left - 1.0 if allowed else left, now)
        if len(self._left) > self._room:
            del self._left[next(iter(self._left))]
        return allowed

    def __len__(self) -> int:
        return len(self._left)
