"""What both ends of a ZeroMQ link share: contexts, options, reading through the loop, the monitor, the shears."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import enum
import functools
import itertools
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable

import zmq

from common.keys import KeyPair
from common.link import Key
from common.log import limited

BATCH = 200
"""Messages read before the loop gets its turn again."""
HANDSHAKE_SECONDS = 15
"""The default of 30 s keeps strangers too long; 1 s made a storm of 10,000 redo 42 % of its handshakes."""
_WIRE_OVERHEAD = 64
"""Bytes that CURVE adds to a frame (33), rounded up: the limit of libzmq counts them, ours does not."""
_EVENT = struct.Struct("=Hi")
_TCP_INFO_SIZE = 136
"""Bytes of Linux's struct tcp_info up to and with `tcpi_bytes_received`, which is there since 4.1."""

_log = logging.getLogger("jr.link")


class Event(enum.IntFlag):
    """The monitor's events that jr looks at."""

    ACCEPTED = zmq.EVENT_ACCEPTED
    CLOSED = zmq.EVENT_CLOSED
    DISCONNECTED = zmq.EVENT_DISCONNECTED
    SUCCEEDED = zmq.EVENT_HANDSHAKE_SUCCEEDED
    FAILED_AUTH = zmq.EVENT_HANDSHAKE_FAILED_AUTH
    FAILED_PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    FAILED_NO_DETAIL = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


def warn(action: str, message: str, error: BaseException | None = None) -> None:
    """Log what others can cause at will: one line a minute for each action."""
    limited(_log, action).warning(message, extra={"action": action}, exc_info=error)


@functools.cache
def _seed() -> None:
    """Seed libc's rand(), once and before the first socket: libzmq takes routing ids from it, and does not seed it."""
    ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """A context of one's own; its maker ends it with `term()` after closing its sockets."""
    _seed()
    return zmq.Context(io_threads=1)


@functools.cache
def line_context() -> zmq.Context[zmq.Socket[bytes]]:
    """The context of all lines of this process. It lasts as long as the process.

    A context for each line would have to be ended with it, and that waits for a name server that does not answer.
    """
    context = new_context()
    context.set(zmq.MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT))
    return context


def endpoint(host: str, port: int) -> str:
    """The ZeroMQ address of a TCP port; port 0 lets the system choose."""
    return f"tcp://{shown(host, port or '*')}"


def shown(host: str, port: int | str) -> str:
    """A host and a port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason(error: zmq.ZMQError) -> str:
    """Why libzmq could not do something, as the end of an error line."""
    return zmq.strerror(error.errno or 0).lower()


def apply_options(sock: zmq.Socket[bytes], host: str, queue: int, max_frame: int) -> None:
    """The options of either end (the table in reliability research says why); before bind or connect."""
    sock.setsockopt(zmq.LINGER, 0)
    # Only for literal IPv6 addresses: a name such as localhost would else resolve to ::1 alone.
    sock.setsockopt(zmq.IPV6, int(":" in host))
    sock.setsockopt(zmq.SNDHWM, queue)
    sock.setsockopt(zmq.RCVHWM, queue)
    sock.setsockopt(zmq.MAXMSGSIZE, max_frame + _WIRE_OVERHEAD)
    sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_SECONDS * 1000)
    sock.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
    sock.setsockopt(zmq.HEARTBEAT_TTL, 30_000)
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 60)
    sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 10)
    sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    sock.setsockopt(zmq.TCP_MAXRT, 60_000)


def as_server(sock: zmq.Socket[bytes], pair: KeyPair, domain: bytes) -> None:
    """CURVE, as the end that proves the secret of `pair` and asks the ZAP handler about everybody."""
    sock.setsockopt(zmq.CURVE_SERVER, 1)
    sock.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode("ascii"))
    sock.setsockopt(zmq.ZAP_DOMAIN, domain)


def as_client(sock: zmq.Socket[bytes], pair: KeyPair, server_key: Key) -> None:
    """CURVE, as the end that talks to the owner of `server_key` and to nobody else."""
    sock.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode("ascii"))
    sock.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode("ascii"))
    sock.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode("ascii"))


class Reader:
    """Reads a socket through the loop, `BATCH` messages at a time. What goes wrong with one costs that one alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: zmq.Socket[bytes], read: Callable[[], bool]) -> None:
        """`read` takes one message from the socket and handles it; it returns False when there was none."""
        self._loop = loop
        self._read = read
        self._fd = int(sock.getsockopt(zmq.FD))
        self._closed = False
        self._waiting = False
        loop.add_reader(self._fd, self._drain)
        # What came before add_reader may never be signalled: the descriptor tells changes, not a state.
        self.kick()

    def kick(self) -> None:
        """Look soon. Needed after every send: a send may eat the signal of a message that waits to be read."""
        if not self._waiting and not self._closed:
            self._waiting = True
            self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Stop; to be called before the socket is closed."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)

    def _drain(self) -> None:
        self._waiting = False
        for _ in range(BATCH):
            if self._closed or not self.once():
                return
        self.kick()

    def once(self) -> bool:
        """Read one message and handle it; False when there was none. Raises nothing."""
        try:
            return self._read()
        except Exception as error:  # an owner's callback may raise anything; the others must still be served
            warn("callback.failed", "cannot handle a message", error)
            return True


class Monitor:
    """The events of one socket, told on the loop in the order in which they happened."""

    _numbers = itertools.count()

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: zmq.Socket[bytes], wanted: Event,
        told: Callable[[Event, int], None],
    ) -> None:
        """`told` gets an event and its value: a descriptor, a ZAP status or an error number.

        Raises ZMQError, and leaves nothing, when there is no descriptor for it.
        """
        address = f"inproc://jr.monitor.{next(self._numbers)}"
        sock.monitor(address, int(wanted))
        self._watched = sock
        self._told = told
        try:
            self._events = sock.context.socket(zmq.PAIR)
        except zmq.ZMQError:
            sock.disable_monitor()
            raise
        # Without a limit on purpose: at a limit libzmq's one I/O thread would wait for us, and all links with it. The
        # loop drains it at every turn, and a peer adds no more than its connections.
        self._events.setsockopt(zmq.RCVHWM, 0)
        self._events.setsockopt(zmq.LINGER, 0)
        self._events.connect(address)
        self._closed = False
        self._reader = Reader(loop, self._events, self._read)

    def catch_up(self) -> None:
        """Tell all that has happened until now."""
        while not self._closed and self._reader.once():
            pass

    def close(self) -> None:
        """Stop; to be called before the watched socket is closed."""
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._watched.disable_monitor()
            self._events.close()

    def _read(self) -> bool:
        try:
            event, value = _EVENT.unpack(self._events.recv(zmq.DONTWAIT))
        except zmq.Again:
            return False
        self._events.recv(zmq.DONTWAIT)  # the address, which is the listener's own
        self._told(Event(event), value)
        return True


class Shears:
    """Cuts a TCP connection by its descriptor, never a wrong one, also when no descriptor is left to be had."""

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._spare = os.dup(self._null)

    def cut(self, fd: int, still: Callable[[], bool]) -> None:
        """Shut down what `fd` leads to, if `still()` says that it leads to the right connection.

        The order makes it safe. First the descriptor is copied, then `still` is asked, which reads the monitor to its
        end. libzmq tells the end of a connection before it closes the descriptor; so when no end was told by now, the
        number led to the right connection when it was copied.
        """
        try:
            os.dup2(fd, self._spare, inheritable=False)
        except OSError:
            return  # closed already
        try:
            if still():
                self._shut_down()
        finally:
            os.dup2(self._null, self._spare, inheritable=False)

    def received(self, fd: int, still: Callable[[], bool]) -> int | None:
        """Bytes that ever came over the connection that `fd` leads to, as far as `still()` says that it is the right
        one, as in `cut`. None when it is over, or when the system does not tell.
        """
        try:
            os.dup2(fd, self._spare, inheritable=False)
        except OSError:
            return None
        try:
            return self._count() if still() else None
        finally:
            os.dup2(self._null, self._spare, inheritable=False)

    def descriptors_left(self) -> bool:
        """False when this process is at its limit of open files."""
        try:
            os.close(os.dup(self._null))
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self._spare)
        os.close(self._null)

    def _count(self) -> int | None:
        with contextlib.suppress(OSError):
            connection = socket.socket(fileno=self._spare)
            try:
                told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
            finally:
                connection.detach()
            if len(told) == _TCP_INFO_SIZE:
                return int.from_bytes(told[-8:], sys.byteorder)
        return None

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):  # the peer may have hung up in between
            connection = socket.socket(fileno=self._spare)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()
