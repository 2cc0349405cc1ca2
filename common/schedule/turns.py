"""What waits to be told to a schedule's engine, one turn after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

from msgspec import Struct

from common.errors import JrError
from common.ids import Jid
from common.schedule.model import Decision, Moment
from common.schedule.work import Call

_BATCH = 100
"""Turns that share one commit."""

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Something long that the engine does in parts; nothing else is asked of it that changes anything before it is done."""
Slow = Callable[[Moment], Slices[list[Decision]]]


class Turn(Struct):
    """One thing that the engine is told."""

    call: Call | Slow
    ended: Jid | None = None
    """The run whose end it tells."""
    done: asyncio.Future[list[Decision]] | None = None
    """Of a verb: somebody waits for what comes of it."""

    @property
    def is_verb(self) -> bool:
        """Whether somebody asked for it, and is told when it cannot be."""
        return self.done is not None

    def refuse(self, error: JrError) -> None:
        """Tell whoever waits that it came to nothing."""
        if self.done is not None and not self.done.done():
            self.done.set_exception(error)


class Turns:
    """The turns that wait, in the order in which they came. What bounds verbs is up to who puts them."""

    def __init__(self) -> None:
        self._waiting: deque[Turn] = deque()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, call: Call | Slow, ended: Jid | None = None,
             done: asyncio.Future[list[Decision]] | None = None) -> None:
        """Have the engine told this when its turn comes; for a verb `done` is answered, for the end of a run
        `ended` is its jid.
        """
        self._waiting.append(Turn(call, ended, done))
        self._wake.set()

    async def come(self) -> None:
        """Wait until there is one."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()

    def batch(self) -> list[Turn]:
        """The next turns, verbs or others: a verb may be refused, and what happened may not."""
        turns = [self._waiting.popleft()]
        while self._waiting and len(turns) < _BATCH and self._waiting[0].is_verb == turns[0].is_verb:
            turns.append(self._waiting.popleft())
        return turns

    def refuse(self, why: str) -> None:
        """Tell whoever waits for a turn of a verb that there will be none."""
        for turn in self._waiting:
            turn.refuse(JrError(f"cannot change the schedule: {why}"))
        self._waiting = deque(turn for turn in self._waiting if not turn.is_verb)

    def clear(self) -> None:
        """Forget them all."""
        self._waiting.clear()
