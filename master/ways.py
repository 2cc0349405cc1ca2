"""The ways out of the master: the bus, and connection 0, at whose other end is its own host."""

from __future__ import annotations

import logging
from typing import Protocol

from common.codec import CodecError, encode
from common.link import Connection, Hub, Key
from common.log import limited
from common.messages import Message
from master.core.core import LOCAL

_log = logging.getLogger("jr.master")


class LocalHost(Protocol):
    """The master's own host, at the other end of connection 0."""

    def deliver(self, message: Message) -> None:
        """A message of the master for its own host."""

    def restart(self) -> None:
        """The core was rebuilt: say again what is held."""


class Ways:
    """Where messages leave. Until it is open nothing does."""

    def __init__(self) -> None:
        self._hub: Hub | None = None
        self._host: LocalHost | None = None

    def open(self, hub: Hub, host: LocalHost) -> None:
        """The two ways out."""
        self._hub, self._host = hub, host

    def rebind(self, hub: Hub) -> None:
        """There is another hub."""
        self._hub = hub

    def send(self, connection: Connection, message: Message) -> None:
        """Send if somebody is there; what matters is sent again until it is answered."""
        if connection == LOCAL and self._host is not None:
            self._host.deliver(message)
        elif self._hub is not None:
            try:
                self._hub.send(connection, encode(message))
            except CodecError as error:
                limited(_log, "send").error("%s", error, extra={"action": "send.failed"})

    def cut(self, connection: Connection) -> None:
        """End one connection of the bus."""
        if self._hub is not None and connection != LOCAL:
            self._hub.drop(connection)

    def cut_key(self, key: Key) -> None:
        """End all connections of a key."""
        if self._hub is not None:
            self._hub.drop_key(key)

    def key_of(self, connection: Connection) -> Key | None:
        """The key behind a connection of the bus; None when it is gone."""
        return None if self._hub is None else self._hub.key_of(connection)

    def restart_host(self) -> None:
        """The core was rebuilt, and knows no more what the master's own host holds."""
        if self._host is not None:
            self._host.restart()
