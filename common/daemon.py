"""How both daemons live: open what they need, serve until they are told to stop or cannot go on, give all back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable

from common import clock
from common.aio import cancelled
from common.errors import JrError
from common.pressure import resident
from common.proc import limits
from common.wear import FOR_EVER, Wear


class Daemon(ABC):
    """A process that serves. `run` returns when it is told to stop, and raises JrError when it cannot go on."""

    def __init__(self, name: str, wear: Wear = FOR_EVER) -> None:
        """`name` is what its log lines say: `master` or `minion`. `wear` is how long it serves."""
        self._name = name
        self._wear = wear
        self._log = logging.getLogger(f"jr.{name}")
        self._stop = asyncio.Event()
        self._failure: str | None = None
        self.hung_up: Callable[[], None] = lambda: None
        """What SIGHUP does: it reads anew what may be read while the daemon runs."""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until it is worn; SIGHUP is for `hung_up`. Running jobs go on without it.

        Raises JrError.
        """
        limits.raise_files()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.hung_up())
        async with contextlib.AsyncExitStack() as stack:
            if await self._opened(stack):
                self._log.info("ready", extra={"action": f"{self._name}.ready"})
                wearing = asyncio.create_task(self._wears())
                await self._stop.wait()
                await cancelled(wearing)
            self._log.info("stopping; running jobs go on", extra={"action": f"{self._name}.stopping"})
        if self._failure is not None:
            raise JrError(self._failure)

    async def _wears(self) -> None:
        """End, as if told to, once memory or age is past its limit: whoever supervises it starts it anew."""
        since = clock.boottime()
        while (wait := self._wear.wait(clock.boottime() - since)) is not None:
            await asyncio.sleep(wait)
            if reason := self._wear.worn(clock.boottime() - since, resident()):
                self._log.warning("ending, to be started anew: %s", reason, extra={"action": f"{self._name}.worn"})
                self._stop.set()
                return

    async def _opened(self, stack: contextlib.AsyncExitStack) -> bool:
        """Open everything; False when the daemon was told to stop while it waited for something."""
        opening, told = asyncio.create_task(self._open(stack)), asyncio.create_task(self._stop.wait())
        await asyncio.wait([opening, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if opening.done():
            opening.result()
            return True
        await cancelled(opening)
        return False

    def fatal(self, reason: str) -> None:
        """What the daemon cannot live without is gone: end, and let the service manager start anew."""
        self._log.critical("cannot go on: %s", reason, extra={"action": f"{self._name}.failed"})
        self._failure = self._failure or reason
        self._stop.set()

    @abstractmethod
    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open everything; what is pushed on the stack is given back in reverse order. Raises JrError."""
