"""Floods, before a key is proved and after: bounded in memory, and the fleet works meanwhile. R-B24 to R-B26."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import time
from collections.abc import Iterator

import msgpack
import msgspec
import pytest
from msgspec import Raw

from common import codec
from common.codec import encode, pack
from common.ids import Jid, mint
from common.messages import Ack, Enrol, Hello, Offer, Ping, Return, Started
from common.states import State
from tests.lib.cores import FIELDS
from tests.lib.fleet import Fleet, started
from tests.lib.hostile import Peer, port_of, rss
from tests.lib.wait import until

MOST = 200 * 1024 * 1024
"""Bytes that a flood may add to the master: more is a flood that is kept. It has about 60 MiB by itself."""
CURVE = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


@pytest.fixture
def bounded(fleet: Fleet) -> Iterator[None]:
    """The master is the same one afterwards, works, and has not grown by much."""
    pid = fleet.pid("master")
    assert pid is not None
    before = rss(pid)
    yield
    works(fleet)
    assert rss(pid) - before < MOST
    assert fleet.pid("master") == pid


def works(fleet: Fleet) -> None:
    """An accepted minion gets its job and returns it."""
    assert fleet.job("m1", "cmd.run", "echo fine").pair()["stdout"] == "fine\n"


# before a key is proved


def test_strangers_who_say_nothing(fleet: Fleet, bounded: None) -> None:  # R-B24
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(fleet)), 10))
        works(fleet)
        works(fleet)


def test_strangers_who_announce_giants(fleet: Fleet, bounded: None) -> None:  # R-B24
    """Each says that 2 GiB follow, and sends what it can of them until it is cut."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port_of(fleet)), 10) as stranger, contextlib.suppress(OSError):
            stranger.sendall(CURVE)
            stranger.recv(64, socket.MSG_WAITALL)
            stranger.sendall(b"\x06" + struct.pack(">Q", 2**31))
            for _ in range(64):
                stranger.sendall(bytes(1024 * 1024))
            raise AssertionError("it took 64 MiB of a stranger")
    works(fleet)


def test_strangers_who_come_and_go(fleet: Fleet, bounded: None) -> None:  # R-B24
    lines = fleet.log("master").count("\n")
    for number in range(500):
        with socket.create_connection(("127.0.0.1", port_of(fleet)), 10) as stranger, contextlib.suppress(OSError):
            stranger.sendall((CURVE, b"GET / HTTP/1.1\r\n\r\n", bytes(300), b"")[number % 4])
    works(fleet)
    assert fleet.log("master").count("\n") - lines < 20


# after


@pytest.fixture(scope="module")
def evil(fleet: Fleet) -> Iterator[Peer]:
    peer = Peer(fleet, "evil")
    yield peer
    peer.close()


def test_small_frames_without_end_by_one_who_never_reads(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B25
    evil.greet()
    frame = encode(Ping(n=1))
    for number in range(100_000):
        evil.send(frame)
        if number == 50_000:
            works(fleet)
    works(fleet)


def test_words_of_jobs_that_nobody_knows(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B25
    evil.greet()
    for number in range(10_000):
        evil.say(Started(jid=mint(1e9 + number / 100, None), pid=1, at=0.0))
    works(fleet)
    evil.settle()


def test_returns_of_the_largest_size(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B25
    """It may file what it likes under its own name; it is stored no faster than the disk takes it."""
    evil.greet()
    value = Raw(pack("x" * 500_000))
    names = [mint(1e9 + number, None, evil.id) for number in range(200)]
    for name in names:
        evil.say(Return(jid=name, job=FIELDS, state=State.SUCCEEDED, ended=0.0, value=value))
    works(fleet)
    assert evil.hear(Ack).refused is None


def test_greetings_and_keys_without_end(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B25
    evil.greet()
    for _ in range(1000):
        evil.say(Offer(key=evil.pair.public))
    evil.settle()
    for number in range(100):  # fewer than wait on its own side: it is cut in the middle
        evil.throw(Hello(version="1", boot_id="b", start=10_000 + number, connection=1, facts=Raw(pack("x" * 60_000))))
    evil.cut()
    log = fleet.log("master")
    assert "it said hello twice" in log
    assert log.count("nobody asked for a new key") <= 2


def _nested(depth: int, opening: bytes) -> bytes:
    return opening * depth


BAD_FRAMES: dict[str, bytes] = {
    "nothing": b"", "no message": b"\xc1", "nil": b"\xc0", "a number": b"\x07", "a list": b"\x90", "empty": b"\x80",
    "a deep list": _nested(500_000, b"\x91"), "a deep map": _nested(300_000, b"\x81\xa1a"),
    "100,000 empty lists": b"\xdd" + struct.pack(">I", 100_000) + b"\x90" * 100_000,
    "a list that lies": b"\xdd\xff\xff\xff\xff", "a map that lies": b"\xdf\xff\xff\xff\xff",
    "a text that lies": b"\xdb\xff\xff\xff\xff", "bytes that lie": b"\xc6\xff\xff\xff\xff",
    "an extension that lies": b"\xc9\xff\xff\xff\xff\x01",
    "extension": msgpack.packb({"v": 1, "kind": msgpack.ExtType(5, b"ping"), "n": 1}),
    "a time": msgpack.packb({"v": 1, "kind": "ping", "n": msgpack.Timestamp(1, 1)}),
    "bad utf-8": b"\x83\xa1v\x01\xa4kind\xa4ping\xa1n\xa2\xff\xfe", "bad kind": b"\x82\xa1v\x01\xa4kind\xa2\xff\xfe",
    "nan": msgspec.msgpack.encode({"v": 1, "kind": "started", "jid": "2" * 20, "pid": 1, "at": math.nan}),
    "infinity": msgspec.msgpack.encode({"v": 1, "kind": "started", "jid": "2" * 20, "pid": 1, "at": math.inf}),
    "wrong types": msgspec.msgpack.encode({"v": 1, "kind": "ping", "n": "1"}),
    "a number above 64 bits": msgspec.msgpack.encode({"v": 1, "kind": "ping", "n": 2.0**70}),
    "a field too many": msgspec.msgpack.encode({"v": 1, "kind": "ping", "n": 1, "sender": "m1"}),
    "a field too few": msgspec.msgpack.encode({"v": 1, "kind": "ping"}),
    "two after another": msgspec.msgpack.encode({"v": 1, "kind": "ping", "n": 1}) * 2,
    "the wrong version": msgspec.msgpack.encode({"v": 2, "kind": "ping", "n": 1}),
    "keys that are no text": msgspec.msgpack.encode({"v": 1, "kind": "ping", "n": 1, 7: 7}),
    "a key that is a list": b"\x84\xa1v\x01\xa4kind\xa4ping\xa1n\x01\x91\x01\x01",
}


def test_what_is_no_message_is_none() -> None:  # R-B26
    for name, frame in BAD_FRAMES.items():
        with pytest.raises(codec.CodecError):
            codec.from_minion.decode(frame)
            raise AssertionError(name)
    twice = b"\x84\xa1v\x01\xa4kind\xa4ping\xa1n\x01\xa1n\x02"
    assert codec.from_minion.decode(twice) == Ping(n=2), "of a key that comes twice the last one counts, for both sides"


def test_values_that_cannot_be_opened_are_refused() -> None:  # R-B26
    for name, value in BAD_FRAMES.items():
        if name in ("extension", "a time", "bad utf-8", "bad kind") or "deep" in name or "lie" in name:
            with pytest.raises(codec.CodecError):
                codec.unpack(value)
    many = codec.unpack(BAD_FRAMES["100,000 empty lists"])
    assert len(many) == 100_000


def test_what_is_no_message_costs_its_connection(fleet: Fleet, bounded: None) -> None:  # R-B26
    frames = [BAD_FRAMES[name] for name in ("a deep list", "a deep map", "100,000 empty lists", "a list that lies",
                                            "bad utf-8", "nan", "a time", "two after another")]
    with contextlib.closing(Peer(fleet, "bad0")) as one, contextlib.closing(Peer(fleet, "bad1")) as two:
        for frame, peer in zip(frames, [one, two] * 4, strict=True):
            peer.greet()
            peer.send(frame)
            peer.cut()
    assert fleet.log("master").count(" bus.garbage: ") <= 2, "one line a minute for each"


def test_values_that_are_traps_cost_nobody_but_their_job(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B26
    """They are kept as they came, and whoever looks them up is told that they cannot be read."""
    evil.greet()
    for number, name in enumerate(("a deep list", "a time", "extension", "a list that lies", "100,000 empty lists")):
        jid = Jid(mint(2e8 + number, None, evil.id))
        head = encode(Return(jid=jid, job=FIELDS, state=State.SUCCEEDED, ended=time.time(), value=Raw(b"\xc0")))
        at = head.index(b"\xa5value\xc0") + 6
        evil.send(head[:at] + BAD_FRAMES[name] + head[at + 1:])
        if name in ("a deep list", "a list that lies"):
            evil.cut()
            evil.greet()
            continue
        assert evil.hear(Ack) == Ack(jid=jid)
        ended = fleet.run("jobs.lookup_jid", jid)
        assert ended.code in (0, 1), ended
    works(fleet)
    assert fleet.run("jobs.list_jobs", "minion=evil", "limit=5").code == 0
    until(lambda: fleet.job("m1", "test.ping").code == 0, what="it goes on")


def test_claims_without_end(fleet: Fleet, evil: Peer, bounded: None) -> None:  # R-B24
    """The last one here: for a minute nobody else enrols from this address."""
    evil.connect(evil.join.enrol_port)
    evil.say(Enrol(id=evil.id, version="0"))
    for number in range(500):  # above what one address may claim it is cut
        evil.throw(Enrol(id=evil.id, version=str(number), token="x" * 100))
    evil.cut()
    works(fleet)
