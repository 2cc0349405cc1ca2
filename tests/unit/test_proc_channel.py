"""Frames and messages between agent and spawner."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from common.proc import channel
from common.proc.channel import ChannelError, Joiner


def joined(parts: list[bytes]) -> list[dict[str, Any]]:
    joiner = Joiner()
    return [message for part in parts if (message := joiner.feed(part)) is not None]


@pytest.mark.parametrize("size", [0, 1, channel.FRAME - 20, channel.FRAME, 10 * channel.FRAME])
def test_messages_of_all_sizes(size: int) -> None:
    message = {"text": "ä" * size}
    parts = channel.frames(message)
    assert all(len(part) <= channel.FRAME + 1 for part in parts)
    assert joined(parts + parts) == [message, message]


@pytest.mark.parametrize("bad", [b"?x", b".", b".{", b".[]", b".\xff", b"." + b"[" * 100_000])
def test_what_is_no_message(bad: bytes) -> None:
    with pytest.raises(ChannelError):
        Joiner().feed(bad)


def test_a_message_without_end_is_refused() -> None:
    parts = [b"+" + b" " * channel.FRAME] * (2 + channel.MESSAGE_LIMIT // channel.FRAME)
    with pytest.raises(ChannelError):
        joined(parts)


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_descriptors_travel_with_the_last_frame() -> None:
    left, right = pair()
    reader, writer = os.pipe()
    with left, right:
        channel.send(left, {"started": "x"}, (reader,))
        frame, fds, _, _ = socket.recv_fds(right, channel.FRAME + 1, 1)
        assert Joiner().feed(frame) == {"started": "x"}
        os.write(writer, b"hi")
        assert os.read(fds[0], 2) == b"hi"
    for fd in (reader, writer, *fds):
        os.close(fd)


def test_an_end_is_an_end() -> None:
    left, right = pair()
    with right:
        with left:
            channel.send(left, {"a": 1})
        joiner = Joiner()
        assert channel.receive(right, joiner) == {"a": 1}
        assert channel.receive(right, joiner) is None


def test_a_reset_is_an_end_too() -> None:
    """Killed with our words unread: the kernel says ECONNRESET."""
    left, right = pair()
    with right:
        with left:
            channel.send(right, {"unread": 1})
        assert channel.receive(right, Joiner()) is None
