"""How a connection becomes a minion's own: Hello, proof that its key has one host, Welcome. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Raw, structs

from common.codec import CodecError, unpack
from common.ids import MinionId
from common.link import Connection
from common.messages import FACTS_LIMIT, Hello, Ping, Pong, Welcome
from master.core import effects as do
from master.core.doubles import TURNS, Doubles, Newcomer, Ruling, behind, strange
from master.core.keys import Keyring
from master.core.presence import Fleet
from master.core.rotation import Rotation
from master.records import Minion

Gone = Callable[[Connection, MinionId, float, str], list[do.Effect]]
TWICE = "it said hello twice"
SHOWN = 8
"""Characters of a boot id that are enough for people to tell two of them apart."""
LONGEST = 64
"""Characters of what a host says of itself."""
ADDRESSES = 2
"""Addresses of a host that are shown."""


class Greeter:
    """Answers every Hello, at once or after whoever is still there was asked."""

    def __init__(self, keys: Keyring, fleet: Fleet, rotation: Rotation, return_limit: int, gone: Gone) -> None:
        """`gone` ends the presence of a minion."""
        self._keys = keys
        self._fleet = fleet
        self._rotation = rotation
        self._return_limit = return_limit
        self._gone = gone
        self._doubles = Doubles()

    def next(self) -> float | None:
        """When somebody has had the time to answer."""
        return self._doubles.next()

    def hello(self, connection: Connection, minion: MinionId, hello: Hello, now: float) -> list[do.Effect]:
        """A connection opens."""
        row = self._keys.accepted(minion)
        if row is None:
            return [do.Drop(connection, "its key is not accepted")]
        if len(bytes(hello.facts)) > FACTS_LIMIT:
            return [do.Drop(connection, f"its facts have more than {FACTS_LIMIT} bytes")]
        presence = self._fleet.get(minion)
        if presence is not None and presence.connection == connection:
            # One greeting is one row to save: without end they would be a flood that nothing holds back.
            return [do.Drop(connection, TWICE), *self._gone(connection, minion, now, "cut")]
        waiting = self._doubles.take(minion)
        effects: list[do.Effect] = []
        if waiting is not None and waiting.connection == connection:
            return [do.Drop(connection, TWICE)]
        if waiting is not None:
            effects.append(do.Drop(waiting.connection, "replaced by a newer connection"))
        if presence is None and not behind(row, hello):
            return effects + self._welcome(row, connection, hello, now)
        older = None if presence is None else presence.connection
        newcomer = self._doubles.ask(minion, connection, hello, older, row, now)
        asked = [connection] if older is None else [older, connection]
        return [*effects, *(do.Send(one, Ping(n=newcomer.ping)) for one in asked)]

    def pong(self, connection: Connection, minion: MinionId, pong: Pong, now: float) -> list[do.Effect]:
        """Somebody who was asked answers."""
        return self._rule(minion, self._doubles.answered(minion, connection, pong.n), now)

    def ended(self, connection: Connection, minion: MinionId, now: float) -> list[do.Effect]:
        """A connection is over: whoever waited for it need not wait any longer."""
        return self._rule(minion, self._doubles.ended(minion, connection), now)

    def tick(self, now: float) -> list[do.Effect]:
        """Time has passed."""
        return [effect for minion, ruling in self._doubles.late(now) for effect in self._rule(minion, ruling, now)]

    def decided(self, minion: MinionId) -> None:
        """An operator accepted a key of this id: what was counted against it is over."""
        self._doubles.forget(minion)

    # inside

    def _rule(self, minion: MinionId, ruling: Ruling | None, now: float) -> list[do.Effect]:
        if ruling is None:
            return []
        newcomer = self._doubles.take(minion)
        row = self._keys.accepted(minion)
        if newcomer is None or row is None:
            return []
        match ruling:
            case Ruling.ALONE:
                return self._welcome(row, newcomer.connection, newcomer.hello, now)
            case Ruling.STALE:
                return [do.Drop(newcomer.connection, "an older connection of the same minion")]
            case Ruling.DOUBLE:
                return self._quarantine(row, _two_answer(row, newcomer), now)

    def _welcome(self, row: Minion, connection: Connection, hello: Hello, now: float) -> list[do.Effect]:
        if self._doubles.turned(row, hello, now):
            return self._quarantine(row, f"two hosts took turns with this key, {TURNS} times within 10 minutes", now)
        was_up = self._fleet.get(row.id) is not None
        older = self._fleet.add(row.id, connection, now, hello.start)
        self._fleet.tell(row.id, hello.load, now)
        highest = max(row.highest, row.start, hello.start)
        effects: list[do.Effect] = [self._keys.put(structs.replace(
            row, start=hello.start, connection=hello.connection, version=hello.version, facts=hello.facts,
            last_seen=None, boot_id=hello.boot_id, highest=highest, strange=strange(row, hello),
            trusts=self._rotation.trusted(row)))]
        if older is not None:
            effects.append(do.Drop(older, "replaced by a newer connection"))
        if not was_up:
            effects.append(do.Emit(do.MinionUp(row.id)))
        if behind(row, hello):
            effects.append(do.Emit(do.MinionBehind(row.id, hello.start, highest)))
        return [*effects, do.Send(connection, Welcome(
            master=self._rotation.master, time=now, return_limit=self._return_limit, known_as=row.id, start=highest,
            next_key=self._rotation.next_key or UNSET))]

    def _quarantine(self, row: Minion, why: str, now: float) -> list[do.Effect]:
        """Nobody gets anything with this key any more; what is open stays as it is."""
        effects: list[do.Effect] = [
            *self._keys.drop_next(row),
            self._keys.put(structs.replace(row, state="quarantined", reason=why, last_seen=now)),
            do.DropKey(row.key), do.Emit(do.KeyChanged(row.id, "quarantined", why))]
        presence = self._fleet.get(row.id)
        if presence is not None:
            effects += self._gone(presence.connection, row.id, now, "its key is in quarantine")
        return effects


def _two_answer(row: Minion, newcomer: Newcomer) -> str:
    hello = newcomer.hello
    return (f"two hosts answer with this key: {_whence(row.facts, row.boot_id, row.start)}, and "
            f"{_whence(hello.facts, hello.boot_id, hello.start)}")


def _whence(facts: Raw, boot_id: str, start: int) -> str:
    """What an operator finds a host by, as far as it says: its name, addresses, boot and start."""
    said = _said(facts)
    addresses = said.get("addresses")
    shown = [str(address)[:LONGEST] for address in addresses[:ADDRESSES]] if isinstance(addresses, list) else []
    at = f" at {' '.join(shown)}" if shown else ""
    return f"{str(said.get('host', 'one'))[:LONGEST]}{at} (boot {boot_id[:SHOWN]}, start {start})"


def _said(facts: Raw) -> dict[str, Any]:
    try:
        said = unpack(facts)
    except CodecError:
        return {}
    return said if isinstance(said, dict) else {}
