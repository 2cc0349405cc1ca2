"""Who watches what happens: bounded queues, so that a slow watcher loses its watch and slows nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import UnreachableError
from common.ids import Jid
from master.core.effects import Event, JobDone, PairMoved, StopAnswered

BOUND = 100_000
"""Events that may wait for one watcher: the largest fleet's returns of one job, several times over."""


class Watch:
    """The events of one job, as they are committed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(BOUND)

    def tell(self, event: Event | None) -> None:
        """One more event; None when the watch ends early."""
        if self._queue.qsize() < BOUND - 1:
            self._queue.put_nowait(event)
        elif self._queue.qsize() == BOUND - 1:
            self._queue.put_nowait(None)

    async def next(self) -> Event:
        """The next event. Raises UnreachableError when the watch is over."""
        event = await self._queue.get()
        if event is None:
            raise UnreachableError("cannot follow any further: too slow, or the master stops; look again with "
                                   "jr-run jobs.lookup_jid")
        return event


class Watchers:
    """Watches by jid."""

    def __init__(self) -> None:
        self._by_jid: dict[Jid, set[Watch]] = {}

    @contextmanager
    def watch(self, jid: Jid) -> Iterator[Watch]:
        """Follow one job for as long as the block lasts."""
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
        jid = _jid(event)
        for watch in self._by_jid.get(jid, ()) if jid is not None else ():
            watch.tell(event)

    def end(self) -> None:
        """The master stops, or has to begin anew from its store: nobody can be told any more."""
        for watches in self._by_jid.values():
            for watch in watches:
                watch.tell(None)


def _jid(event: Event) -> Jid | None:
    match event:
        case PairMoved():
            return event.pair.jid
        case JobDone():
            return event.jid
        case StopAnswered():
            return event.answer.jid
    return None
