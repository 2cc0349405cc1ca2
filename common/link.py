"""What a transport must offer. A hub serves many lines; a line leads to one hub. Frames in, frames out, nothing more.

Implementations: `zmqline` and `zmqhub` for real, `memlink` for tests; all pass `tests/contract/test_links.py`.
Callbacks run on the loop that owns the link, one at a time; an exception inside one never ends the link.
"""

from __future__ import annotations

import enum
import re
from typing import NewType, Protocol

from common.ids import MinionId

Connection = NewType("Connection", int)
"""One socket of one minion, as the hub numbers them; never used twice within a process."""

Key = NewType("Key", str)
"""A CURVE public key, 40 characters of Z85."""

KEY_TEXT = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
"""What a key looks like, for those who must not load what computes with one."""


class Closed(enum.Enum):
    """Why a line is over. A line never comes back: the agent makes a fresh one."""

    REFUSED = "refused"
    """The hub knows this key not, or no longer."""
    FAILED = "failed"
    """Nobody answered, or a hub that has no time for us."""
    STRANGE = "strange"
    """Somebody answered and hung up in the handshake: no hub, one with another key, or one without room."""
    LOST = "lost"
    """It was open and broke."""


class HubEvents(Protocol):
    """What a hub tells its owner."""

    def received(self, connection: Connection, minion: MinionId, frame: bytes) -> None:
        """A frame from a minion whose key the transport has proved."""

    def gone(self, connection: Connection) -> None:
        """The connection is over. Told once for each connection that ever received a frame, as soon as it is seen."""


class Hub(Protocol):
    """The master's end."""

    def send(self, connection: Connection, frame: bytes) -> bool:
        """Hand over one frame without waiting; False when the connection is gone or too much waits for it."""

    def drop(self, connection: Connection) -> None:
        """Cut one connection now; no other is touched."""

    def drop_key(self, key: Key) -> None:
        """Cut every connection of a key now, also one that has not sent a frame."""

    def key_of(self, connection: Connection) -> Key | None:
        """The key that the other end has proved to have; None when the connection is gone."""

    def close(self) -> None:
        """Cut all and free the port."""


class Doorkeeper(Protocol):
    """Decides who may connect to the main port. Called in the handshake: it must answer from memory."""

    def admit(self, key: Key) -> MinionId | None:
        """The one minion that owns this accepted key, or None."""


class EnrolEvents(Protocol):
    """Answers claims at the enrolment port."""

    def claimed(self, key: Key, frame: bytes, address: str) -> bytes | None:
        """The answer to one frame of a key that the transport has proved, or None to say nothing."""


class LineEvents(Protocol):
    """What a line tells its owner."""

    def opened(self) -> None:
        """The handshake succeeded: the other end is the master whose key we were given."""

    def received(self, frame: bytes) -> None:
        """A frame from the master."""

    def closed(self, why: Closed) -> None:
        """The line is over; told once, and nothing comes after it. Not told after `close()`."""


class Line(Protocol):
    """The minion's end: one socket, one connection."""

    def send(self, frame: bytes) -> bool:
        """Hand over one frame without waiting; False when the line is not open or too much waits for it."""

    def close(self) -> None:
        """End it; no callback comes after this."""
