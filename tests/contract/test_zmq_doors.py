"""The doors of the hub: who decides who comes in, what goes wrong in there, and where it listens."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from common import keys
from common.errors import JrError
from common.ids import MinionId
from common.link import Closed, Key
from common.zmqhub import ZmqHub
from tests.lib.hostile_links import hostile, known, play
from tests.lib.links import Agent, Master, ZmqWorld, joined


class _BrokenDoor(Master):
    """A doorkeeper with a fault."""

    def admit(self, key: Key) -> MinionId | None:
        raise RuntimeError("the door is stuck")


def test_a_doorkeeper_that_fails_lets_nobody_in() -> None:  # R-A10
    async def story(world: ZmqWorld) -> None:
        world.hub.close()
        world.master = _BrokenDoor()
        world.hub = world._make(0, 0)
        agent = Agent()
        world.line(keys.generate(), agent)
        await world.until(lambda: agent.end, "the line to end")
        assert agent.events == [Closed.FAILED]

    play(story)


def test_an_exception_in_a_callback_ends_nothing() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of the owner")

    async def story(world: ZmqWorld) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        world.master.react = fail
        agent.react = fail
        for number in range(3):
            assert line.send(b"up %d" % number)
            assert world.hub.send(connection, b"down %d" % number)
        await world.until(lambda: len(world.master.texts("m1")) == 4, "the frames to the hub")
        await world.until(lambda: len(agent.frames) == 3, "the frames to the line")
        assert agent.end is None

    play(story)


def test_a_frame_that_comes_with_the_opening_is_not_lost_when_the_owner_fails() -> None:
    async def story(world: ZmqWorld) -> None:
        agent = Agent()

        def fail(event: object) -> None:
            raise RuntimeError("a fault of the owner")

        agent.react = fail
        line = world.line(known(world, "m1"), agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        assert line.send(b"hello")
        await world.until(lambda: world.master.frames, "the hello")
        assert world.hub.send(world.master.connection(b"hello"), b"welcome")
        await world.until(lambda: agent.frames == [b"welcome"], "the welcome")

    play(story)


def test_without_the_handler_no_frame_is_heard() -> None:  # R-A10
    async def story(world: ZmqWorld) -> None:
        # What libzmq does when a handler is gone: everybody is let in. The secret in the User-Id is what is left then.
        await world.lose_handler()
        agent = Agent()
        line = world.line(keys.generate(), agent)
        await world.until(lambda: "opened" in agent.events, "libzmq to let it in")
        line.send(b"i am in")
        await world.until(lambda: agent.end is Closed.LOST, "the cut")
        assert world.master.frames == []
        forged = await hostile(world, keys.generate(), {"User-Id": b"m1 " + b"0" * 32 + b" 1"})
        forged.send(b"i am m1")
        assert await asyncio.to_thread(forged.ended)
        forged.close()
        assert world.master.frames == []

    play(story)


def test_a_taken_port_is_told_in_words() -> None:
    async def story(world: ZmqWorld) -> None:
        port = world.hub.port
        for main, enrol in ((port, 0), (0, port)):
            with pytest.raises(JrError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use$"):
                ZmqHub("127.0.0.1", main, enrol, world.pair, world.master, world.master, world.master)
        await joined(world, "m1")

    play(story)


@pytest.mark.parametrize("bind", ["192.0.2.1", "no.such.host.invalid", "nonsense!"])
def test_a_bad_bind_address_is_told_in_words(bind: str) -> None:
    async def run() -> None:
        master = Master()
        with pytest.raises(JrError, match=rf"^cannot listen on {bind}:0: \w+"):
            ZmqHub(bind, 0, 0, keys.generate(), master, master, master)

    asyncio.run(run())


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="this host has no IPv6")
def test_ipv6_addresses_work() -> None:
    async def story(world: ZmqWorld) -> None:
        _, agent, connection, _ = await joined(world, "m1")
        assert world.hub.send(connection, b"a job")
        await world.until(lambda: agent.frames == [b"a job"], "the job")
        claimant = Agent()
        line = world.enrol(keys.generate(), claimant)
        await world.until(lambda: "opened" in claimant.events, "the line")
        assert line.send(b"m2")
        await world.until(lambda: claimant.frames == [b"filed m2"], "the answer")
        assert world.master.claims[0][2] == "::1"

    play(story, bind="::1")


def test_garbage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:  # S12
    async def story(world: ZmqWorld) -> None:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", world.hub.port)) as stranger:
                stranger.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00PLAIN" + bytes(47))
        await world.settle()

    with caplog.at_level(logging.WARNING, "jr.link"):
        play(story)
    assert sum(record.__dict__["action"] == "handshake.failed" for record in caplog.records) <= 1
