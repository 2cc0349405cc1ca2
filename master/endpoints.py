"""The bus, handed to the master's core: frames come in here, are decoded, and never get further when they do not."""

from __future__ import annotations

import logging

from common import codec
from common.ids import MinionId
from common.link import Connection, Key
from common.log import limited
from common.messages import Occurrences, Offer, Trusts
from master.core.track import Word
from master.shell import Shell

_log = logging.getLogger("jr.master")


class Doors:
    """Everything the hub tells and asks, handed to the core."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._minions: dict[Connection, MinionId] = {}

    def admit(self, key: Key) -> MinionId | None:
        """See `Doorkeeper`."""
        return self._shell.core.keys.admit(key)

    def received(self, connection: Connection, minion: MinionId, frame: bytes) -> None:
        """See `HubEvents`. What does not decode costs its sender the connection."""
        if connection not in self._minions:
            self._minions[connection] = minion
            key = self._shell.ways.key_of(connection)
            if key is not None:
                self._shell.apply(self._shell.core.rotation.used(key, self._shell.clock.now()))
        try:
            message = codec.from_minion.decode(frame)
        except codec.CodecError as error:
            limited(_log, f"codec {minion}").warning("%s", error, extra={"action": "bus.garbage", "minion": minion})
            self._shell.ways.cut(connection)
            return
        # Words about jobs come again until they are answered. Greetings are said once, and their number is bounded.
        if isinstance(message, Word | Occurrences | Offer | Trusts) and self._shell.crowded(minion):
            limited(_log, "full").warning("dropping messages until the disk has caught up: minions repeat them",
                                          extra={"action": "bus.full"})
            return
        self._shell.apply(self._shell.core.received(connection, minion, message, self._shell.clock.now()))

    def gone(self, connection: Connection) -> None:
        """See `HubEvents`."""
        minion = self._minions.pop(connection, None)
        if minion is not None:
            now = self._shell.clock.now()
            self._shell.apply(self._shell.core.gone(connection, minion, now, "disconnected"))

    def ended(self) -> None:
        """The hub was closed, which tells nobody: all connections are over."""
        for connection in list(self._minions):
            self.gone(connection)

    def claimed(self, key: Key, frame: bytes, address: str) -> bytes | None:
        """See `EnrolEvents`."""
        try:
            claim = codec.enrol.decode(frame)
        except codec.CodecError as error:
            limited(_log, "enrol").warning("%s", error, extra={"action": "enrol.garbage"})
            return None
        answer, effects = self._shell.core.keys.claim(key, claim, self._shell.clock.now())
        self._shell.apply(effects)
        return codec.encode(answer)
