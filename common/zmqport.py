"""One listening port: a ROUTER, its peers, and the proof of who sent each frame. It knows keys, but no messages.

How a frame is tied to a TCP connection, so that this one and no other can be cut:

* The monitor tells which descriptor was accepted and which is closed. libzmq tells the end before it closes one.
* Every admission through ZAP gets a number that goes up, and the frames carry it in their User-Id.
* A peer remembers how many admissions there were before it was accepted. A frame with the descriptor of a peer belongs
  to it only when its admission is later; an earlier one was of a connection that had the same descriptor before. It is
  exact because the monitor is read to its end before any admission.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from dataclasses import dataclass
from typing import Protocol

import zmq

from common import clock
from common.admissions import Admission, Admissions
from common.backlog import Backlog, Depot
from common.errors import JrError
from common.keys import KeyPair
from common.link import Key
from common.pressure import Pressure
from common.zap import Refusal
from common.zmqbase import Event, Monitor, Reader, Shears, apply_options, as_server, endpoint, reason, shown, warn

_WANTED = Event.ACCEPTED | Event.DISCONNECTED | Event.FAILED_PROTOCOL | Event.FAILED_NO_DETAIL
"""Not the failures to accept: at the limit of descriptors libzmq tells thousands a second."""
_BACKLOG = 4096
UNREAD = 16
"""Frames' worth of bytes. libzmq hands out whole messages, and would keep the parts of one that never ends."""
_STEP = 32 * 1024 * 1024
"""Bytes by which the process grows until its connections are looked at for such a message."""
_LOOKING = 60.0
"""Seconds for which they are."""
_RESERVE = 256
"""Descriptors left to the rest of the process."""
_SHED = 32
"""Connections cut at once when the process is out of descriptors."""
_SLACK = 5.0
"""Seconds after which a cut connection has surely been noticed."""
_LIMIT_BACK = 60.0
"""Seconds after such a cut until the port takes its full number again."""


@dataclass(slots=True, eq=False)
class Peer:
    """One TCP connection."""

    fd: int
    born: int
    """How many admissions there were before it was accepted."""
    since: float
    """Boot time when it was accepted; later, of its last frame."""
    route: bytes = b""
    user_id: str = ""
    admission: Admission | None = None
    """Set by its first frame."""
    cut: bool = False
    name: int = 0
    """What the owner of the port calls it."""
    backlog: Backlog | None = None
    """What waits for room in its queue, once that was full."""
    mark: tuple[float, int] | None = None
    """`since`, and the bytes that had come over it, when they were last counted after a frame."""


class PortEvents(Protocol):
    """What a port tells the hub."""

    def admit(self, key: Key, address: str) -> str | Refusal:
        """May this key connect? Its owner's name if so."""

    def received(self, peer: Peer, frame: bytes) -> None:
        """A frame of a peer; its admission is set."""

    def left(self, peer: Peer) -> None:
        """A connection that had sent a frame is over; told from the loop, never from inside a call to the port."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and as whom."""

    host: str
    port: int
    pair: KeyPair
    domain: bytes
    """Tells the ZAP handler which port it is."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """What one port allows."""

    frame: int
    """Bytes in one frame."""
    queue: int
    """Frames for one connection that wait inside libzmq, in each direction."""
    silence: float
    """Seconds from being accepted to the end of the first frame."""
    idle: float | None = None
    """Seconds between frames; None is for ever, which libzmq's own heartbeats then end."""
    connections: int | None = None
    """None is what the limit of open files leaves."""
    patient: bool = False
    """Whether frames that find the queue of a connection full wait for room."""
    unread: int | None = None
    """Bytes that may come over a connection without making a whole message; None is what `UNREAD` frames take."""


class Port:
    """One ROUTER and its connections."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: zmq.Context[zmq.Socket[bytes]], place: Place,
        events: PortEvents, limits: PortLimits,
    ) -> None:
        """Listen at `place`. Raises JrError when that cannot be."""
        self._loop = loop
        self._events = events
        self._limits = limits
        self._most = self._room = limits.connections or _descriptor_room()
        self._full_again = 0.0
        self._unread = limits.unread or UNREAD * limits.frame
        self._pressure = Pressure(min(_STEP, 2 * self._unread), _LOOKING)
        self._admissions = Admissions()
        self._depot = Depot()
        self._peers: dict[int, Peer] = {}
        self._silent: dict[int, Peer] = {}
        self._routes: dict[bytes, Peer] = {}
        self._closed = False
        with contextlib.ExitStack() as undo:
            self._shears = Shears()
            undo.callback(self._shears.close)
            try:
                self._socket = context.socket(zmq.ROUTER)
                undo.callback(self._socket.close)
                self._monitor = Monitor(loop, self._socket, _WANTED, self._seen)
                undo.callback(self._monitor.close)
                self.number = _listen(self._socket, place, limits)
            except zmq.ZMQError as error:
                raise JrError(f"cannot listen on {shown(place.host, place.port)}: {reason(error)}") from error
            self._reader = Reader(loop, self._socket, self._read)
            undo.pop_all()

    def judge(self, key: Key, address: str) -> str | Refusal:
        """The answer to ZAP: the User-Id of all frames that follow, or why there will be none."""
        # A connection is accepted before its handshake: this files it with the right number of admissions.
        self._monitor.catch_up()
        who = self._events.admit(key, address)
        if isinstance(who, Refusal):
            return who
        return self._admissions.give(key, who, address, clock.boottime())

    def send(self, peer: Peer, frame: bytes) -> bool:
        """Hand over one frame, or keep it until there is room; False when the peer is gone or too much waits for it."""
        if peer.cut or self._closed:
            return False
        if not peer.backlog:
            try:
                return self._hand_over(peer, frame)
            except zmq.Again:
                if not self._limits.patient:
                    return False
                if peer.backlog is None:
                    peer.backlog = Backlog(self._loop, self._depot, lambda waiting: self._retry(peer, waiting))
        return peer.backlog.add(frame)

    def _hand_over(self, peer: Peer, frame: bytes) -> bool:
        """Raises zmq.Again when there is no room; False when the peer is gone."""
        self._reader.kick()
        try:
            self._socket.send(peer.route, zmq.SNDMORE | zmq.DONTWAIT)
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            raise
        except zmq.ZMQError:
            return False
        return True

    def _retry(self, peer: Peer, frame: bytes) -> bool:
        try:
            self._hand_over(peer, frame)
        except zmq.Again:
            return False
        return True  # or nobody is there any more, which the monitor tells

    def cut(self, peer: Peer) -> None:
        """End one connection now; `left` is told soon if it had joined."""
        if not peer.cut and not self._closed:
            peer.cut = True
            self._forget(peer)
            self._shears.cut(peer.fd, lambda: self._is_current(peer))

    def cut_silent(self, key: Key) -> None:
        """End the connections of a key that have not sent a frame.

        Which these are is known only up to what happened at the same moment: one of another key may be cut too while
        it is between its handshake and its first frame, and comes back.
        """
        newest = self._admissions.revoke(key)
        for peer in [peer for peer in self._silent.values() if peer.born < newest]:
            self.cut(peer)

    def sweep(self) -> None:
        """Once a second: end what says nothing, and make room when descriptors are short."""
        now = clock.boottime()
        self._end_silent(now)
        if self._pressure.felt(now):
            self._end_endless()
        if not self._shears.descriptors_left():
            warn("link.starved", "cannot accept connections: too many open files")
            self._room, self._full_again = max(1, self._crowd() - _SHED), now + _LIMIT_BACK
            self._make_room()
        elif now >= self._full_again:
            self._room = self._most

    def _end_endless(self) -> None:
        """End the connections over which bytes come and come, and never a whole message."""
        for peer in [peer for peer in self._peers.values() if not peer.cut]:
            count = self._shears.received(peer.fd, lambda peer=peer: self._is_current(peer))  # type: ignore[misc]
            if count is None:
                continue
            if peer.mark is None or peer.mark[0] != peer.since:
                peer.mark = peer.since, count
            elif count - peer.mark[1] > self._unread:
                self._refuse(peer, "link.endless", "a message does not end; its connection is cut")

    def close(self) -> None:
        """End all connections and free the port; nothing is told."""
        self._closed = True
        for peer in self._routes.values():
            if peer.backlog is not None:
                peer.backlog.drop()
        self._reader.close()
        self._monitor.close()
        self._socket.close()
        self._shears.close()

    # What the monitor tells. It may be read in the middle of anything: here things are filed, and nothing is done.

    def _seen(self, event: Event, value: int) -> None:
        if event is Event.ACCEPTED:
            self._ended(value)
            self._peers[value] = self._silent[value] = Peer(value, self._admissions.count, clock.boottime())
            if self._crowd() == self._room + 1:
                self._loop.call_soon(self._make_room)
        elif event is Event.DISCONNECTED:
            self._ended(value)
        else:
            warn("handshake.failed", "a connection was no peer of ours")

    def _ended(self, fd: int) -> None:
        peer = self._peers.pop(fd, None)
        if peer is not None and not peer.cut:
            peer.cut = True
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        """Forget a peer, but for its descriptor: that one stays taken until the monitor tells its end."""
        if self._silent.get(peer.fd) is peer:
            del self._silent[peer.fd]
        if peer.backlog is not None:
            peer.backlog.drop()
        if peer.route:
            self._routes.pop(peer.route, None)
            self._loop.call_soon(self._tell_left, peer)

    def _tell_left(self, peer: Peer) -> None:
        if not self._closed:
            self._events.left(peer)

    def _is_current(self, peer: Peer) -> bool:
        self._monitor.catch_up()
        return self._peers.get(peer.fd) is peer

    # Frames.

    def _read(self) -> bool:
        try:
            route = self._socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return False
        frame = self._socket.recv(zmq.DONTWAIT, copy=False)
        user_id, fd = _property(frame, "User-Id"), frame.get(zmq.SRCFD)
        peer = self._routes.get(route)
        if peer is None or peer.user_id != user_id or peer.fd != fd:
            peer = self._newcomer(user_id, fd)
        fault = self._fault(peer, route, frame)
        while frame.more:  # not kept: a ROUTER hands out the parts of a message one after the other
            frame = self._socket.recv(zmq.DONTWAIT, copy=False)
        if peer is None:
            return True
        if fault:
            self._refuse(peer, *fault)
            return True
        if not peer.route:
            self._join(peer, route)
        peer.since = clock.boottime()
        self._events.received(peer, frame.bytes)
        return True

    def _newcomer(self, user_id: str, fd: int) -> Peer | None:
        """The peer that sent a first frame, or None when nobody is there who has a right to be heard."""
        self._monitor.catch_up()
        peer = self._peers.get(fd)
        if peer is None or peer.cut or peer.route:
            return None  # a last word of a connection that is over
        number = self._admissions.number(user_id)
        if number is not None and number <= peer.born:
            return None  # a last word of the connection that had this descriptor before
        admission = None if number is None else self._admissions.take(number)
        if admission is None:
            self._refuse(peer, "link.unadmitted", "a connection speaks that was never admitted, or is no more")
            return None
        peer.user_id, peer.admission = user_id, admission
        return peer

    def _fault(self, peer: Peer | None, route: bytes, frame: zmq.Frame) -> tuple[str, str] | None:
        """What a frame must not be: the kind for the log and a sentence."""
        if frame.more:
            return "link.multipart", "a message has several parts; its connection is cut"
        if len(frame) > self._limits.frame:
            return "link.oversized", "a frame is above the limit; its connection is cut"
        if peer is not None and not peer.route and (not _is_given(route) or _property(frame, "Identity")):
            return "identity.claimed", "a peer claims a routing id; its connection is cut"
        return None

    def _join(self, peer: Peer, route: bytes) -> None:
        peer.route = route
        self._routes[route] = peer
        self._silent.pop(peer.fd, None)

    def _refuse(self, peer: Peer, kind: str, why: str) -> None:
        warn(kind, why)
        self.cut(peer)

    # Room.

    def _crowd(self) -> int:
        return len(self._silent) + len(self._routes)

    def _make_room(self) -> None:
        """Cut what is above the limit: who has been silent longest, or the newest one when all have spoken."""
        while not self._closed and self._crowd() > self._room:
            self.cut(next(iter(self._silent.values())) if self._silent else next(reversed(self._routes.values())))
            warn("link.crowded", "too many connections; one is cut")

    def _end_silent(self, now: float) -> None:
        for peer in [peer for peer in self._silent.values() if peer.since + self._limits.silence <= now]:
            self.cut(peer)
        # Whoever was admitted before that was accepted even earlier, so nobody can use these any more.
        self._admissions.expire(now - self._limits.silence - _SLACK)
        if self._limits.idle is not None:
            for peer in [peer for peer in self._routes.values() if peer.since + self._limits.idle <= now]:
                self.cut(peer)


def _listen(sock: zmq.Socket[bytes], place: Place, limits: PortLimits) -> int:
    """Bind; the number of the port. Raises ZMQError."""
    apply_options(sock, place.host, limits.queue, limits.frame)
    sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
    sock.setsockopt(zmq.BACKLOG, _BACKLOG)
    as_server(sock, place.pair, place.domain)
    sock.bind(endpoint(place.host, place.port))
    bound = str(sock.get_string(zmq.LAST_ENDPOINT))
    return int(bound.rpartition(":")[2])


def _is_given(route: bytes) -> bool:
    """False for a routing id that has not the form of those that libzmq gives out.

    The property `Identity` alone would not tell: not every claim can be read in it. One in the form of a given id gets
    its owner nothing: where ids begin is random (`zmqbase`), and they are told to nobody.
    """
    return len(route) == 5 and route[0] == 0


def _property(frame: zmq.Frame, name: str) -> str:
    """A property of the connection that a frame came through; empty when it has none."""
    try:
        return str(frame.get(name))
    except (zmq.ZMQError, UnicodeDecodeError):
        return ""


def _descriptor_room() -> int:
    """How many connections the limit of open files leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(soft - _RESERVE, soft // 2)
