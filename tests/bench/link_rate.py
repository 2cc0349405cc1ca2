"""How many messages a second the hub reads, decodes and answers, beside a bare ROUTER that reads, unpacks and answers.

    python -m tests.bench.link_rate [MINIONS] [MESSAGES]

Both run with CURVE, in this process, one after the other; the minions are one other process that keeps eight messages
of each minion under way. The best of three runs of each counts. The minions may be what limits both on few cores, so
the CPU time of this process (libzmq's own thread included) for a message is told beside the rate.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import msgpack
import zmq

from common import codec, keys
from common.ids import Jid, MinionId
from common.keys import KeyPair
from common.link import Connection, Key
from common.messages import Accepted, Ack
from common.zmqbase import apply_options, as_client, as_server, new_context
from common.zmqhub import HubLimits, ZmqHub

JID = Jid("20260102030405123456")
WINDOW = 8


def minions(port: int, server_key: Key, count: int, each: int) -> None:
    """Send `each` messages from each of `count` minions and await all answers."""
    context = new_context()
    poller, pair = zmq.Poller(), keys.generate()
    frame = codec.encode(Accepted(jid=JID, at=1767322805.0))
    left: dict[zmq.Socket[bytes], list[int]] = {}
    for _ in range(count):
        sock = context.socket(zmq.DEALER)
        apply_options(sock, "127.0.0.1", 100, 1024 * 1024)
        as_client(sock, pair, server_key)
        sock.connect(f"tcp://127.0.0.1:{port}")
        poller.register(sock, zmq.POLLIN)
        left[sock] = [each, each]
        for _ in range(WINDOW):
            left[sock][0] -= 1
            sock.send(frame)
    while left:
        for sock, _ in poller.poll():
            try:
                while True:
                    sock.recv(zmq.DONTWAIT)
                    left[sock][1] -= 1
                    if left[sock][0]:
                        left[sock][0] -= 1
                        sock.send(frame)
            except zmq.Again:
                pass
            if not left[sock][1]:
                poller.unregister(sock)
                del left[sock]
    context.destroy(linger=0)


class Master:
    """Answers every frame, and notes when the first and the last one came."""

    hub: ZmqHub

    def __init__(self, total: int) -> None:
        self._left = total
        self.done = asyncio.Event()
        self.first = self.last = 0.0

    def admit(self, key: Key) -> MinionId | None:
        return MinionId("m1")

    def received(self, connection: Connection, minion: MinionId, frame: bytes) -> None:
        self.first = self.first or time.perf_counter()
        message = codec.from_minion.decode(frame)
        self.hub.send(connection, codec.encode(Ack(jid=message.jid)))
        self._left -= 1
        if not self._left:
            self.last = time.perf_counter()
            self.done.set()

    def gone(self, connection: Connection) -> None:
        return

    def claimed(self, key: Key, frame: bytes, address: str) -> bytes | None:
        return None


def start(port: int, pair: KeyPair, count: int, each: int) -> subprocess.Popen[bytes]:
    call = json.dumps([port, pair.public, count, each])
    return subprocess.Popen([sys.executable, "-m", "tests.bench.link_rate", "minions", call])


async def through_the_hub(count: int, each: int) -> tuple[float, float]:
    """Messages a second through the hub, and the seconds of CPU for each."""
    pair, master = keys.generate(), Master(count * each)
    limits = HubLimits(connections_of_key=count, handshakes_of_key=100 * count)
    master.hub = ZmqHub("127.0.0.1", 0, 0, pair, master, master, master, limits)
    emulator, used = start(master.hub.port, pair, count, each), time.process_time()
    await master.done.wait()
    used = time.process_time() - used
    await asyncio.to_thread(emulator.wait)
    master.hub.close()
    return count * each / (master.last - master.first), used / (count * each)


def bare(count: int, each: int) -> tuple[float, float]:
    """The same through a ROUTER and nothing else."""
    pair, context, left, first = keys.generate(), new_context(), count * each, 0.0
    router = context.socket(zmq.ROUTER)
    apply_options(router, "127.0.0.1", 100, 1024 * 1024)
    as_server(router, pair, b"bench")
    port = router.bind_to_random_port("tcp://127.0.0.1")
    emulator, used = start(port, pair, count, each), time.process_time()
    reply = codec.encode(Ack(jid=JID))
    while left:
        route, frame = router.recv_multipart()
        first = first or time.perf_counter()
        msgpack.unpackb(frame)
        router.send_multipart([route, reply])
        left -= 1
    last, used = time.perf_counter(), time.process_time() - used
    emulator.wait()
    context.destroy(linger=0)
    return count * each / (last - first), used / (count * each)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    each = (int(sys.argv[2]) if len(sys.argv) > 2 else 60_000) // count
    yardstick, yardstick_used = max(bare(count, each) for _ in range(3))
    ours, used = max(asyncio.run(through_the_hub(count, each)) for _ in range(3))
    print(f"bare ROUTER {yardstick:,.0f}/s  hub {ours:,.0f}/s  ratio {ours / yardstick:.2f}")
    print(f"CPU a message: {yardstick_used * 1e6:.1f} us  {used * 1e6:.1f} us  ratio {yardstick_used / used:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["minions"]:
        port, key, count, each = json.loads(sys.argv[2])
        minions(int(port), Key(key), int(count), int(each))
    else:
        main()
