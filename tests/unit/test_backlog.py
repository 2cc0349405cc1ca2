"""Frames that wait for room in a queue: in order, bounded, and tried again as fast as it drains. # R-B25"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from common import backlog
from common.backlog import Backlog, Depot


class Loop:
    """Timers that ring when the test says so."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._call: Callable[[], None] | None = None

    def call_later(self, seconds: float, call: Callable[[], None]) -> Loop:
        assert self._call is None  # one timer for all that waits
        self.pauses.append(seconds)
        self._call = call
        return self

    def cancel(self) -> None:
        self._call = None

    def ring(self) -> None:
        call, self._call = self._call, None
        assert call is not None
        call()

    @property
    def idle(self) -> bool:
        return self._call is None


class Queue:
    """A connection with so much room."""

    def __init__(self, depot: Depot | None = None) -> None:
        self.loop, self.depot = Loop(), depot or Depot()
        self.room = 0
        self.sent: list[bytes] = []
        loop: Any = self.loop
        self.backlog = Backlog(loop, self.depot, self._send)

    def _send(self, frame: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.sent.append(frame)
        return True


def test_what_waits_goes_in_order_as_there_is_room() -> None:
    queue = Queue()
    assert all([queue.backlog.add(frame) for frame in (b"a", b"bb", b"ccc")])
    assert (len(queue.backlog), queue.depot.bytes) == (3, 6)
    queue.room = 2
    queue.loop.ring()
    assert (queue.sent, len(queue.backlog), queue.depot.bytes) == ([b"a", b"bb"], 1, 3)
    queue.room = 1
    queue.loop.ring()
    assert (queue.sent, len(queue.backlog), queue.depot.bytes) == ([b"a", b"bb", b"ccc"], 0, 0)
    assert queue.loop.idle


def test_it_is_tried_soon_then_more_and_more_seldom_and_soon_again() -> None:
    queue = Queue()
    queue.backlog.add(b"a")
    queue.backlog.add(b"b")
    for _ in range(9):
        queue.loop.ring()
    queue.room = 1
    queue.loop.ring()
    assert queue.loop.pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0, 0.01]


def test_it_is_bounded_for_one_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST", 3)
    monkeypatch.setattr(backlog, "BYTES", 100)
    monkeypatch.setattr(backlog, "IN_ALL", 150)
    one, depot = Queue(), Depot()
    assert [one.backlog.add(b"") for _ in range(4)] == [True, True, True, False]
    two, three = Queue(depot), Queue(depot)
    assert two.backlog.add(bytes(100))
    assert not two.backlog.add(b"x")
    assert not three.backlog.add(bytes(51))
    assert three.backlog.add(bytes(50))
    two.backlog.drop()
    assert three.backlog.add(bytes(50))


def test_what_is_dropped_waits_for_nothing() -> None:
    queue = Queue()
    queue.backlog.add(b"a")
    queue.backlog.drop()
    assert (len(queue.backlog), queue.depot.bytes, queue.loop.idle) == (0, 0, True)
    queue.backlog.drop()


def test_it_drains_by_itself_on_a_loop() -> None:
    async def story() -> list[bytes]:
        done, sent = asyncio.Event(), []

        def send(frame: bytes) -> bool:
            sent.append(frame)
            done.set()
            return True

        Backlog(asyncio.get_running_loop(), Depot(), send).add(b"a")
        async with asyncio.timeout(60):
            await done.wait()
        return sent

    assert asyncio.run(story()) == [b"a"]
