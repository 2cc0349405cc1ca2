"""Sees that nothing of a deleted secret stays in the store's log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.alarm import Alarm
from common.log import limited

_log = logging.getLogger("jr.master")

WIPE = 1.0
"""Seconds that a deleted secret may stay in the store's log: for all that are deleted meanwhile it is cut once."""


class Wiping:
    """Cuts the log some time after it is asked to, and again until that succeeds."""

    def __init__(self, wipe: Callable[[], Awaitable[bool]]) -> None:
        """`wipe` cuts the log; it returns False when somebody reads, and raises StoreError when it cannot."""
        self._wipe = wipe
        self._alarm = Alarm(self._begin)

    def ask(self, seconds: float = WIPE) -> None:
        """Cut it in so many seconds at the latest."""
        self._alarm.set(seconds)

    def close(self) -> None:
        """Not any more: the next start begins with it."""
        self._alarm.cancel()

    def _begin(self) -> None:
        asyncio.ensure_future(self._wipe()).add_done_callback(self._done)

    def _done(self, done: asyncio.Future[bool]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            limited(_log, "wipe").error("cannot wipe secrets from the log of the store, and try again: %s", error,
                                        extra={"action": "wipe.failed"})
        if error is not None or not done.result():
            self.ask()
