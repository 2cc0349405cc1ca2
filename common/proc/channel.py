"""Messages between an agent and its spawner: JSON over a SEQPACKET socket, cut into frames, with descriptors beside.

The socket keeps the edges of frames; a table of functions is longer than one, so a message is a number of them.
"""

from __future__ import annotations

import json
import socket
from typing import Any

FRAME = 64 * 1024
"""Bytes of a frame: well below what a socket buffer takes at once."""
MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of a message: a table of some ten thousand functions."""
_MORE = b"+"
_LAST = b"."


class ChannelError(Exception):
    """The other side does not keep to the protocol."""


def frames(message: dict[str, Any]) -> list[bytes]:
    """A message as frames, to be sent in this order."""
    data = json.dumps(message).encode("ascii")
    parts = [data[at:at + FRAME] for at in range(0, len(data), FRAME)]
    return [_MORE + part for part in parts[:-1]] + [_LAST + parts[-1]]


class Joiner:
    """Frames to messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, frame: bytes) -> dict[str, Any] | None:
        """The message that this frame completes; None when more follow. Raises ChannelError."""
        self._held += frame[1:]
        if frame[:1] == _MORE and len(self._held) <= MESSAGE_LIMIT:
            return None
        if frame[:1] != _LAST:
            raise ChannelError("a frame is neither the last of its message nor one in front of it")
        data, self._held = bytes(self._held), bytearray()
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"a message is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise ChannelError("a message is no map")
        return message


def send(link: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send on a blocking socket; `fds` go with the last frame. Raises OSError."""
    *first, last = frames(message)
    for frame in first:
        link.sendall(frame)
    if fds:
        socket.send_fds(link, [last], list(fds))
    else:
        link.sendall(last)


def receive(link: socket.socket, joiner: Joiner) -> dict[str, Any] | None:
    """The next message of a blocking socket; None when the other side is gone, however it went.

    Raises ChannelError, and OSError for other trouble.
    """
    while True:
        try:
            frame = link.recv(FRAME + 1)
        except ConnectionResetError:
            return None  # killed with our words unread: the same as an end
        if not frame:
            return None
        if (message := joiner.feed(frame)) is not None:
            return message
