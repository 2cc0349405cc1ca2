"""Frames that a full connection has not taken yet: kept in order, within bounds, and handed over as fast as it drains.

libzmq says that there is no room, and never that there is some again. So who waits tries, soon at first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MOST = 10_000
"""Frames of one connection: what may wait for one minion that was away."""
BYTES = 16 * 1024 * 1024
"""Bytes of one connection."""
IN_ALL = 64 * 1024 * 1024
"""Bytes of all connections of one end."""
FIRST, LAST = 0.01, 1.0
"""Seconds between two tries: the first, twice as long after each one in vain, and the longest. A full queue of small
frames drains in a few milliseconds; one whose other end stands still costs a try a second."""


class Depot:
    """How many bytes wait for all connections of one end."""

    def __init__(self) -> None:
        self.bytes = 0


class Backlog:
    """What waits for one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, depot: Depot, send: Callable[[bytes], bool]) -> None:
        """`send` hands over one frame; it returns False while there is no room."""
        self._loop = loop
        self._depot = depot
        self._send = send
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._pause = FIRST
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes) -> bool:
        """Keep a frame behind those that wait; False when too much does."""
        size = len(frame)
        if len(self._frames) >= MOST or self._bytes + size > BYTES or self._depot.bytes + size > IN_ALL:
            return False
        self._frames.append(frame)
        self._count(size)
        if self._timer is None:
            self._timer = self._loop.call_later(self._pause, self._drain)
        return True

    def drop(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._frames.clear()
        self._count(-self._bytes)

    def _drain(self) -> None:
        self._timer = None
        before = len(self._frames)
        while self._frames and self._send(self._frames[0]):
            self._count(-len(self._frames.popleft()))
        self._pause = FIRST if len(self._frames) < before else min(2 * self._pause, LAST)
        if self._frames:
            self._timer = self._loop.call_later(self._pause, self._drain)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._depot.bytes += size
