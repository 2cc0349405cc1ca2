"""Which jobs may run at once, and who waits for a place, in order of arrival. Pure."""

from __future__ import annotations

from common.ids import Jid
from common.timers import Timers


class Slots:
    """The places that `max_jobs` allows."""

    def __init__(self, most: int) -> None:
        """`most` is how many jobs may run at once; 0 is no limit."""
        self._most = most
        self._taken: set[Jid] = set()
        self._queue: dict[Jid, None] = {}
        self._expiry: Timers[Jid] = Timers()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether whoever comes now has to wait."""
        return 0 < self._most <= len(self._taken)

    def take(self, jid: Jid) -> None:
        """This job runs now, or is about to."""
        self._taken.add(jid)

    def wait(self, jid: Jid, deadline: float) -> None:
        """This job waits, at most until `deadline` (boot time)."""
        self._queue[jid] = None
        self._expiry.set(jid, deadline)

    def leave(self, jid: Jid) -> None:
        """This job is over, or waits no more."""
        self._taken.discard(jid)
        self._queue.pop(jid, None)
        self._expiry.clear(jid)

    def following(self) -> Jid | None:
        """Who may go next, and waits no more; None when nobody waits or no place is free."""
        jid = next(iter(self._queue), None)
        if jid is None or self.full:
            return None
        self.leave(jid)
        return jid

    def expired(self, now: float) -> list[Jid]:
        """Who waited for too long, and waits no more."""
        late = self._expiry.due(now)
        for jid in late:
            self.leave(jid)
        return late

    def next(self) -> float | None:
        """When somebody will have waited for too long."""
        return self._expiry.next()
