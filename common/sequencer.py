"""Applies effects in one order: nothing leaves before everything durable that was issued earlier is committed.

Commits run on one writer thread and are grouped: what comes in the same turn of the loop shares one, and what comes
while one is under way shares the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor
from types import MappingProxyType
from typing import Generic, TypeVar

from msgspec import Struct

E = TypeVar("E")
_log = logging.getLogger("jr.sequencer")

BOUND = 50_000
"""Effects that may wait before what comes again by itself is turned away: what the other side of the bus says."""
BYTES = 64 * 1024 * 1024
"""What the effects that wait may weigh, together, as whoever brings them says."""
SHARE = 2
"""One part in so many of these bytes is what one of those on the other side may hold: the rest is for the others."""
RESERVE = 2
"""Whoever is there in person is turned away at so many times that: no minion alone can lock its operators out."""
NOTHING: Mapping[Hashable, int] = MappingProxyType({})


class Then(Struct, frozen=True):
    """No effect of a core: tells whoever waits that everything issued earlier is committed."""

    waiter: asyncio.Future[None]
    about: Hashable = None
    """What the waiter's own effects belong to, for a queue whose commits may leave something unwritten."""

    error: Exception | None = None
    """Why they never will be: what was written of them is taken back by then."""

    def tell(self) -> None:
        """The moment has come."""
        if self.waiter.done():
            return
        if self.error is None:
            self.waiter.set_result(None)
        else:
            self.waiter.set_exception(self.error)


class Sequencer(Generic[E]):
    """One queue of effects, for all events of a daemon."""

    def __init__(self, durable: tuple[type, ...], commit: Callable[[list[E]], list[E] | None],
                 act: Callable[[E], None], broken: Callable[[BaseException], None], thread: Executor,
                 unwritten: Callable[[list[E]], list[E]] = lambda queued: queued) -> None:
        """`commit` runs on `thread` and raises when nothing was written; then `broken` is told, and what waited behind
        it is dropped. `act` runs on the loop and may submit more.

        A commit of parts that do not depend on each other may write some, and give back the rest, or nothing as a list
        when there is something to know. Then `unwritten` gets the whole queue, with that rest in its place, and gives
        what goes on: nothing that belongs to the rest.
        """
        self._durable = durable
        self._commit = commit
        self._act = act
        self._broken = broken
        self._thread = thread
        self._unwritten = unwritten
        self._queue: deque[E] = deque()
        self._weight: Counter[Hashable] = Counter()
        self._writing: Counter[Hashable] = Counter()
        self._busy = False
        self._acting = False
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many effects wait, those that are being committed not counted."""
        return len(self._queue)

    def crowded(self, whose: Hashable = None) -> bool:
        """Whether what comes again by itself should be turned away until the disk has caught up."""
        held = 0 if whose is None else self._weight[whose] + self._writing[whose]
        return held >= BYTES // SHARE or self._beyond(1)

    @property
    def full(self) -> bool:
        """Whether all new work should be."""
        return self._beyond(RESERVE)

    def _beyond(self, times: int) -> bool:
        return len(self._queue) >= times * BOUND or self._weight.total() + self._writing.total() >= times * BYTES

    def submit(self, effects: Sequence[E], weights: Mapping[Hashable, int] = NOTHING) -> None:
        """Queue effects, and apply what can leave at once.

        `weights` says how many bytes they keep in memory, about, under the name of whoever brought them.
        """
        self._queue.extend(effects)
        for name, weight in weights.items():
            self._weight[name] += weight
        self._turn()

    async def drained(self) -> None:
        """Wait until nothing is queued or under way."""
        await self._idle.wait()

    def _turn(self) -> None:
        if self._busy or self._acting:
            return
        self._acting = True
        try:
            while self._queue and not isinstance(self._queue[0], self._durable):
                self._apply(self._queue.popleft())
        finally:
            self._acting = False
        if not self._queue:
            self._weight.clear()
            self._idle.set()
            return
        self._idle.clear()
        self._busy = True
        # Not at once: a link hands over all that it has read in one turn, and a commit waits for the disk.
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Commit what is queued by now."""
        self._writing, self._weight = self._weight, Counter()
        batch = list(self._queue)
        self._queue.clear()
        writes = [effect for effect in batch if isinstance(effect, self._durable)]
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._commit, writes)
        future.add_done_callback(lambda done: self._committed(batch, done))

    def _apply(self, effect: E) -> None:
        try:
            self._act(effect)
        except Exception:  # a fault in applying one effect must not hold up all those behind it
            _log.exception("cannot apply %s", type(effect).__name__, extra={"action": "effect.failed"})

    def _committed(self, batch: list[E], done: asyncio.Future[list[E] | None]) -> None:
        self._busy = False
        self._writing.clear()
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            self._queue.clear()
            self._weight.clear()
            self._idle.set()
            self._broken(error)
            return
        left = done.result()
        kept = {id(effect) for effect in left or ()}
        # The batch goes in front of what came meanwhile, less what is on disk now.
        self._queue.extendleft(effect for effect in reversed(batch)
                               if id(effect) in kept or not isinstance(effect, self._durable))
        if left is not None:
            self._queue = deque(self._unwritten(list(self._queue)))
        self._turn()
