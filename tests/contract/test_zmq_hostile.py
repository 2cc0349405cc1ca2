"""What strangers and bad minions do to the ZeroMQ link: it costs them their connection, and nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common import keys, zmqbase
from common.errors import UsageError
from common.link import Closed
from common.pressure import Pressure
from common.zmqline import open_line
from tests.lib.hostile_links import hostile, known, play
from tests.lib.links import Agent, ZmqWorld, joined, until_async


class Listener:
    """A TCP server that is no hub: says `greeting` to whoever comes, and hangs up or not."""

    def __init__(self, greeting: bytes, hang_up: bool) -> None:
        self._greeting, self._hang_up = greeting, hang_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for peer in self._peers:
            peer.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._peers.append(peer)
            peer.sendall(self._greeting)
            if self._hang_up:
                with contextlib.suppress(OSError):  # the line may hang up first
                    peer.recv(64)
                    peer.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("enrol", [False, True], ids=["main", "enrol"])
@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" + bytes(200), os.urandom(4096), bytes(4096),
     b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48) + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER",
     b"\x01\x00", b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00"],
    ids=["http", "half a greeting", "noise", "zeros", "no encryption", "zmtp 1", "zmtp 2"],
)
def test_garbage_on_a_port_costs_nobody_else(garbage: bytes, enrol: bool) -> None:  # R-B24, S5
    async def story(world: ZmqWorld) -> None:
        line, agent, _, _ = await joined(world, "m1")
        port = world.hub.enrol_port if enrol else world.hub.port
        strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for stranger in strangers:
            stranger.sendall(garbage)
        assert line.send(b"still here")
        await world.until(lambda: world.master.texts("m1")[1:] == [b"still here"], "the good minion")
        await joined(world, "m2")
        for stranger in strangers:
            stranger.close()
        await world.settle()
        assert agent.end is None
        assert {sender for _, sender, _ in world.master.frames} == {"m1", "m2", "witness"}
        assert world.master.claims == []

    play(story)


def test_a_giant_before_the_handshake_is_cut_at_once(caplog: pytest.LogCaptureFixture) -> None:  # R-B24
    async def story(world: ZmqWorld) -> None:
        stranger = socket.create_connection(("127.0.0.1", world.hub.port), timeout=20)
        stranger.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47))
        await asyncio.to_thread(stranger.recv, 64, socket.MSG_WAITALL)
        with pytest.raises(ConnectionError):
            await asyncio.to_thread(_feed, stranger)
        stranger.close()
        await joined(world, "m1")

    play(story)


def _feed(stranger: socket.socket) -> None:
    """A frame that says it has 2 GiB; the loop ends only when the hub hangs up, or with a failure after 64 MiB."""
    stranger.sendall(b"\x06" + (2**31).to_bytes(8, "big"))
    for _ in range(64):
        stranger.sendall(bytes(1024 * 1024))


def test_a_port_that_speaks_http_fails_the_line() -> None:  # R-A11
    _line_to_a_listener(Listener(b"HTTP/1.1 400 Bad Request\r\n\r\n", hang_up=True), give_up=20.0, why=Closed.STRANGE)


def test_a_port_that_says_nothing_fails_the_line_in_time() -> None:
    _line_to_a_listener(Listener(b"", hang_up=False), give_up=0.3)


def _line_to_a_listener(listener: Listener, give_up: float, why: Closed = Closed.FAILED) -> None:
    async def run() -> None:
        agent = Agent()
        line = open_line("127.0.0.1", listener.port, keys.generate().public, keys.generate(), agent, give_up=give_up)
        try:
            await until_async(lambda: agent.end, "the line to fail")
            assert agent.events == [why]
            assert not line.send(b"hello")
        finally:
            line.close()

    try:
        asyncio.run(run())
    finally:
        listener.close()


def test_a_master_with_another_key_fails_the_line() -> None:  # S13, S5
    async def story(world: ZmqWorld) -> None:
        agent = Agent()
        line = open_line("127.0.0.1", world.hub.port, keys.generate().public, known(world, "m1"), agent)
        world.lines.append(line)
        await world.until(lambda: agent.end, "the line to fail")
        assert agent.events == [Closed.STRANGE]

    play(story)


def test_a_bad_address_is_told() -> None:
    async def run() -> None:
        with pytest.raises(UsageError, match="cannot connect to not a host:99999"):
            open_line("not a host", 99999, keys.generate().public, keys.generate(), Agent())

    asyncio.run(run())


@pytest.mark.parametrize("lie", [b"", b"admin", b"m2", b"m2 " + b"0" * 32 + b" 1"])
def test_a_minion_cannot_say_who_it_is(lie: bytes) -> None:  # R-A06, R-A10
    async def story(world: ZmqWorld) -> None:
        await joined(world, "m2")
        client = await hostile(world, known(world, "m1"), {"User-Id": lie})
        client.send(b"i am m2")
        await world.until(lambda: world.master.texts("m1") == [b"i am m2"], "the frame")
        assert world.master.texts("m2") == [b"hello"]
        client.close()

    play(story)


@pytest.mark.parametrize("claim", [b"m2", b"\x00m2", b"\x00" * 6, b"x" * 5])
def test_a_claimed_routing_id_costs_the_connection(claim: bytes) -> None:  # R-A15
    async def story(world: ZmqWorld) -> None:
        _, agent, connection, _ = await joined(world, "m2")
        client = await hostile(world, known(world, "m1"), {"Identity": claim})
        client.send(b"give me the jobs of m2")
        assert await asyncio.to_thread(client.ended)
        client.close()
        await world.settle()
        assert world.master.texts("m1") == []
        assert world.hub.send(connection, b"a job")
        await world.until(lambda: agent.frames == [b"a job"], "the job")

    play(story)


def test_a_message_of_several_parts_costs_the_connection() -> None:  # R-B25
    async def story(world: ZmqWorld) -> None:
        _, agent, _, _ = await joined(world, "m2")
        client = await hostile(world, known(world, "m1"))
        client.send(b"one")
        await world.until(lambda: world.master.texts("m1") == [b"one"], "the good frame")
        client.send(b"two", more=True)
        client.send(b"three", more=True)
        client.send(b"four")
        assert await asyncio.to_thread(client.ended)
        await world.until(lambda: world.master.over == [world.master.connection(b"one")], "the hub to be told")
        client.close()
        assert world.master.texts("m1") == [b"one"]
        assert agent.end is None

    play(story)


def test_parts_as_the_first_message_are_told_to_nobody() -> None:
    async def story(world: ZmqWorld) -> None:
        client = await hostile(world, known(world, "m1"))
        client.send(b"two", more=True)
        client.send(b"three")
        assert await asyncio.to_thread(client.ended)
        client.close()
        await world.settle()
        assert world.master.texts("m1") == []
        assert len(world.master.over) <= 1  # the witness

    play(story)


@pytest.mark.parametrize("first", [b"one", None], ids=["after a good frame", "as the first message"])
def test_a_message_that_never_ends_costs_the_connection(first: bytes | None) -> None:  # R-B25
    async def story(world: ZmqWorld) -> None:
        line, agent, _, _ = await joined(world, "m2")
        port = world.hub._main.port
        port._unread, port._pressure = 100_000, Pressure(0, 1e9, itertools.count().__next__)
        client = await hostile(world, known(world, "m1"))
        if first is not None:
            client.send(first)
            await world.until(lambda: world.master.texts("m1") == [first], "the good frame")

        async def feed() -> None:
            for _ in range(200):  # 4 MB: the end comes long before
                await asyncio.to_thread(client.send, bytes(20_000), more=True)
                port.sweep()

        with pytest.raises(OSError):
            await feed()
        client.close()
        assert world.master.texts("m1") == ([] if first is None else [first])
        await world.settle()
        assert agent.end is None
        assert line.send(b"still here")
        await world.until(lambda: world.master.texts("m2")[1:] == [b"still here"], "the good minion")

    play(story)


def test_many_whole_messages_are_no_endless_one() -> None:  # R-B25
    async def story(world: ZmqWorld) -> None:
        line, agent, _, _ = await joined(world, "m1")
        port = world.hub._main.port
        port._unread, port._pressure = 100_000, Pressure(0, 1e9, itertools.count().__next__)
        for number in range(20):
            assert line.send(bytes(50_000))
            await world.until(lambda number=number: len(world.master.texts("m1")) == number + 2,  # type: ignore[misc]
                              "the frame")
            port.sweep()
        await world.settle()
        assert agent.end is None

    play(story)


FIRST_ROUTE = """
import zmq
from common.zmqbase import line_context
router, dealer = line_context().socket(zmq.ROUTER), line_context().socket(zmq.DEALER)
dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
dealer.send(b"")
print(router.recv().hex())
router.close(0)
dealer.close(0)
"""


def test_routing_ids_begin_elsewhere_in_every_process() -> None:  # R-A15
    first = [subprocess.run([sys.executable, "-c", FIRST_ROUTE], capture_output=True, text=True, check=True,
                            cwd=Path(zmqbase.__file__).parents[1], timeout=60).stdout for _ in range(2)]
    assert first[0] != first[1]


def test_a_claim_in_the_form_of_a_given_id_crosses_nothing() -> None:  # R-A15
    async def story(world: ZmqWorld) -> None:
        _, agent, connection, _ = await joined(world, "m2")
        # The id of m2 itself, which the claimant could never know: ROUTER leaves it to the one that has it.
        route = world.hub._main.peers[connection].route
        client = await hostile(world, known(world, "m1"), {"Identity": route})
        client.send(b"give me the jobs of m2")
        await joined(world, "m3")
        assert world.hub.send(connection, b"a job")
        await world.until(lambda: agent.frames == [b"a job"], "the job")
        assert world.master.texts("m1") == []
        client.close()

    play(story)
