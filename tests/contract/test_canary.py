"""The canary: quiet while unknown keys are refused, loud when they are not or when nobody can tell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from common import keys
from common.canary import Canary
from common.link import Closed, Key
from common.zmqline import open_line
from tests.lib.links import ZmqWorld, until_async


def play(story: Callable[[ZmqWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        world = ZmqWorld()
        try:
            await story(world)
        finally:
            world.close()

    asyncio.run(run())


def test_it_proves_again_and_again_with_a_fresh_key_each_time() -> None:  # R-A10
    async def story(world: ZmqWorld) -> None:
        alarms: list[str] = []
        canary = Canary("127.0.0.1", world.hub.port, world.pair.public, alarms.append, every=0.01)
        await world.until(lambda: len(world.master.asked) >= 5, "five proofs")
        canary.close()
        assert len(set(world.master.asked)) == len(world.master.asked)
        assert alarms == []

    play(story)


def test_it_finds_the_hub_of_a_wildcard_address() -> None:
    async def story(world: ZmqWorld) -> None:
        world.hub.close()
        world.bind = "0.0.0.0"
        world.hub = world._make(0, 0)
        alarms: list[str] = []
        canary = Canary("0.0.0.0", world.hub.port, world.pair.public, alarms.append)
        await world.until(lambda: world.master.asked, "the proof")
        canary.close()
        assert alarms == []

    play(story)


def test_a_port_that_lets_everybody_in_is_an_alarm() -> None:  # R-A10
    async def story(world: ZmqWorld) -> None:
        alarms: list[str] = []
        await world.lose_handler()
        canary = Canary("127.0.0.1", world.hub.port, world.pair.public, alarms.append, every=0.01)
        await world.until(lambda: alarms, "the alarm")
        canary.close()
        assert alarms == ["the main port lets unknown keys in: its key check does not work"]

    play(story)


def test_a_port_that_breaks_later_is_found_at_the_next_proof() -> None:  # R-A10
    async def story(world: ZmqWorld) -> None:
        alarms: list[str] = []
        canary = Canary("127.0.0.1", world.hub.port, world.pair.public, alarms.append,
                        every=0.01, retry=0.01, give_up=2.0)
        await world.until(lambda: len(world.master.asked) >= 2, "two proofs")
        assert alarms == []
        await world.lose_handler()
        await world.until(lambda: alarms, "the alarm")
        canary.close()

    play(story)


def test_when_nobody_answers_it_tries_again_and_then_gives_alarm() -> None:  # R-A10
    async def run() -> None:
        alarms: list[str] = []
        world = ZmqWorld()
        port = world.hub.port
        world.close()
        canary = Canary("127.0.0.1", port, keys.generate().public, alarms.append, retry=0.001)
        await until_async(lambda: alarms, "the alarm")
        canary.close()
        assert alarms == ["cannot prove that unknown keys are refused: 5 tries got no answer"]

    asyncio.run(run())


class _Lucky(Canary):
    """Misses four times, and then knows better."""

    right_key: Key
    seen: list[Closed]

    def closed(self, why: Closed) -> None:
        self.seen = [*getattr(self, "seen", []), why]
        if len(self.seen) == 4:
            self._where = (*self._where[:2], self.right_key)
        super().closed(why)


def test_a_miss_or_two_is_no_alarm() -> None:
    async def story(world: ZmqWorld) -> None:
        alarms: list[str] = []
        canary = _Lucky("127.0.0.1", world.hub.port, keys.generate().public, alarms.append, retry=0.001)
        canary.right_key = world.pair.public
        await world.until(lambda: world.master.asked, "the proof")
        canary.close()
        assert alarms == []
        assert canary.seen[:4] == [Closed.STRANGE] * 4

    play(story)


class _Clumsy:
    """An owner of a line that fails when it is told the end."""

    def opened(self) -> None:
        raise AssertionError("nobody listens there")

    def received(self, frame: bytes) -> None:
        raise AssertionError("nobody listens there")

    def closed(self, why: Closed) -> None:
        raise RuntimeError("clumsy")


def test_an_owner_that_fails_when_a_line_gives_up_costs_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        loose: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            open_line("127.0.0.1", silent.getsockname()[1], keys.generate().public, keys.generate(), _Clumsy(),
                      give_up=0.05)
            await until_async(lambda: "cannot handle the end of a line" in caplog.text or loose, "the end")
        assert loose == []

    asyncio.run(run())
