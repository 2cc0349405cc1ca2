"""A hub in a process of its own, with its own limit of open files: `python -m tests.lib.hub_process FILES MOST`.

FILES is its limit of open files, MOST its limit of connections (0: the default). On standard output it tells one line
of JSON with its port and key; a line with the seconds of CPU it has used answers each line on standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys

from common import keys
from common.ids import MinionId
from common.link import Connection, Key
from common.zmqhub import HubLimits, ZmqHub


class Everybody:
    """Lets every key in and echoes what comes."""

    hub: ZmqHub

    def admit(self, key: Key) -> MinionId | None:
        return MinionId("m1")

    def received(self, connection: Connection, minion: MinionId, frame: bytes) -> None:
        self.hub.send(connection, frame)

    def gone(self, connection: Connection) -> None:
        return

    def claimed(self, key: Key, frame: bytes, address: str) -> bytes | None:
        return frame


async def serve(most: int) -> None:
    """Until standard input ends."""
    master, pair = Everybody(), keys.generate()
    limits = HubLimits(connections=most or None, connections_of_key=1000)
    master.hub = ZmqHub("127.0.0.1", 0, 0, pair, master, master, master, limits)
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def answer() -> None:
        if not os.read(0, 1000):
            over.set()
        print(sum(os.times()[:2]), flush=True)

    loop.add_reader(0, answer)
    print(json.dumps({"port": master.hub.port, "key": pair.public}), flush=True)
    await over.wait()
    loop.remove_reader(0)
    master.hub.close()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
    asyncio.run(serve(int(sys.argv[2])))
