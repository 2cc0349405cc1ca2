"""R-A3: thousands of returns come in while the master is killed at random moments. Each is stored exactly once.

The test is the minion here: it takes the place of m1's agent, with its key, and speaks the protocol over the real,
encrypted bus. So it knows which returns were acknowledged. Each time that it sends a return the value says how often
it was sent; some are sent once more after their ack, as a doubled message would be. What is stored afterwards must be
a value that was sent before the ack came: the ack follows the commit, and what comes later changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Raw

from common import clock, codec
from common.ids import Jid, MinionId, mint
from common.keys import ensure
from common.link import Closed
from common.messages import Ack, Held, Hello, JobFields, Message, Return, Welcome
from common.states import State
from common.version import VERSION
from common.zmqline import ZmqLine, open_line
from minion.starts import Starts
from minion.where import Where
from tests.chaos.heal import ended_pairs, listed
from tests.chaos.members import Members, members

WINDOW = 50
"""Returns on their way at once."""
AGAIN = 1.0
"""Seconds without an ack after which the test sends a return again: the sooner, the more doubles the master sees."""
LATE = 0.2
"""The share of returns that are sent once more although they were acknowledged."""
END = 120.0
"""Seconds for all of it beyond its planned length (P9)."""
FUNCTION = "chaos.returned"


class Returns(NamedTuple):
    """What was done, and what came of it."""

    kills: int
    sent: int
    """Messages that carried the returns."""
    stored: Counter[str]
    wrong: list[str]
    seconds: float
    """From the last kill until all were acknowledged."""

    @property
    def good(self) -> bool:
        """Whether each is stored once, and none otherwise than it was acknowledged."""
        return not self.wrong

    def report(self) -> str:
        """For people."""
        lines = [*(f"wrong: {line}" for line in self.wrong),
                 f"{self.kills} kills of the master; {len(self.stored)} returns in {self.sent} messages; all "
                 f"acknowledged {self.seconds:.1f} s after the last kill; {len(self.wrong)} wrong"]
        return "\n".join(lines)


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--returns", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="over which time (default 60)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> int:
    """Run it, and say what is stored."""
    with members(1) as fleet:
        found = returns(fleet, options.returns, options.seconds, options.seed)
    print(found.report(), flush=True)
    return 0 if found.good else 1


def returns(fleet: Members, count: int, seconds: float, seed: int = 1) -> Returns:
    """So many returns, spread over so much time, with a kill of the master each second or so."""
    rng = random.Random(seed)
    fleet.minions[0].end(signal.SIGTERM)
    puppet = Puppet(fleet.fleet.state("m1"), count, rng)
    kills, healed = asyncio.run(_storm(fleet, puppet, count / seconds, rng))
    fleet.up()
    stored, wrong = _compare(fleet, puppet)
    return Returns(kills, puppet.messages, stored, wrong, healed)


class Puppet:
    """A minion with nothing but returns to deliver. It is the owner of its lines, see `LineEvents`."""

    def __init__(self, state: Path, count: int, rng: random.Random) -> None:
        self._pair = ensure(state / "pki", "minion")
        self._place = msgspec.json.decode((state / "pki/master.json").read_bytes(), type=Where)
        self._start = Starts(state).count()
        self._connection = 0
        self._rng = rng
        self._line: ZmqLine | None = None
        self._online = False
        self.planned = count
        jid: Jid | None = None
        self.waiting: deque[Jid] = deque()
        for _ in range(count):
            jid = mint(clock.wall(), jid, MinionId("m1"))
            self.waiting.append(jid)
        self.attempts: Counter[Jid] = Counter()
        self.acked: dict[Jid, int] = {}
        """How often a return had been sent when its first ack came."""
        self.refused: list[str] = []
        self.messages = 0
        self._on_way: dict[Jid, float] = {}

    @property
    def done(self) -> bool:
        """Whether all that was sent is acknowledged, and nothing is left to be sent."""
        return not self.waiting and not self._on_way

    def deliver(self, most: int) -> None:
        """Send so many returns if there is a connection, else see to it that there will be one."""
        if self._line is None:
            self._online = False
            self._line = open_line(self._place.host, self._place.port, self._place.key, self._pair, self)
        if not self._online:
            return
        late = [jid for jid, at in self._on_way.items() if at < clock.boottime() - AGAIN]
        fresh = [self.waiting.popleft() for _ in range(min(most, len(self.waiting), WINDOW - len(self._on_way)))]
        for jid in [*late, *fresh]:
            self._send(jid)

    def opened(self) -> None:
        """The master has the key that it should have."""
        self._connection += 1
        self._say(Hello(version=VERSION, boot_id=clock.boot_id(), start=self._start, connection=self._connection,
                        facts=Raw(codec.pack({}))))

    def received(self, frame: bytes) -> None:
        """The master speaks."""
        match codec.from_master.decode(frame):
            case Welcome():
                self._say(Held(jobs=[], last=True))
                self._online = True
            case Ack(jid=jid, refused=refused):
                self._take(jid, refused)

    def closed(self, why: Closed) -> None:
        """The master died, or is not there yet: what is on its way goes again over the next line."""
        self._line = None
        self.waiting.extendleft(self._on_way)
        self._on_way.clear()

    def close(self) -> None:
        """Leave."""
        if self._line is not None:
            self._line.close()

    def _send(self, jid: Jid) -> None:
        self.attempts[jid] += 1
        self.messages += 1
        self._on_way[jid] = clock.boottime()
        now = clock.wall()
        self._say(Return(jid=jid, job=JobFields(function=FUNCTION, user="tester"), state=State.SUCCEEDED, retcode=0,
                         value=Raw(codec.pack(self.attempts[jid])), accepted=now, started=now, ended=now))

    def _take(self, jid: Jid, refused: str | None) -> None:
        if refused is not None:
            self.refused.append(f"{jid} is refused: {refused}")
        self._on_way.pop(jid, None)
        if jid not in self.acked:
            self.acked[jid] = self.attempts[jid]
            if self._rng.random() < LATE:
                self.waiting.append(jid)

    def _say(self, message: Message) -> None:
        if self._line is not None:
            self._line.send(codec.encode(message))


async def _storm(fleet: Members, puppet: Puppet, rate: float, rng: random.Random) -> tuple[int, float]:
    """Deliver all, so many a second, while the master dies; how often it died, and the time from then to the end."""
    killer = asyncio.create_task(_kill(fleet, puppet, rng))
    begin = last = clock.boottime()
    owed = 0.0
    while not puppet.done or not killer.done():
        now = clock.boottime()
        owed, last = min(owed + (now - last) * rate, WINDOW), now
        puppet.deliver(int(owed))
        owed -= int(owed)
        await asyncio.sleep(0.01)  # the beat of the test: how fast returns are made
        assert now < begin + puppet.planned / rate + END, f"{len(puppet.waiting)} returns are not delivered"
    kills, at = await killer
    puppet.close()
    return kills, clock.boottime() - at


async def _kill(fleet: Members, puppet: Puppet, rng: random.Random) -> tuple[int, float]:
    """Kill the master while new returns wait; how often, and when it was for the last time."""
    kills, at = 0, clock.boottime()
    while puppet.waiting:
        await asyncio.sleep(rng.uniform(0.05, 1.2))  # a random moment is what the test wants
        await asyncio.to_thread(fleet.master.end, signal.SIGKILL)
        kills, at = kills + 1, clock.boottime()
        await asyncio.to_thread(fleet.master.up)
    return kills, at


def _compare(fleet: Members, puppet: Puppet) -> tuple[Counter[str], list[str]]:
    """What is stored, by how often it is listed, and what is wrong with it."""
    wrong = list(puppet.refused)
    with fleet.connection() as connection:
        stored = Counter(job["jid"] for job in listed(connection, function=FUNCTION))
        for jid, before in puppet.acked.items():
            if stored[jid] != 1:
                wrong.append(f"{jid} is acknowledged and listed {stored[jid]} times")
                continue
            pair, = ended_pairs(connection, jid)
            if pair["state"] != "succeeded" or not 1 <= pair["return"] <= before:
                wrong.append(f"{jid} was acknowledged after it was sent {before} times, and stored is {pair}")
    unknown = stored.keys() - puppet.acked.keys()
    return stored, [*wrong, *(f"{jid} was never sent" for jid in unknown)]
