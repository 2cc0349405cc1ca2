"""The minion's end of the bus: one DEALER for one connection. When it is over the agent makes a fresh one."""

from __future__ import annotations

import asyncio
import contextlib
import errno

import zmq

from common.backlog import Backlog, Depot
from common.codec import ENROL_LIMIT, FRAME_LIMIT
from common.errors import JrError, UsageError
from common.keys import KeyPair
from common.link import Closed, Key, LineEvents
from common.zmqbase import (
    Event,
    Monitor,
    Reader,
    apply_options,
    as_client,
    endpoint,
    line_context,
    reason,
    shown,
    warn,
)

GIVE_UP = 20.0
"""Seconds until a line that did not open has failed: a little more than libzmq gives a handshake."""
_QUEUE = 256
_WANTED = (
    Event.SUCCEEDED | Event.FAILED_AUTH | Event.FAILED_PROTOCOL | Event.FAILED_NO_DETAIL | Event.DISCONNECTED
    | Event.CLOSED
)
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
"""What the host has too little of: no fault of the address, and another try may succeed."""
_NOT_ACCEPTED = 400
"""The ZAP status for a key that the hub does not know."""


class ZmqLine:
    """A `Line` over ZeroMQ; made by `open_line` and `open_enrol`, inside the running loop."""

    def __init__(
        self, host: str, port: int, server_key: Key, pair: KeyPair, events: LineEvents, max_frame: int, give_up: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self._events = events
        self._open = False
        self._over = False
        with contextlib.ExitStack() as undo:
            try:
                self._socket = line_context().socket(zmq.DEALER)
                undo.callback(self._socket.close)
                self._monitor = Monitor(loop, self._socket, _WANTED, self._seen)
                undo.callback(self._monitor.close)
                self._connect(host, port, server_key, pair, max_frame)
            except zmq.ZMQError as error:
                kind = JrError if error.errno in _SHORT else UsageError
                raise kind(f"cannot connect to {shown(host, port)}: {reason(error)}") from error
            self._reader = Reader(loop, self._socket, self._read)
            undo.pop_all()
        self._backlog = Backlog(loop, Depot(), self._hand_over)
        self._timer = loop.call_later(give_up, self._give_up)

    def send(self, frame: bytes) -> bool:
        """See `Line`."""
        if not self._open or self._over:
            return False
        return (not self._backlog and self._hand_over(frame)) or self._backlog.add(frame)

    def _hand_over(self, frame: bytes) -> bool:
        """Whether there was room. A line that is over is told by the monitor."""
        self._reader.kick()
        try:
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """See `Line`."""
        if not self._over:
            self._over = True
            self._backlog.drop()
            self._timer.cancel()
            self._reader.close()
            self._monitor.close()
            self._socket.close()

    def _connect(self, host: str, port: int, server_key: Key, pair: KeyPair, max_frame: int) -> None:
        apply_options(self._socket, host, _QUEUE, max_frame)
        # No second connection on the same socket: after a refusal libzmq would never try again, and its own back-off
        # is the same on every host. No queueing for nobody either.
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        as_client(self._socket, pair, server_key)
        self._socket.connect(endpoint(host, port))

    def _read(self) -> bool:
        try:
            frame = self._socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return False
        if self._socket.getsockopt(zmq.RCVMORE):
            self._end(Closed.LOST)  # a hub of ours sends one part
            return False
        if not self._open:
            self._monitor.catch_up()  # the handshake was told before this frame was read
        if not self._over:
            self._events.received(frame)
        return True

    def _seen(self, event: Event, value: int) -> None:
        if self._over:
            return
        if event is Event.SUCCEEDED:
            self._open = True
            self._timer.cancel()
            self._events.opened()
        elif event is Event.FAILED_AUTH and value == _NOT_ACCEPTED:
            self._end(Closed.REFUSED)
        elif self._open:
            self._end(Closed.LOST)
        else:
            self._end(Closed.FAILED if event in (Event.CLOSED, Event.FAILED_AUTH) else Closed.STRANGE)

    def _give_up(self) -> None:
        try:
            self._end(Closed.FAILED)
        except Exception as error:  # an owner's callback may raise anything, as in `Reader.once`
            warn("callback.failed", "cannot handle the end of a line", error)

    def _end(self, why: Closed) -> None:
        if not self._over:
            self.close()
            self._events.closed(why)


def open_line(
    host: str, port: int, server_key: Key, pair: KeyPair, events: LineEvents, *, give_up: float = GIVE_UP
) -> ZmqLine:
    """A line to the main port. It opens, or is closed within `give_up` seconds.

    Raises UsageError for a bad address, JrError when the host has no descriptor for it.
    """
    return ZmqLine(host, port, server_key, pair, events, FRAME_LIMIT, give_up)


def open_enrol(
    host: str, port: int, server_key: Key, pair: KeyPair, events: LineEvents, *, give_up: float = GIVE_UP
) -> ZmqLine:
    """A line to the enrolment port: the same, with small frames."""
    return ZmqLine(host, port, server_key, pair, events, ENROL_LIMIT, give_up)
