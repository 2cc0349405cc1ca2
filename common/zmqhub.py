"""The master's end of the bus: a main port for accepted keys, an enrolment port for all, a ZAP handler for both."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
from dataclasses import dataclass

from common import clock
from common.admissions import Admission
from common.codec import ENROL_LIMIT, FRAME_LIMIT
from common.errors import StateError
from common.ids import MinionId
from common.keys import KeyPair
from common.link import Connection, Doorkeeper, EnrolEvents, HubEvents, Key
from common.rate import Buckets
from common.zap import Refusal, ZapHandler
from common.zmqbase import new_context, warn
from common.zmqport import Peer, Place, Port, PortLimits

_MAIN = b"jr"
_ENROL = b"jr-enrol"
_SWEEP = 1.0
"""Seconds between two looks at who is silent."""
_ENROL_QUEUE = 4
"""A claim is answered before the next one is sent."""
_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class HubLimits:
    """What strangers and minions may use. The defaults fit 10,000 minions."""

    max_frame: int = FRAME_LIMIT
    queue: int = 256
    """Frames for one connection that wait inside libzmq, in each direction."""
    silence: float = 30.0
    """Seconds until a connection must have sent its first frame: a handshake may take 15 of them."""
    connections: int | None = None
    """On the main port; None is what the limit of open files leaves."""
    connections_of_key: int = 2
    """The old one, of which nobody knows yet that it is dead, and the new one."""
    handshakes_of_key: int = 20
    """In a minute."""
    enrol_connections: int = 256
    enrol_idle: float = 60.0
    """Seconds between two frames on the enrolment port."""
    enrol_of_address: int = 120
    """Handshakes and frames in a minute from one address (IPv6: one /64)."""
    enrol_overall: int = 1200
    """Handshakes and frames in a minute."""


DEFAULT_LIMITS = HubLimits()


class ZmqHub:
    """A `Hub` over ZeroMQ, together with the enrolment port. Made inside the running loop."""

    def __init__(
        self, bind: str, port: int, enrol_port: int, pair: KeyPair, doorkeeper: Doorkeeper, events: HubEvents,
        enrol_events: EnrolEvents, limits: HubLimits = DEFAULT_LIMITS,
    ) -> None:
        """Listen on both ports of the address `bind`; port 0 takes a free one. Raises JrError."""
        self._loop = asyncio.get_running_loop()
        self._main = _MainDoor(doorkeeper, events, limits)
        self._enrol = _EnrolDoor(enrol_events, limits)
        with contextlib.ExitStack() as undo:
            context = new_context()
            undo.callback(context.term)
            # The handler first: a port without one would let everybody in. So it also ends last.
            self._zap = ZapHandler(self._loop, context)
            undo.callback(self._zap.close)
            for door, place in (
                (self._main, Place(bind, port, pair, _MAIN)), (self._enrol, Place(bind, enrol_port, pair, _ENROL)),
            ):
                door.port = Port(self._loop, context, place, door, door.limits)
                undo.callback(door.port.close)
                self._zap.serve(place.domain, door.port.judge)
            self._undo = undo.pop_all()
        self._sweep = self._loop.call_later(_SWEEP, self._look)

    @property
    def port(self) -> int:
        """The number of the main port."""
        return self._main.port.number

    @property
    def enrol_port(self) -> int:
        """The number of the enrolment port."""
        return self._enrol.port.number

    def send(self, connection: Connection, frame: bytes) -> bool:
        """See `Hub`."""
        peer = self._main.peers.get(connection)
        return peer is not None and self._main.port.send(peer, frame)

    def drop(self, connection: Connection) -> None:
        """See `Hub`. What it sent and was not read yet is not told."""
        peer = self._main.peers.get(connection)
        if peer is not None:
            self._main.port.cut(peer)

    def drop_key(self, key: Key) -> None:
        """See `Hub`."""
        for peer in [peer for peer in self._main.peers.values() if _admission(peer).key == key]:
            self._main.port.cut(peer)
        self._main.port.cut_silent(key)

    def key_of(self, connection: Connection) -> Key | None:
        """See `Hub`."""
        peer = self._main.peers.get(connection)
        return None if peer is None else _admission(peer).key

    def close(self) -> None:
        """See `Hub`. Nothing is told after this."""
        self._sweep.cancel()
        self._undo.close()

    def _look(self) -> None:
        self._sweep = self._loop.call_later(_SWEEP, self._look)
        self._main.port.sweep()
        self._enrol.port.sweep()


class _MainDoor:
    """Lets accepted keys in, and tells the hub's owner of their frames."""

    port: Port

    def __init__(self, doorkeeper: Doorkeeper, events: HubEvents, limits: HubLimits) -> None:
        self.limits = PortLimits(limits.max_frame, limits.queue, limits.silence, None, limits.connections, patient=True)
        self.peers: dict[Connection, Peer] = {}
        self._doorkeeper = doorkeeper
        self._events = events
        self._most_of_key = limits.connections_of_key
        self._of_key: dict[Key, list[Peer]] = {}
        self._handshakes: Buckets[Key] = Buckets(limits.handshakes_of_key, 60.0, room=50_000)

    def admit(self, key: Key, address: str) -> str | Refusal:
        minion = self._doorkeeper.admit(key)
        if minion is None:
            return Refusal.UNKNOWN
        if not self._handshakes.take(key, clock.boottime()):
            warn("handshake.throttled", f"minion {minion} connects too often")
            return Refusal.BUSY
        return minion

    def received(self, peer: Peer, frame: bytes) -> None:
        if not peer.name:
            self._welcome(peer)
        self._events.received(Connection(peer.name), MinionId(_admission(peer).who), frame)

    def left(self, peer: Peer) -> None:
        if self.peers.pop(Connection(peer.name), None) is None:
            return
        key = _admission(peer).key
        self._of_key[key].remove(peer)
        if not self._of_key[key]:
            del self._of_key[key]
        self._events.gone(Connection(peer.name))

    def _welcome(self, peer: Peer) -> None:
        """Number a new connection; when its key has too many, the oldest makes room."""
        peer.name = next(_names)
        self.peers[Connection(peer.name)] = peer
        siblings = self._of_key.setdefault(_admission(peer).key, [])
        siblings.append(peer)
        for oldest in [old for old in siblings if not old.cut][: -self._most_of_key]:
            self.port.cut(oldest)


class _EnrolDoor:
    """Lets every key in, seldom, and answers its claims."""

    port: Port

    def __init__(self, events: EnrolEvents, limits: HubLimits) -> None:
        self.limits = PortLimits(
            ENROL_LIMIT, _ENROL_QUEUE, limits.silence, limits.enrol_idle, limits.enrol_connections
        )
        self._events = events
        self._of_address: Buckets[str] = Buckets(limits.enrol_of_address, 60.0)
        self._overall: Buckets[None] = Buckets(limits.enrol_overall, 60.0)

    def admit(self, key: Key, address: str) -> str | Refusal:
        return key if self._allowed(address) else Refusal.BUSY

    def received(self, peer: Peer, frame: bytes) -> None:
        admission = _admission(peer)
        if not self._allowed(admission.address):
            self.port.cut(peer)
            return
        answer = self._events.claimed(admission.key, frame, admission.address)
        if answer is not None:
            self.port.send(peer, answer)

    def left(self, peer: Peer) -> None:
        """Nobody waits for it."""

    def _allowed(self, address: str) -> bool:
        now = clock.boottime()
        # The address first: one that is over its limit must not use up what all share.
        if self._of_address.take(_neighbourhood(address), now) and self._overall.take(None, now):
            return True
        warn("enrol.throttled", "too many claims at the enrolment port; some are turned away")
        return False


def _admission(peer: Peer) -> Admission:
    """The admission of a peer that has sent a frame."""
    if peer.admission is None:
        raise StateError("cannot name a connection: it has sent no frame")
    return peer.admission


def _neighbourhood(address: str) -> str:
    """What counts as one address: for IPv6 the /64, since a host has all of one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
