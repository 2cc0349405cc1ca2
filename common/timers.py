"""Deadlines by key: the next one, and those that are due. Pure, so that a simulated world can drive it."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """A heap with lazy deletion: setting, clearing and asking cost O(log n), whatever the number of keys."""

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def set(self, key: K, at: float) -> None:
        """Wake for `key` at `at`; an earlier setting of the same key is replaced."""
        self._at[key] = at
        self._count += 1
        # The count breaks ties, so that keys never need an order of their own.
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._heap = [(when, n, k) for when, n, k in self._heap if self._at.get(k) == when]
            heapq.heapify(self._heap)

    def clear(self, key: K) -> None:
        """Forget `key`; one that is not set is no error."""
        self._at.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._at

    def next(self) -> float | None:
        """When the next key is due, or None."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[K]:
        """The keys whose time has come, earliest first; they are cleared."""
        keys: list[K] = []
        while (at := self.next()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            keys.append(key)
        return keys
