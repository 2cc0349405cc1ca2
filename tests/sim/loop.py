"""An event loop in virtual time, for what a daemon does in tasks: as much of one as those ask for.

Its tasks are those of asyncio itself. What they have done on a thread is one call in virtual time, which a crash comes
before or behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, tzinfo
from typing import Any, cast

from msgspec import Struct

from common import clock
from tests.sim.process import Process, running

FAULTS = frozenset({"schedule.fault", "schedule.refused", "task.failed"})
"""Actions of the log that tell of a bug: daemons live on with it, and a world does not."""
_LOG = logging.getLogger("jr")


def _utc() -> tzinfo:
    return UTC


class _Call(Struct, eq=False):
    """What is to be done on a thread."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]


class _Told(logging.Handler):
    """What the daemon says in its log."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(logging.WARNING)
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        """Faults are found; all else is daily life."""
        if getattr(record, "action", "") in FAULTS:
            self._loop.fault(record.getMessage(), record.exc_info[1] if record.exc_info else None)


class Loop:
    """The loop of one life of a process: whatever is planned when it ends never happens."""

    def __init__(self, process: Process, wall: Callable[[], float], boot: Callable[[], float]) -> None:
        """`wall` and `boot` are the clocks of its host."""
        self.name = process.name
        self.owner = process
        self._world = process.world
        self._wall = wall
        self._boot = boot
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: list[_Call] = []
        self._free = 0.0
        """When the thread has done what it was given so far."""
        self._turning = self._woken = self._closed = False
        self._told: list[logging.Handler] = [_Told(self)]

    @property
    def frozen_until(self) -> float:
        """As long as its process stands still it does too."""
        return self.owner.frozen_until

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begin a task."""
        with self.inside():
            self.create_task(work())

    def close(self) -> None:
        """The process is gone. What was on its way to the disk may have got there."""
        self._closed = True
        calls, self._calls = self._calls, []
        for call in calls[:1]:
            if self._world.chance.random() < 0.5:
                with contextlib.suppress(Exception), self.inside():  # nobody is left to be told
                    call.work()
        if not self._turning:
            self._bury()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Within this block the clocks are those of the host, and this loop is the one that runs."""
        before = clock.wall, clock.boottime, clock.local_zone, _LOG.propagate, _LOG.handlers
        clock.wall, clock.boottime, clock.local_zone = self._wall, self._boot, _utc
        _LOG.propagate, _LOG.handlers = False, self._told
        try:
            with running(self):
                yield
        finally:
            clock.wall, clock.boottime, clock.local_zone, _LOG.propagate, _LOG.handlers = before

    def fault(self, what: str, error: BaseException | None) -> None:
        """Something that no fault of the world is a reason for."""
        self._world.fail(f"{self.name}: {what}" + (f": {error!r}" if error is not None else ""))

    # what asyncio asks of a loop

    def get_debug(self) -> bool:
        return False

    def time(self) -> float:
        return self._world.time

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=cast(Any, self))

    def create_task(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=cast(Any, self), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_soon(self, call: Callable[..., Any], *args: Any,
                  context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(call, args, cast(Any, self), context)
        if not self._closed:
            self._ready.append(handle)
            if not self._turning and not self._woken:
                self._woken = True
                self._world.at(0.0, self._turn, self)
        return handle

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any,
                   context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(call, args, cast(Any, self), context)

        def fire() -> None:
            if not self._closed and not handle.cancelled():
                self._ready.append(handle)
                self._turn()
        self._world.at(max(0.0, delay), fire, self)
        return handle

    def call_at(self, when: float, call: Callable[..., Any], *args: Any,
                context: contextvars.Context | None = None) -> asyncio.Handle:
        return self.call_later(when - self._world.time, call, *args, context=context)

    def run_in_executor(self, thread: Any, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        call = _Call(lambda: work(*args), self.create_future())
        if not self._closed:
            self._calls.append(call)
            seconds = self._world.chance.uniform(*self.owner.disk_seconds)
            self._free = max(self._free, self._world.time) + seconds
            self._world.at(self._free - self._world.time, lambda: self._do(call), self)
        return call.future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self.fault(str(context.get("message")), context.get("exception"))

    # inside

    def _do(self, call: _Call) -> None:
        if self._closed or self.owner.step():
            return
        result, failure = None, None
        with self.inside():
            try:
                result = call.work()
            except Exception as error:  # its task is told, as by a real thread
                failure = error
        self._calls.remove(call)
        if self.owner.step():  # on disk, and nobody was told
            return
        if not call.future.done():
            if failure is None:
                call.future.set_result(result)
            else:
                call.future.set_exception(failure)
        self._turn()

    def _turn(self) -> None:
        """Let the tasks go on until each of them waits."""
        self._woken = False
        if self._closed:
            return
        self._turning = True
        try:
            with self.inside():
                while self._ready and not self._closed:
                    handle = self._ready.popleft()
                    if not handle.cancelled():
                        handle._run()
        finally:
            self._turning = False
        if self._closed:
            self._bury()

    def _bury(self) -> None:
        self._ready.clear()
        with self.inside():
            for task in list(self._tasks):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()  # type: ignore[union-attr]
        self._tasks.clear()
