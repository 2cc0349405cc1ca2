"""Who is not the master makes no minion do or stop anything, and what a master said once is done once. R-B38, S5."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import Raw

from common import keys
from common.codec import FRAME_LIMIT, encode, pack
from common.ids import Jid, mint
from common.messages import Accepted, Ack, Hello, JobFields, Publish, Refused, Return, Stop, Stopped, Welcome
from common.states import State
from tests.lib.fleet import Fleet, started
from tests.lib.hostile import BACK, FakeMaster, key_of, listening, port_of
from tests.lib.wait import until


class Orphan(NamedTuple):
    """A minion whose master is gone for good, and a job that ran on it before."""

    fleet: Fleet
    jid: Jid
    marker: Path


@pytest.fixture(scope="module")
def orphan() -> Iterator[Orphan]:
    with started(1) as fleet:
        marker = fleet.base / "once"
        jid = Jid(fleet.job("m1", "cmd.run", f"echo ran >> {marker}").json["jid"])
        fleet.acked()
        fleet.end("master")
        yield Orphan(fleet, jid, marker)


def marking(marker: Path) -> JobFields:
    """A job that leaves a line in a file each time it runs."""
    return JobFields(function="cmd.run", args=Raw(pack([f"echo ran >> {marker}"])), user="root")


def publish(marker: Path, jid: Jid | None = None, start_by: float | None = None) -> Publish:
    return Publish(jid=jid or mint(time.time(), None), job=marking(marker),
                   start_by=time.time() + 300 if start_by is None else start_by)


# a master that is none


def test_a_master_with_another_key_is_never_spoken_to(orphan: Orphan) -> None:
    fake = FakeMaster(port_of(orphan.fleet), keys.generate())
    try:
        fake.fail()
        assert fake.silent(), "a minion that finds another key proves nothing to it and tells it nothing"
    finally:
        fake.close()


def test_a_server_without_keys_is_never_spoken_to(orphan: Orphan) -> None:
    """ZMTP as it was before there was CURVE, and with NULL: a minion hangs up before it says who it is."""
    greetings = (b"\x01\x00",
                 b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\x01" + bytes(31)
                 + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER")
    for greeting in greetings:
        said = _greeted(port_of(orphan.fleet), greeting)
        assert b"HELLO" not in said
        assert b"DEALER" not in said
    assert orphan.fleet.call("m1", "sys.status").json["m1"]["return"]["connection"] != "online"


def _greeted(port: int, greeting: bytes) -> bytes:
    """What a minion says to a server that greets like this, until it hangs up."""
    server = until(lambda: listening(port), what="the port")
    said = b""
    with server:
        server.settimeout(BACK)
        peer, _ = server.accept()
        with peer, contextlib.suppress(OSError):
            peer.settimeout(20)
            peer.sendall(greeting)
            while data := peer.recv(65536):
                said += data
    return said


# the real key in the wrong hands: what a minion takes from its master, it takes once


@pytest.fixture(scope="module")
def thief(orphan: Orphan) -> Iterator[FakeMaster]:
    """A master with the stolen key of the real one, whom the minion believes."""
    fake = FakeMaster(port_of(orphan.fleet), key_of(orphan.fleet))
    try:
        fake.greet()
        yield fake
    finally:
        fake.close()


def test_a_job_that_ran_never_runs_again(orphan: Orphan, thief: FakeMaster) -> None:
    for start_by in (300.0, 1e9):
        thief.say(publish(orphan.marker, orphan.jid, time.time() + start_by))
        assert thief.hear(Refused).jid == orphan.jid
    assert orphan.marker.read_text() == "ran\n"


def test_a_job_past_its_time_never_runs(orphan: Orphan, thief: FakeMaster) -> None:
    marker = orphan.fleet.base / "late"
    for start_by in (time.time() - 1, 0.0, -1e12):
        thief.say(publish(marker, start_by=start_by))
        assert "its time to start had passed" in thief.hear(Refused).reason
    assert not marker.exists()


def test_another_version_is_not_understood(orphan: Orphan, thief: FakeMaster) -> None:
    marker = orphan.fleet.base / "version"
    frame = encode(publish(marker))
    at = frame.index(b"\xa1v\x01") + 2
    for version in (b"\x00", b"\x02", b"\xff", b"\xc0", b"\xa11", b"\xcb" + bytes(8)):
        thief.send(frame[:at] + version + frame[at + 1:])
    count = len(thief.heard)
    thief.settle()
    assert len(thief.heard) == count + 1, "nothing but the end of the settling"
    assert not marker.exists()
    thief.send(frame)
    assert thief.hear(Accepted), "it was the version alone"
    assert thief.hear(Return).state is State.SUCCEEDED
    assert marker.read_text() == "ran\n"


def test_the_words_of_a_minion_mean_nothing_from_a_master(orphan: Orphan, thief: FakeMaster) -> None:
    count = len(thief.heard)
    for message in (Hello(version="1", boot_id="b", start=99, connection=1, facts=Raw(b"\x80")),
                    Accepted(jid=mint(time.time(), None), at=0.0), Stopped(stop="s", jid=mint(1e9, None),
                                                                         outcome="ended")):
        thief.say(message)
    thief.send(b"\xc1")
    thief.settle()
    assert len(thief.heard) == count + 1


def test_a_stop_for_a_job_of_another_day_stops_nothing_that_runs(orphan: Orphan, thief: FakeMaster) -> None:
    jid = mint(time.time(), None)
    thief.say(Publish(jid=jid, start_by=time.time() + 300,
                      job=JobFields(function="cmd.run", args=Raw(pack(["sleep 1000"])), user="root")))
    thief.hear(Accepted)
    other = mint(1e9, None)
    thief.say(Stop(stop="s1", jid=other, how="kill", signal=9, grace=0, by="x", start_by=1e9))
    assert thief.hear(Stopped).jid == other
    assert orphan.fleet.record(jid).exists()
    until(lambda: orphan.fleet.of_job(jid), what="it runs")
    thief.say(Stop(stop="s2", jid=jid, how="kill", signal=9, grace=0, by="x", start_by=time.time() + 300))
    assert thief.hear(Return).state is State.KILLED
    thief.say(Ack(jid=jid))
    thief.settle()


def test_a_minion_is_back_after_more_than_it_takes(orphan: Orphan, thief: FakeMaster) -> None:  # R-A11
    thief.send(bytes(FRAME_LIMIT + 1000))
    assert thief.hear(Hello, BACK), "it hangs up, and comes again over a new connection"
    thief.say(Welcome(master="fake", time=time.time(), return_limit=0))
