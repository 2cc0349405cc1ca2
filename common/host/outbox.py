"""Returns that the master has not acknowledged: sent in order, a bounded number at a time, and sent again. Pure."""

from __future__ import annotations

from common.ids import Jid
from common.messages import Return
from common.timers import Timers

WINDOW = 200
"""Returns on their way at once: enough to fill a link, few enough that a spool of 100,000 is no flood."""
AGAIN = 30.0
"""Seconds on a living connection after which what is unanswered is sent again (DESIGN 5, rule 3)."""


class Outbox:
    """What waits, and what is on its way."""

    def __init__(self) -> None:
        self._waiting: dict[Jid, None] = {}
        self._since: dict[Jid, float] = {}
        self._messages: dict[Jid, Return] = {}
        self._sent: Timers[Jid] = Timers()
        self._on_way: set[Jid] = set()
        self._open = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._on_way)

    def __contains__(self, jid: Jid) -> bool:
        return jid in self._waiting or jid in self._on_way

    def oldest(self) -> float | None:
        """When the oldest that is not acknowledged came; they come in order. None when there is none."""
        return next(iter(self._since.values()), None)

    def add(self, jid: Jid, now: float, message: Return | None = None) -> None:
        """Something to send: the return that lies in the spool, or one that only memory has."""
        self._waiting[jid] = None
        self._since.setdefault(jid, now)
        if message is not None:
            self._messages[jid] = message

    def again(self, jid: Jid) -> None:
        """Somebody asked for it: send it with the next pump, whenever it was sent before."""
        if jid in self._on_way:
            self._sent.clear(jid)
            self._on_way.discard(jid)
            self._waiting[jid] = None

    def acked(self, jid: Jid) -> bool:
        """The master has it; False when it was not here."""
        known = jid in self
        self._waiting.pop(jid, None)
        self._messages.pop(jid, None)
        self._since.pop(jid, None)
        self._on_way.discard(jid)
        self._sent.clear(jid)
        return known

    def connected(self) -> None:
        """Sending makes sense from here on; all that is unacknowledged goes out again."""
        self.disconnected()
        self._open = True

    def disconnected(self) -> None:
        """Whatever was on its way may be lost."""
        self._open = False
        self._waiting = dict.fromkeys([*sorted(self._on_way), *self._waiting])
        for jid in self._on_way:
            self._sent.clear(jid)
        self._on_way.clear()

    def pump(self, now: float) -> list[tuple[Jid, Return | None]]:
        """What to send now, with its message when only memory has it."""
        if not self._open:
            return []
        send = self._sent.due(now)
        while self._waiting and len(self._on_way) < WINDOW:
            jid = next(iter(self._waiting))
            del self._waiting[jid]
            self._on_way.add(jid)
            send.append(jid)
        for jid in send:
            self._sent.set(jid, now + AGAIN)
        return [(jid, self._messages.get(jid)) for jid in send]

    def next(self) -> float | None:
        """When something is to be sent again."""
        return self._sent.next() if self._open else None
