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
