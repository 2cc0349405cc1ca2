"""New keys for old, of minions and of the master itself, without a moment in which nobody has one. Pure.

A minion's next key is filed beside its accepted one and admits the same id. It takes the other's place at its first
use, or when the overlap is over. The master's next key is told to all who come, and it is kept who has confirmed it.
"""

from __future__ import annotations

from msgspec import structs

from common.errors import NotFoundError
from common.ids import MASTER, MinionId
from common.link import Connection, Key
from common.messages import MasterKey, Offer, Rotate, Taken
from common.timers import Timers
from master.core import effects as do
from master.core.keys import Keyring
from master.core.presence import Fleet
from master.records import Minion

CONFIRMED = "confirmed"
"""What is told of a minion that holds the master's next key."""
RECONNECTING = 60.0
"""Seconds in which a minion that was told to connect anew counts as about to come."""

ASKED = 60.0
"""Seconds in which a minion that was asked for a new key may offer one; later it is asked again or not at all."""
UNASKED = "nobody asked for a new key"


class Rotation:
    """Keys that are about to be replaced."""

    def __init__(self, keys: Keyring, fleet: Fleet, overlap: float) -> None:
        """`overlap` is the time, in seconds, after which a minion's next key replaces an old one that is still used."""
        self.master = ""
        self.key: Key | None = None
        self.next_key: Key | None = None
        self._keys = keys
        self._fleet = fleet
        self._overlap = overlap
        self._asked: dict[MinionId, float] = {}
        self._over: Timers[Key] = Timers()
        for row in keys.rows():
            if row.state == "next":
                self._over.set(row.key, row.filed + overlap)

    def next(self) -> float | None:
        """When `tick` has something to do, in master time."""
        return self._over.next()

    # keys of minions

    def ask(self, minion: MinionId, now: float) -> list[do.Effect]:
        """Ask a minion for a new key; nothing when it is not connected. Raises NotFoundError for one not accepted."""
        if self._keys.accepted(minion) is None:
            raise NotFoundError(f"cannot rotate the key of {minion}: it has no accepted key")
        connection = self._fleet.synced(minion)
        if connection is None:
            return []
        self._asked[minion] = now + ASKED
        return [do.Send(connection, Rotate())]

    def offered(self, connection: Connection, minion: MinionId, offer: Offer, now: float) -> list[do.Effect]:
        """A minion offers its next key. The answer follows the commit."""
        refused, effects = self._file(minion, offer.key, now)
        if refused is UNASKED:
            effects = [do.Alarm(minion, None, refused)]
        elif refused is not None:
            effects = [do.Emit(do.KeyChanged(minion, f"offer refused: {refused}"))]
        return [*effects, do.Send(connection, Taken(key=offer.key, refused=refused))]

    def _file(self, minion: MinionId, key: Key, now: float) -> tuple[str | None, list[do.Effect]]:
        current, known = self._keys.accepted(minion), self._keys.get(key)
        if current is None:
            return "this minion is not accepted", []
        if known is not None:
            mine = known.id == minion and known.state == "next"
            return (None if mine else "this key is filed already"), []
        if self._asked.get(minion, 0.0) < now:
            # Else whoever has stolen a key could take its place for good, and the owner would be the stranger.
            return UNASKED, []
        del self._asked[minion]
        effects: list[do.Effect] = []
        for row in self._keys.rows():
            if row.id == minion and row.state == "next":
                effects += self._keys.drop(row.key)
        row = Minion(id=minion, key=key, state="next", filed=now, version=current.version)
        self._over.set(key, now + self._overlap)
        return None, [*effects, self._keys.put(row), do.Emit(do.KeyChanged(minion, "offered"))]

    def used(self, key: Key, now: float) -> list[do.Effect]:
        """The owner of a key speaks: if it is the next one of its id, the old one is over."""
        row = self._keys.get(key)
        current = None if row is None else self._keys.accepted(row.id)
        if row is None or row.state != "next" or current is None:
            return []
        self._over.clear(key)
        # One transaction: no crash leaves an id with two accepted keys, or with none.
        return [self._keys.put(structs.replace(current, key=key, filed=row.filed)), *self._keys.drop(current.key),
                do.Emit(do.KeyChanged(row.id, "rotated"))]

    def tick(self, now: float) -> list[do.Effect]:
        """Time has passed: where the overlap is over, the old key is."""
        return [effect for key in self._over.due(now) for effect in self.used(key, now)]

    # the master's key

    def announce(self, master: str, key: Key | None, next_key: Key | None) -> list[do.Effect]:
        """The master has this fingerprint and key, and is about to have that key: tell all who are connected."""
        self.master, self.key, self.next_key = master, key, next_key
        if next_key is None:
            return []
        return [do.Send(presence.connection, MasterKey(key=next_key)) for minion in self._fleet.up()
                if minion != MASTER and (presence := self._fleet.get(minion)) is not None]

    def trusted(self, row: Minion) -> Key | None:
        """The newest key that a minion which connects now knows its master by: it has just proved the present one."""
        return row.trusts if row.trusts is not None and row.trusts == self.next_key else self.key

    def confirmed(self, minion: MinionId, key: Key) -> list[do.Effect]:
        """A minion holds the master's next key durably."""
        row = self._keys.accepted(minion)
        if row is None or key != self.next_key or row.trusts == key:
            return []
        return [self._keys.put(structs.replace(row, trusts=key)), do.Emit(do.KeyChanged(minion, CONFIRMED))]

    def knows(self, row: Minion) -> bool | None:
        """Whether a minion knows the master by its newest key; None when nothing says that it does not."""
        if row.state != "accepted" or (row.trusts is None and self.next_key is None):
            return None
        return row.trusts == (self.next_key or self.key)

    def missing(self) -> list[MinionId]:
        """Accepted minions that have not confirmed the next key: they would not know the master any more."""
        return [row.id for row in self._keys.rows() if self.knows(row) is False]
