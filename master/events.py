"""Who watches what happens: bounded queues, so that a slow watcher loses its watch and slows nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import UnreachableError
from common.ids import Jid
from common.log import limited
from master.core.effects import Event, JobDone, PairMoved, StopAnswered

_log = logging.getLogger("jr.master")

BOUND = 100_000
"""Events that may wait for one watcher: the largest fleet's returns of one job, several times over."""
BYTES = 64 * 1024 * 1024
"""Bytes that may wait for one watcher, about: what minions return is what fills memory."""
_EVENT_BYTES = 200
"""What an event takes beside values and output, about."""


class Watch:
    """The events of one job, as they are committed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | str] = asyncio.Queue()
        self._bytes = 0
        self._over = False

    def tell(self, event: Event) -> None:
        """One more event. One that finds no room ends the watch: what was told up to there is whole."""
        size = _size(event)
        if self._queue.qsize() >= BOUND - 1 or self._bytes + size > BYTES:
            if not self._over:
                limited(_log, "watch").warning("a watcher is too slow: its watch ends with %d events unread",
                                               self._queue.qsize(), extra={"action": "watch.full"})
            self.end("this watcher is too slow")
        elif not self._over:
            self._bytes += size
            self._queue.put_nowait(event)

    def end(self, reason: str) -> None:
        """Nothing comes after what has been told so far."""
        if not self._over:
            self._over = True
            self._queue.put_nowait(reason)

    async def next(self) -> Event:
        """The next event. Raises UnreachableError when the watch is over."""
        event = await self._queue.get()
        if isinstance(event, str):
            raise UnreachableError(f"cannot follow any further: {event}; look again with jr-run jobs.lookup_jid")
        self._bytes -= _size(event)
        return event


class Watchers:
    """Watches by jid."""

    def __init__(self) -> None:
        self._by_jid: dict[Jid | None, set[Watch]] = {}
        self._done: Callable[[JobDone], None] | None = None

    def on_done(self, call: Callable[[JobDone], None]) -> None:
        """Tell the scheduler of every job that is done, also of one whose state was corrected."""
        self._done = call

    @contextmanager
    def watch(self, jid: Jid | None) -> Iterator[Watch]:
        """Follow one job for as long as the block lasts; with None, what concerns minions and keys."""
        watch = Watch()
        self._by_jid.setdefault(jid, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._by_jid[jid]
            watches.discard(watch)
            if not watches:
                del self._by_jid[jid]

    def tell(self, event: Event) -> None:
        """Something happened and is committed."""
        for watch in self._by_jid.get(_jid(event), ()):
            watch.tell(event)
        if self._done is not None and isinstance(event, JobDone):
            self._done(event)

    def end(self) -> None:
        """The master stops, or has to begin anew from its store: nobody can be told any more."""
        for watches in self._by_jid.values():
            for watch in watches:
                watch.end("the master stops or begins anew")


def _size(event: Event) -> int:
    outcome = event.pair.outcome if isinstance(event, PairMoved) else None
    if outcome is None:
        return _EVENT_BYTES
    return _EVENT_BYTES + len(outcome.value or b"") + len(outcome.stdout) + len(outcome.stderr)


def _jid(event: Event) -> Jid | None:
    match event:
        case PairMoved():
            return event.pair.jid
        case JobDone():
            return event.jid
        case StopAnswered():
            return event.answer.jid
    return None
