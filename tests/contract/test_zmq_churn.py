"""Many connections that come and go, so that descriptors are used again and again: a cut hits the right one, nothing
is left over, and nothing is told twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable

from common import keys
from common.ids import MinionId
from common.keys import KeyPair
from common.link import Closed, Connection, Line
from common.zmqhub import HubLimits
from tests.lib.links import Agent, Master, ZmqWorld, until_async

LIMITS = HubLimits(handshakes_of_key=10_000, enrol_of_address=10_000, enrol_overall=10_000)


class Minion(Agent):
    """Says hello as soon as it can, and comes back when it is cut."""

    def __init__(self, world: ZmqWorld, name: str) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.pair: KeyPair = keys.generate()
        self.count = 0
        self.losses = 0
        world.master.known[self.pair.public] = MinionId(name)
        self.line: Line = world.line(self.pair, self)

    def opened(self) -> None:
        self.count += 1
        self.line.send(b"%d" % self.count)

    def closed(self, why: Closed) -> None:
        assert why is Closed.LOST
        self.losses += 1
        self.line = self.world.line(self.pair, self)

    def connection(self) -> Connection | None:
        """The connection of the newest hello, once it has arrived."""
        word = b"%d" % self.count
        return next((connection for connection, minion, frame in reversed(self.world.master.frames)
                     if minion == self.name and frame == word), None)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def play(story: Callable[[ZmqWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        world = ZmqWorld(LIMITS)
        try:
            await story(world)
        finally:
            world.close()

    asyncio.run(run())


def test_a_cut_hits_the_right_connection() -> None:  # R-A12
    chance = random.Random(7)

    async def story(world: ZmqWorld) -> None:
        minions = [Minion(world, f"m{number}") for number in range(12)]
        await world.until(lambda: all(minion.connection() for minion in minions), "all hellos")
        for _ in range(40):
            chosen = chance.sample(minions, 4)
            losses = {minion: minion.losses + (minion in chosen) for minion in minions}
            for minion in chosen:
                if chance.random() < 0.5:
                    world.hub.drop_key(minion.pair.public)
                else:
                    connection = minion.connection()
                    assert connection is not None
                    world.hub.drop(connection)
            strangers = [socket.create_connection(("127.0.0.1", world.hub.port)) for _ in range(3)]
            await world.until(lambda losses=losses: all(  # type: ignore[misc]
                minion.losses == losses[minion] and minion.count == losses[minion] + 1 and minion.connection()
                for minion in minions), "the cut ones, and no others, to come back")
            for stranger in strangers:
                stranger.close()
        told = world.master.over
        await world.until(lambda: len(told) == 160, "the hub to be told of all")
        assert len(set(told)) == len(told)
        current = {minion.connection() for minion in minions}
        assert not current & set(told)
        for minion in minions:
            connection = minion.connection()
            assert connection is not None
            assert world.hub.send(connection, minion.name.encode())
        await world.until(lambda: all(minion.frames == [minion.name.encode()] for minion in minions), "all answers")

    play(story)


def test_what_a_dead_connection_said_is_not_taken_for_its_successor() -> None:  # R-A06
    """Each line says its name many times and is gone; the next one, of another minion, often gets its descriptor."""

    async def story(world: ZmqWorld) -> None:
        for number in range(60):
            name = f"m{number}"
            pair, agent = keys.generate(), Agent()
            world.master.known[pair.public] = MinionId(name)
            line = world.line(pair, agent)
            await world.until(lambda agent=agent: agent.events, "the line")  # type: ignore[misc]
            assert agent.events == ["opened"]
            for _ in range(50):
                line.send(name.encode())
            if number % 3:
                await world.until(lambda name=name: world.master.texts(name), "its first word")  # type: ignore[misc]
            line.close()
        await world.until(lambda: len(world.master.over) == len({c for c, _, _ in world.master.frames}), "all ends")
        assert all(minion == frame.decode() for _, minion, frame in world.master.frames)
        owners: dict[Connection, set[MinionId]] = {}
        for connection, minion, _ in world.master.frames:
            owners.setdefault(connection, set()).add(minion)
        assert all(len(names) == 1 for names in owners.values())

    play(story)


def test_nothing_is_left_of_a_thousand_connections() -> None:  # R-B24
    async def story(world: ZmqWorld) -> None:
        minion = Minion(world, "m1")
        await world.until(minion.connection, "the hello")
        before = descriptors()
        for _ in range(20):
            strangers = [socket.create_connection(("127.0.0.1", world.hub.port)) for _ in range(50)]
            for stranger in strangers[::2]:
                stranger.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47))
            for stranger in strangers:
                stranger.close()
        await world.settle()  # the witness is accepted after all of them
        port = world.hub._main.port
        await world.until(lambda: len(port._peers) == 1 and not port._silent, "the port to forget them")
        await world.until(lambda: descriptors() <= before, "the descriptors to be closed")
        assert not len(port._admissions)
        assert minion.losses == 0

    play(story)


def test_nothing_is_left_of_many_lines() -> None:
    async def story(world: ZmqWorld) -> None:
        minion = Minion(world, "m1")
        await world.until(minion.connection, "the hello")
        before = descriptors()
        for number in range(50):
            agent = Agent()
            line = world.line(keys.generate() if number % 2 else minion.pair, agent)
            await world.until(lambda agent=agent: agent.events, "an answer")  # type: ignore[misc]
            line.close()
        await world.until(lambda: descriptors() <= before, "the descriptors to be closed")
        await world.until(lambda: len(world.hub._main.port._routes) == 1, "the hub to forget them")

    play(story)


def test_a_hub_can_be_opened_and_closed_many_times() -> None:
    async def run() -> None:
        pair, master = keys.generate(), Master()
        world = ZmqWorld(LIMITS)
        before, place = descriptors(), world.hub.port
        for _ in range(30):
            world.restart()
        assert world.hub.port == place
        await until_async(lambda: descriptors() <= before, "the descriptors to be closed")
        world.master.known[pair.public] = MinionId("m1")
        agent = Agent()
        world.line(pair, agent)
        await world.until(lambda: agent.events == ["opened"], "the line")
        world.close()
        assert master.over == []

    asyncio.run(run())
