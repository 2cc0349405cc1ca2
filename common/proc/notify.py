"""Short notices from supervisors to the agent of their host: datagrams, best effort. The truth lies on the disk."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "notify.sock"
LIMIT = 8 * 1024
"""Bytes of one notice."""


def send(state: Path, notice: dict[str, Any]) -> None:
    """Tell the agent, if there is one that listens. Never blocks and never raises for one that does not."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with _address(state) as address:
            sender.sendto(json.dumps(notice).encode("utf-8"), address)


def listen(state: Path) -> socket.socket:
    """The agent's end, which does not block. Raises OSError. Only the daemon that owns the state folder may call it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        listener.setblocking(False)
        (state / NAME).unlink(missing_ok=True)
        with _address(state) as address:
            listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def receive(listener: socket.socket) -> dict[str, Any] | None:
    """The next notice, an empty one for what is none; None when nothing waits."""
    try:
        data = listener.recv(LIMIT)
    except BlockingIOError:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        notice = json.loads(data)
        if isinstance(notice, dict):
            return notice
    return {}


@contextlib.contextmanager
def _address(state: Path) -> Iterator[str]:
    """The socket's address, by way of the folder's descriptor: an address holds 107 bytes, and a path may be longer."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
