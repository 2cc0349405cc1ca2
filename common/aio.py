"""Small things that every asyncio daemon needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger("jr.aio")


def guarded(work: Callable[[], Coroutine[Any, Any, None]], name: str,
            fatal: Callable[[str], None]) -> asyncio.Task[None]:
    """Run `work()` as a task that the daemon cannot do without: when it fails that is logged, and `fatal` is told.

    Nobody awaits such a task before the end, so one that died would leave a daemon that only seems to be whole.
    """
    return asyncio.get_running_loop().create_task(_guarded(work, name, fatal), name=name)


async def _guarded(work: Callable[[], Coroutine[Any, Any, None]], name: str, fatal: Callable[[str], None]) -> None:
    try:
        await work()
    except Exception as error:  # whatever it is, it must not be lost in a task that nobody looks at
        _log.exception("%s failed", name, extra={"action": "task.failed"})
        fatal(f"{name} failed: {str(error) or type(error).__name__}")


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Tasks:
    """Work in the background that nobody awaits: what fails is logged, and all of it ends with its owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it, and keep it from being collected until it is over."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)

    async def close(self) -> None:
        """Cancel what runs, and wait for its end."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("%s", error, exc_info=error, extra={"action": "task.failed"})
