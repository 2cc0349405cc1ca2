"""P8: garbage on the ports and the sockets costs that connection and a line in the log; the fleet goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
from collections.abc import Iterator

import pytest
import yaml

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"
"""The first bytes of ZMTP 3.0."""
CURVE = GREETING + b"CURVE".ljust(20, b"\0") + bytes(32)
CHANCE = random.Random(4520)
RUBBISH = {
    "nothing": b"", "zeros": bytes(4096), "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "random": CHANCE.randbytes(65536),
    "no encryption": GREETING + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x1a\x05READY" + CHANCE.randbytes(20),
    "another mechanism": GREETING + b"PLAIN".ljust(20, b"\0") + bytes(32) + b"\x04\x10\x05HELLO\x01a\x01b",
    "curve, then rubbish": CURVE + b"\x04\xc8\x05HELLO" + CHANCE.randbytes(194),
    "a huge frame": CURVE + b"\x06" + b"\x7f" + b"\xff" * 7,
    "an old version": b"\x01\x00" + b"\x05hello",
}
FRAMES = {
    "not msgpack": struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1", "no map": struct.pack(">I", 1) + b"\x01",
    "endless": struct.pack(">I", 2**32 - 1) + b"x" * 1000, "half": struct.pack(">I", 1000) + b"x",
    "bomb": struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff", "text": b"GET / HTTP/1.1\r\n\r\n",
    "empty": struct.pack(">I", 0),
    "deep": struct.pack(">I", 5000) + b"\x91" * 5000,
}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def throw(where: str | int, data: bytes) -> None:
    """Connect, send, hang up; the other side may have hung up first."""
    kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as sender, contextlib.suppress(OSError):
        sender.settimeout(5)
        sender.connect(where if isinstance(where, str) else ("127.0.0.1", where))
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            sender.settimeout(0.05)  # what it says is of no interest, only that it may say it
            sender.recv(65536)


def alive(fleet: Fleet) -> None:
    """The fleet works as if nothing had been."""
    assert fleet.job("m1", "cmd.run", "echo fine").pair()["stdout"] == "fine\n"


@pytest.mark.parametrize("name", ["port", "enrol_port"])
def test_garbage_on_a_port(fleet: Fleet, name: str) -> None:
    port = yaml.safe_load(fleet.settings("master").read_text())[name]
    pid, lines = fleet.pid("master"), fleet.log("master").count("\n")
    for _ in range(3):
        for data in RUBBISH.values():
            throw(port, data)

    alive(fleet)
    assert fleet.pid("master") == pid
    assert fleet.log("master").count("\n") - lines <= 3, fleet.log("master")
    assert [key["id"] for key in fleet.key("list", "-o", "json").json["keys"]] == ["m1"]


def test_connections_that_say_nothing_hold_up_nobody(fleet: Fleet) -> None:
    settings = yaml.safe_load(fleet.settings("master").read_text())
    with contextlib.ExitStack() as stack:
        for name in ("port", "enrol_port"):
            for _ in range(50):
                stack.enter_context(socket.create_connection(("127.0.0.1", settings[name]), 5))
        alive(fleet)


@pytest.mark.parametrize("name", FRAMES)
def test_garbage_on_a_control_socket(fleet: Fleet, name: str) -> None:
    pids = fleet.pid("master"), fleet.pid("m1")
    for path in (fleet.root / "run/jr/master.sock", fleet.minion("m1") / "run/jr/minion.sock"):
        throw(str(path), FRAMES[name])

    alive(fleet)
    assert fleet.call("m1", "test.ping").code == 0
    assert (fleet.pid("master"), fleet.pid("m1")) == pids


def test_garbage_on_the_supervisors_socket(fleet: Fleet) -> None:
    jid = fleet.start("m1", "cmd.run", "sleep 100")
    fleet.running(jid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for data in (b"", b"x" * 1000, b"{", b"[]", b'{"jid": 1}', b'{"jid": "../../x", "event": "started"}',
                     b'{"jid": "%s", "event": "stop", "stop": 1}' % jid.encode(), os.urandom(500)):
            with contextlib.suppress(OSError):
                sender.sendto(data, str(fleet.state("m1") / "notify.sock"))

    alive(fleet)
    assert fleet.running(jid)
    assert fleet.run("jobs.kill", jid).code == 0


def test_a_stopped_agent_holds_up_nobody_and_is_caught_up_with(fleet: Fleet) -> None:
    # A frozen agent is told as one that has not answered; who waits is bounded, and the job is there when it thaws.
    fleet.send("m1", signal.SIGSTOP)
    try:
        ended = fleet.job("--wait", "0.5", "m1", "test.echo", "late")
        assert ended.code == 124
        assert ended.pair()["state"] in ("planned", "sent")
    finally:
        fleet.send("m1", signal.SIGCONT)
    jid = ended.json["jid"]
    until(lambda: fleet.lookup(jid)["minions"]["m1"]["return"] == "late", what="it answers")
