"""The queue of a host core's effects: one order for all events, one disk thread, the wait for room on a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from common.aio import Tasks
from common.host import effects as do
from common.host.core import Host
from common.host.desk import now
from common.host.out import Out
from common.host.parking import Parking
from common.host.writer import DURABLE, Writer
from common.sequencer import Sequencer, Then

T = TypeVar("T")

ROOM_AGAIN = 1.0
"""Seconds between two looks whether there is room again on a disk that was full."""
AT_ONCE = 200
"""Jobs of which something waits for room, that are tried again at once."""


class Queue:
    """Nothing leaves it before everything durable that was issued earlier is on disk."""

    def __init__(self, host: Host, state: Path, act: Callable[[Any], None], out: Out, tasks: Tasks) -> None:
        """`act` applies what is not for the disk. Raises JrError when the state folder cannot be used."""
        self._host = host
        self._out = out
        self._tasks = tasks
        self.writer = Writer(state)
        self._parking = Parking(host)
        self._disk = ThreadPoolExecutor(1, "disk")
        self._sequencer: Sequencer[Any] = Sequencer(
            DURABLE, self.writer.commit, act, self._broken, self._disk, self._unwritten)
        self._recovering = False

    def apply(self, effects: Sequence[Any]) -> None:
        """Apply what the core wants."""
        if effects := self._parking.admit(effects):
            self._sequencer.submit(effects)
        self._out.changed()

    async def committed(self, effects: Sequence[Any]) -> None:
        """Apply, and wait until everything so far is on disk. Raises JrError when a new job could not be written."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.apply([*effects, Then(waiter, do.about(effects[0]) if effects else None)])
        await waiter

    async def disk(self, call: Callable[[], T]) -> T:
        """Run something on the disk thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, call)

    @property
    def waiting(self) -> int:
        """How many effects wait for the disk."""
        return len(self._sequencer)

    @property
    def crowded(self) -> bool:
        """Whether the disk is so far behind that new work is dropped; the master sends it again."""
        return self._sequencer.crowded()

    @property
    def short(self) -> str | None:
        """Why nothing can be written for now; None when all is well."""
        return self.writer.shortage

    async def open(self) -> None:
        """Set space aside for the work that ends jobs; where there is none, wait for room."""
        await self.disk(self.writer.open)
        if self.short is not None:
            self._await_room()

    async def drained(self) -> None:
        """Wait until nothing is queued or under way."""
        await self._sequencer.drained()

    def close(self) -> None:
        """Let the disk thread go."""
        self._disk.shutdown()

    # inside

    def _unwritten(self, queued: list[Any]) -> list[Any]:
        """The disk has no room for some of it: see `Parking`."""
        self._await_room()
        passed = self._parking.unwritten(queued, self.writer.short, now())
        self._out.changed()
        return passed

    def _await_room(self) -> None:
        if not self._recovering:
            self._recovering = True
            self._tasks.start(self._recover())

    async def _recover(self) -> None:
        """Try again what waits, and look for room, until all is written and there is some."""
        pause = ROOM_AGAIN
        try:
            while self.short is not None or self._parking:
                await asyncio.sleep(pause)
                waiting = len(self._parking)
                self._sequencer.submit(self._parking.again(AT_ONCE))
                await self.committed([])
                pause = 0.0 if len(self._parking) < waiting else ROOM_AGAIN
                await self.disk(self.writer.probe)
        except OSError as error:
            self._broken(error)
        finally:
            self._recovering = False

    def _broken(self, error: BaseException) -> None:
        self._out.fatal(f"cannot write the state of jobs: {error}")
