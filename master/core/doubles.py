"""Tells one host that comes back from two hosts that share a key. Pure.

An agent closes its old socket before it opens the next one. So an older connection that answers a ping which was sent
after a newer connection's Hello belongs to another process, on another copy of the key. Nothing else is proof: a
restart, a broken line, a new address of a NAT or an agent that stood still all leave an older connection that is mute.
"""

from __future__ import annotations

import enum
from collections import deque

from msgspec import Struct

from common.ids import MinionId
from common.link import Connection
from common.messages import Hello
from common.timers import Timers
from master.records import Minion

ANSWER = 5.0
"""Seconds that an older connection has to answer a ping; its minion waits 15 s for its Welcome."""
TURNS = 3
"""Turns back to an earlier boot or start within `TURNING` that one host alone never makes."""
TURNING = 600.0
"""Seconds within which they count."""


class Ruling(enum.Enum):
    """What a Hello turned out to be."""

    ALONE = "alone"
    """Nobody else answers with this key: welcome."""
    DOUBLE = "double"
    """Two hosts answer."""
    STALE = "stale"
    """A last word of a connection that is dead by now, or one of two that does not answer."""


class Newcomer(Struct):
    """A connection that has said Hello and is not welcomed yet."""

    connection: Connection
    hello: Hello
    behind: bool
    """Its numbers are not above those known. It may be a word that comes late, so it must answer too."""
    older: Connection | None
    """The connection that is still open; None when there is none, or it has ended meanwhile."""
    ping: int
    answered: bool = False
    older_answered: bool = False

    def ruling(self, *, late: bool) -> Ruling | None:
        """What is known by now; `late` when nobody who has not answered will."""
        here = self.answered or not self.behind
        if here and self.older_answered:
            return Ruling.DOUBLE
        if here and (self.older is None or late):
            return Ruling.ALONE
        return Ruling.STALE if late else None


class Doubles:
    """Those who wait for their Welcome, and who took turns with whom."""

    def __init__(self) -> None:
        self._waiting: dict[MinionId, Newcomer] = {}
        self._late: Timers[MinionId] = Timers()
        self._pings = 0
        self._boots: dict[MinionId, deque[tuple[float, str]]] = {}
        self._turns: dict[MinionId, deque[float]] = {}

    def ask(self, minion: MinionId, connection: Connection, hello: Hello, older: Connection | None,
            row: Minion, now: float) -> Newcomer:
        """Let a newcomer wait; both it and the older connection are to be pinged with its number."""
        self._pings += 1
        newcomer = Newcomer(connection=connection, hello=hello, behind=behind(row, hello), older=older,
                            ping=self._pings)
        self._waiting[minion] = newcomer
        self._late.set(minion, now + ANSWER)
        return newcomer

    def answered(self, minion: MinionId, connection: Connection, ping: int) -> Ruling | None:
        """A pong came. None when it decides nothing."""
        newcomer = self._waiting.get(minion)
        if newcomer is None or newcomer.ping != ping:
            return None
        newcomer.answered |= connection == newcomer.connection
        newcomer.older_answered |= connection == newcomer.older
        return newcomer.ruling(late=False)

    def ended(self, minion: MinionId, connection: Connection) -> Ruling | None:
        """A connection is over: that of the newcomer, or the older one, or one that is neither."""
        newcomer = self._waiting.get(minion)
        if newcomer is None:
            return None
        if connection == newcomer.connection:
            self.take(minion)
        elif connection == newcomer.older:
            newcomer.older = None
            return newcomer.ruling(late=False)
        return None

    def waiting(self, minion: MinionId) -> Newcomer | None:
        """Who waits with this minion's key."""
        return self._waiting.get(minion)

    def take(self, minion: MinionId) -> Newcomer | None:
        """Who waited, and waits no more."""
        self._late.clear(minion)
        return self._waiting.pop(minion, None)

    def next(self) -> float | None:
        """When somebody has waited for long enough."""
        return self._late.next()

    def late(self, now: float) -> list[tuple[MinionId, Ruling]]:
        """Whoever has not answered by now does not live."""
        return [(minion, ruling) for minion in self._late.due(now)
                if (ruling := self._waiting[minion].ruling(late=True)) is not None]

    def turned(self, row: Minion, hello: Hello, now: float) -> bool:
        """Count the turn that this Hello makes, if it is one; true when there were too many of them lately."""
        if not (self._returns(row, hello, now) or behind(row, hello)):
            return False
        turns = self._turns.setdefault(row.id, deque(maxlen=TURNS))
        turns.append(now)
        return len(turns) == TURNS and now - turns[0] < TURNING

    def forget(self, minion: MinionId) -> None:
        """An operator has decided: what was counted is over."""
        self._boots.pop(minion, None)
        self._turns.pop(minion, None)

    def _returns(self, row: Minion, hello: Hello, now: float) -> bool:
        """Whether this boot was there before the one that was there last: a host that reboots never goes back."""
        if hello.boot_id == row.boot_id or not row.boot_id:
            return False
        boots = self._boots.setdefault(row.id, deque(maxlen=2 * TURNS))
        found = any(boot == hello.boot_id and now - at < TURNING for at, boot in boots)
        boots.append((now, row.boot_id))
        return found


def behind(row: Minion, hello: Hello) -> bool:
    """Whether a Hello does not follow the latest one of its key: its start, or its connection, is not a later one."""
    if hello.start == row.start and row.boot_id in ("", hello.boot_id):
        return hello.connection <= row.connection
    return hello.start <= max(row.highest, row.start)


def strange(row: Minion, hello: Hello) -> bool:
    """Whether what was sent earlier may be with another host, or was with this one before it rebooted.

    Such a job is never sent again: the claim that would stop a second start may lie on the other disk.
    """
    return row.strange or behind(row, hello) or row.boot_id not in ("", hello.boot_id)
