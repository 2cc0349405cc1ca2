"""A hub at its limit of open files: it neither spins nor stops, and is back as soon as there is room."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from common import keys
from common.link import Key
from common.zmqline import open_line
from tests.lib.links import Agent, until_async


class HubProcess:
    """The hub of `tests.lib.hub_process`."""

    def __init__(self, files: int, most: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lib.hub_process", str(files), str(most)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self._out, self._in = self._process.stdout, self._process.stdin
        place = json.loads(self._out.readline())
        self.port, self.key = int(place["port"]), Key(place["key"])

    def cpu(self) -> float:
        self._in.write("?\n")
        self._in.flush()
        return float(self._out.readline())

    def close(self) -> int:
        self._process.communicate(timeout=60)
        return self._process.returncode


@pytest.fixture
def strangers() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


async def echoed(hub: HubProcess, seconds: float = 60.0) -> None:
    """A minion gets in and is answered, perhaps not at the first try."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        agent = Agent()
        line = open_line("127.0.0.1", hub.port, hub.key, keys.generate(), agent, give_up=5)
        try:
            await until_async(lambda agent=agent: agent.events, "an answer")  # type: ignore[misc]
            if line.send(b"word"):
                await until_async(lambda agent=agent: agent.frames or agent.end, "the echo")  # type: ignore[misc]
            if agent.frames:
                return
        finally:
            line.close()
    raise AssertionError("nobody gets in any more")


@pytest.mark.parametrize("most", [0, 1000], ids=["its own limit", "a limit that is too high"])
def test_a_flood_of_connections_is_survived_without_spinning(most: int, strangers: list[socket.socket]) -> None:
    # R-B34, R-B24
    hub = HubProcess(files=100, most=most)
    try:
        strangers += [socket.create_connection(("127.0.0.1", hub.port), timeout=20) for _ in range(300)]
        asyncio.run(echoed(hub))
        before, since = hub.cpu(), time.monotonic()
        time.sleep(3)  # what is measured is what the hub does while nothing happens
        used = (hub.cpu() - before) / (time.monotonic() - since)
        assert used < 0.35, f"{used:.2f} of a core while nothing happens"
        asyncio.run(echoed(hub))
    finally:
        assert hub.close() == 0
