"""The ZAP handler (RFC 27): the one place that says who may connect. Served on the loop, like everything else.

libzmq lets everybody in when no handler answers. So the handler is bound before any port, one that fails answers "no",
and what it lets in carries a secret that `zmqport` asks of every frame.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable

import zmq

from common.keys import key_from_raw
from common.link import Key
from common.zmqbase import Reader, warn

_ADDRESS = "inproc://zeromq.zap.01"
_FIELDS = 9
"""Route, empty, version, request, domain, address, identity, mechanism, key."""


class Refusal(enum.Enum):
    """Why somebody may not connect, as the status that the other side gets."""

    UNKNOWN = b"400"
    """The key is not accepted."""
    BUSY = b"500"
    """Too often, or a fault of ours: the same key may succeed later."""


Judge = Callable[[Key, str], "str | Refusal"]
"""Asked with a key that is proved and the address it came from; answers with the User-Id of its frames."""


class ZapHandler:
    """Answers the handshakes of every port of one context, each through the judge of its domain."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._judges: dict[bytes, Judge] = {}
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_ADDRESS)
        self._reader = Reader(loop, self._socket, self._answer_one)

    def serve(self, domain: bytes, judge: Judge) -> None:
        """Let `judge` answer for the port of `domain`; without one everybody is refused."""
        self._judges[domain] = judge

    def close(self) -> None:
        """End it. Without a handler libzmq lets everybody in: close the ports first."""
        self._reader.close()
        self._socket.close()

    def _answer_one(self) -> bool:
        try:
            request = self._socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return False
        if len(request) >= 4:  # it comes from libzmq itself, but an answer needs at least a route and a number
            route, _, version, number = request[:4]
            status, user_id = self._judge(request)
            self._socket.send_multipart([route, b"", version, number, status, b"", user_id, b""], zmq.DONTWAIT)
        return True

    def _judge(self, request: list[bytes]) -> tuple[bytes, bytes]:
        """The status and the User-Id for a request; whatever goes wrong, an answer that lets nobody in."""
        try:
            if len(request) != _FIELDS or request[2] != b"1.0" or request[7] != b"CURVE":
                return Refusal.UNKNOWN.value, b""
            verdict = self._judges[request[4]](key_from_raw(request[8]), request[5].decode("ascii"))
        except Exception as error:  # the judge calls its owner; a handshake without an answer would hang
            warn("zap.failed", "cannot judge a handshake, so it is refused", error)
            return Refusal.BUSY.value, b""
        if isinstance(verdict, Refusal):
            return verdict.value, b""
        return b"200", verdict.encode("ascii")
