"""Tells the master the verdicts of this minion's schedule, in the order of the journal, until it has noted them.

One page is on its way at a time. It is said again while it is not noted, and at each new connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.errors import JrError
from common.log import limited
from common.messages import Message, Occurrences
from common.schedule.model import Occurrence

AGAIN = 30.0
"""Seconds until a page that is not noted is said again (DESIGN 5)."""
_log = logging.getLogger("jr.minion.journal")

Page = tuple[int, list[Occurrence]]


class Courier:
    """What is to be told, and what was."""

    def __init__(self, page: Callable[[], Awaitable[Page]], noted: Callable[[int], None],
                 send: Callable[[Message], None]) -> None:
        """`page` gives the oldest verdicts that are not noted, and the place of the last of them; `send` says them if
        there is anybody to say them to."""
        self._page = page
        self._noted = noted
        self._send = send
        self._connected = False
        self._said = 0
        """The place that the page on its way ends with; 0 when there is none."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to tell."""
        self._task = asyncio.get_running_loop().create_task(self._tell(), name="courier")

    async def close(self) -> None:
        """Tell no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def connected(self) -> None:
        """The master is there: whatever was said before may be lost."""
        self._connected = True
        self._said = 0
        self._wake.set()

    def disconnected(self) -> None:
        """Nobody is there."""
        self._connected = False

    def more(self) -> None:
        """There are new verdicts."""
        if not self._said:
            self._wake.set()

    def noted(self, place: int) -> None:
        """The master has them up to this place. Another place than that of the page on its way is old news."""
        if place and place == self._said:
            self._noted(place)
            self._said = 0
            self._wake.set()

    async def _tell(self) -> None:
        while True:
            try:
                async with asyncio.timeout(AGAIN if self._said else None):
                    await self._wake.wait()
            except TimeoutError:
                pass  # it is not noted: said again
            self._wake.clear()
            if self._connected:
                await self._say()

    async def _say(self) -> None:
        try:
            place, items = await self._page()
        except JrError as error:
            limited(_log, "page").error("cannot read the verdicts of the schedule for now: %s", error,
                                        extra={"action": "journal.unread"})
            place, items = self._said or 1, []  # looked at again in a while
        self._said = place
        if items:
            self._send(Occurrences(n=place, items=items))
