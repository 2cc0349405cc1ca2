"""Both ends of a control socket, without the manners."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

from common.control_frames import REQUEST_LIMIT, pack
from common.control_server import Body, Caller, Reply
from common.sockets import address


def raw(path: Path) -> socket.socket:
    """A client that does not keep to the rules."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With Python's own time-out a full queue of connections is an error at once, not a wait.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 10, 0))
    with address(str(path)) as where:
        client.connect(where)
    client.settimeout(10)
    return client


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side hangs up."""
    data = b""
    try:
        while chunk := client.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def frame(body: Any) -> bytes:
    return pack(body, REQUEST_LIMIT)


async def echo(request: Body, caller: Caller, reply: Reply) -> Body:
    return {"got": request, "uid": caller.uid, "name": caller.name, "pid": caller.pid}
