"""Which minions are connected, told by the bus alone: one connection each, the newest. Pure."""

from __future__ import annotations

from msgspec import Struct

from common.ids import MinionId
from common.link import Connection
from common.messages import HeldJob, Load
from common.timers import Timers

SILENCE = 45.0
"""Seconds without a frame after which a connection counts as gone (DESIGN 5): three silent periods."""
COMPARING = 60.0
"""Seconds after its Hello in which a minion must have said all that it holds. No job goes to one that has not."""


class Presence(Struct):
    """One minion's current connection."""

    connection: Connection
    since: float
    heard: float
    start: int = 0
    """The start number of its agent, as its Hello said; 0 for the master's own host, which has none."""
    load: Load | None = None
    """How its host does, as it said last."""
    told: float = 0.0
    """When that was, in master time."""
    held: list[HeldJob] | None = []
    """Pages of what it holds, until the last one came and both sides compared; None from then on."""


class Fleet:
    """Current connections by minion."""

    def __init__(self) -> None:
        self._up: dict[MinionId, Presence] = {}
        self._silence: Timers[MinionId] = Timers()
        self._comparing: Timers[MinionId] = Timers()

    def get(self, minion: MinionId) -> Presence | None:
        """The current connection of a minion, once it has said Hello."""
        return self._up.get(minion)

    def synced(self, minion: MinionId) -> Connection | None:
        """The connection over which jobs may go: both sides have compared what is held."""
        presence = self._up.get(minion)
        return presence.connection if presence is not None and presence.held is None else None

    def start(self, minion: MinionId) -> int:
        """The start number of the agent that is there; 0 when there is none."""
        presence = self._up.get(minion)
        return 0 if presence is None else presence.start

    def up(self) -> list[MinionId]:
        """Everybody who is there."""
        return list(self._up)

    def add(self, minion: MinionId, connection: Connection, now: float, start: int = 0) -> Connection | None:
        """A Hello came: this connection is the minion's own now. Returns the one it replaces."""
        old = self._up.get(minion)
        self._up[minion] = Presence(connection=connection, since=now if old is None else old.since, heard=now,
                                    start=start)
        self._silence.set(minion, now + SILENCE)
        self._comparing.set(minion, now + COMPARING)
        return old.connection if old is not None and old.connection != connection else None

    def tell(self, minion: MinionId, load: Load | None, now: float) -> None:
        """A minion that is there says how its host does."""
        if load is not None:
            presence = self._up[minion]
            presence.load, presence.told = load, now

    def heard(self, minion: MinionId, connection: Connection, now: float) -> Presence | None:
        """A frame came; None when it came over anything but the current connection, and must be dropped."""
        presence = self._up.get(minion)
        if presence is None or presence.connection != connection:
            return None
        presence.heard = now
        return presence

    def remove(self, minion: MinionId, connection: Connection) -> bool:
        """The connection is over; False when it was not the current one."""
        presence = self._up.get(minion)
        if presence is None or presence.connection != connection:
            return False
        del self._up[minion]
        self._silence.clear(minion)
        self._comparing.clear(minion)
        return True

    def stay(self, minion: MinionId) -> None:
        """This one never falls silent: it is the master's own host."""
        self._silence.clear(minion)
        self._comparing.clear(minion)

    def next(self) -> float | None:
        """When somebody may have been silent for too long, or has not said what it holds."""
        return min((at for at in (self._silence.next(), self._comparing.next()) if at is not None), default=None)

    def compared(self, minion: MinionId) -> list[HeldJob]:
        """The last page came: from here on jobs may go. Returns all that the minion holds."""
        presence = self._up[minion]
        held, presence.held = presence.held or [], None
        self._comparing.clear(minion)
        return held

    def uncompared(self, now: float) -> list[tuple[MinionId, Connection]]:
        """Who has not said all that it holds in time: it seems to be up, and would never get a job."""
        return [(minion, self._up[minion].connection) for minion in self._comparing.due(now)]

    def silent(self, now: float) -> list[tuple[MinionId, Connection]]:
        """Who said nothing for too long. The timer is moved lazily, since frames come far more often than silence."""
        gone = []
        for minion in self._silence.due(now):
            presence = self._up[minion]
            if now - presence.heard >= SILENCE:
                gone.append((minion, presence.connection))
            else:
                self._silence.set(minion, presence.heard + SILENCE)
        return gone
