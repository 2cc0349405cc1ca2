"""Two worlds with a hub and lines, in memory and over ZeroMQ, that a contract test uses in the same words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from common import keys
from common.errors import JrError
from common.ids import MinionId
from common.keys import KeyPair
from common.link import Closed, Connection, Hub, Key, Line
from common.memlink import MemHub
from common.zmqhub import HubLimits, ZmqHub
from common.zmqline import open_enrol, open_line


class Master:
    """What the hub's owner saw; lets in the keys in `known`."""

    def __init__(self) -> None:
        self.known: dict[Key, MinionId] = {}
        self.frames: list[tuple[Connection, MinionId, bytes]] = []
        self.over: list[Connection] = []
        self.claims: list[tuple[Key, bytes, str]] = []
        self.asked: list[Key] = []
        self.react: Callable[[Connection, bytes], None] = lambda connection, frame: None

    def admit(self, key: Key) -> MinionId | None:
        self.asked.append(key)
        return self.known.get(key)

    def received(self, connection: Connection, minion: MinionId, frame: bytes) -> None:
        self.frames.append((connection, minion, frame))
        self.react(connection, frame)

    def gone(self, connection: Connection) -> None:
        self.over.append(connection)

    def claimed(self, key: Key, frame: bytes, address: str) -> bytes | None:
        self.claims.append((key, frame, address))
        return None if frame == b"say nothing" else b"filed " + frame

    def connection(self, hello: bytes) -> Connection:
        """The connection over which the frame `hello` came."""
        return next(connection for connection, _, frame in self.frames if frame == hello)

    def texts(self, minion: str) -> list[bytes]:
        return [frame for _, sender, frame in self.frames if sender == minion]


class Agent:
    """What a line's owner saw, in order."""

    def __init__(self) -> None:
        self.events: list[str | bytes | Closed] = []
        self.react: Callable[[str | bytes | Closed], None] = lambda event: None

    def _note(self, event: str | bytes | Closed) -> None:
        self.events.append(event)
        self.react(event)

    def opened(self) -> None:
        self._note("opened")

    def received(self, frame: bytes) -> None:
        self._note(frame)

    def closed(self, why: Closed) -> None:
        self._note(why)

    @property
    def frames(self) -> list[bytes]:
        return [event for event in self.events if isinstance(event, bytes)]

    @property
    def end(self) -> Closed | None:
        return next((event for event in self.events if isinstance(event, Closed)), None)


class World(Protocol):
    """A hub with its master, and a way to open lines."""

    master: Master

    @property
    def hub(self) -> Hub: ...
    def line(self, pair: KeyPair, agent: Agent) -> Line: ...
    def enrol(self, pair: KeyPair, agent: Agent) -> Line: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...
    async def until(self, condition: Callable[[], object], what: str) -> None: ...
    async def settle(self) -> None: ...


class MemoryWorld:
    """All in memory."""

    def __init__(self) -> None:
        self.master = Master()
        self.hub: MemHub = self._make()

    def _make(self) -> MemHub:
        return MemHub(self.master, self.master, self.master, max_frame=1024 * 1024, queue=700)

    def line(self, pair: KeyPair, agent: Agent) -> Line:
        return self.hub.open_line(pair.public, agent)

    def enrol(self, pair: KeyPair, agent: Agent) -> Line:
        return self.hub.open_enrol(pair.public, agent)

    def restart(self) -> None:
        self.hub.close()
        self.hub.pump()
        self.hub = self._make()

    def close(self) -> None:
        self.hub.close()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        self.hub.pump()
        assert condition(), f"waited in vain for {what}"

    async def settle(self) -> None:
        self.hub.pump()


class ZmqWorld:
    """Real sockets on the loopback address."""

    def __init__(self, limits: HubLimits | None = None, bind: str = "127.0.0.1") -> None:
        self.master = Master()
        self.pair = keys.generate()
        self.limits = limits or HubLimits(queue=50)
        self.bind = bind
        self.hub: ZmqHub = self._make(0, 0)
        self.lines: list[Line] = []

    def _make(self, port: int, enrol_port: int) -> ZmqHub:
        return ZmqHub(self.bind, port, enrol_port, self.pair, self.master, self.master, self.master, self.limits)

    def line(self, pair: KeyPair, agent: Agent) -> Line:
        line = open_line(self.bind, self.hub.port, self.pair.public, pair, agent)
        self.lines.append(line)
        return line

    def enrol(self, pair: KeyPair, agent: Agent) -> Line:
        line = open_enrol(self.bind, self.hub.enrol_port, self.pair.public, pair, agent)
        self.lines.append(line)
        return line

    def restart(self) -> None:
        port, enrol_port = self.hub.port, self.hub.enrol_port
        self.hub.close()
        end = time.monotonic() + 10
        while True:
            try:
                self.hub = self._make(port, enrol_port)
                return
            except JrError:  # the system may hand the freed port to another test for a moment
                if time.monotonic() > end:
                    raise

    def close(self) -> None:
        for line in self.lines:
            line.close()
        self.hub.close()

    async def lose_handler(self) -> None:
        """End the ZAP handler, and wait until libzmq does what it does then: let everybody in."""
        self.hub._zap.close()
        # While the handler is being closed a handshake may still be given to it, and is never answered.
        end = time.monotonic() + 60
        opened = False
        while not opened:
            assert time.monotonic() < end, "the handler does not end"
            agent = Agent()
            line = open_line(self.bind, self.hub.port, self.pair.public, keys.generate(), agent, give_up=1.0)
            await until_async(lambda agent=agent: agent.events, "an answer")  # type: ignore[misc]
            opened = "opened" in agent.events
            line.close()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await until_async(condition, what)

    async def settle(self) -> None:
        """Let a witness go all the way: what was sent before on the loopback address has then arrived too."""
        witness, agent = keys.generate(), Agent()
        self.master.known[witness.public] = MinionId("witness")
        line = self.line(witness, agent)
        await self.until(lambda: "opened" in agent.events, "the witness")
        word = witness.public.encode()
        line.send(word)
        await self.until(lambda: word in self.master.texts("witness"), "the witness's word")
        line.close()


async def until_async(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait while the loop runs. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.002)  # lets the loop turn; the condition has no event of its own


def play(make: Callable[[], World], story: Callable[[World], Awaitable[None]]) -> None:
    """Run a story in a fresh world, and end that world whatever happens."""

    async def run() -> None:
        world = make()
        try:
            await story(world)
        finally:
            world.close()

    asyncio.run(run())


async def joined(world: World, name: str, pair: KeyPair | None = None) -> tuple[Line, Agent, Connection, KeyPair]:
    """A minion whose line is open and whose hello has arrived."""
    pair = pair or keys.generate()
    world.master.known[pair.public] = MinionId(name)
    agent = Agent()
    line = world.line(pair, agent)
    await world.until(lambda: "opened" in agent.events, f"the line of {name}")
    before = len(world.master.frames)
    assert line.send(b"hello")
    await world.until(lambda: len(world.master.texts(name)) > len([
        frame for _, sender, frame in world.master.frames[:before] if sender == name]), f"the hello of {name}")
    connection = [connection for connection, sender, _ in world.master.frames if sender == name][-1]
    return line, agent, connection, pair
