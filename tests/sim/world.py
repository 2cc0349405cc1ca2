"""A world in one process: one master core, many minion cores, a virtual clock, links and disks in memory.

Everything random comes from one seed, so that a failing world can be run again. The world keeps the truth beside what
the parties believe: which payload started how often, and how it ended.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from common.codec import from_master, from_minion
from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import JobFields
from common.states import OBSERVED, TERMINAL, State
from common.targets import parse
from master.core.core import StopWish, Wish
from tests.sim.parties import EPOCH, SimMaster, SimMinion

DELAY = (0.001, 0.05)
"""Seconds that a frame is on its way, at least and at most; frames of one connection never overtake each other."""


class World:
    """Runs the parties against each other, one event at a time."""

    def __init__(self, seed: int, minions: int = 20) -> None:
        self.chance = random.Random(seed)
        self.time = 1000.0
        self.trace: list[str] = [f"seed {seed}"]
        self.starts: dict[tuple[Jid, MinionId], int] = {}
        self.ends: dict[tuple[Jid, MinionId], State] = {}
        self.closed: dict[tuple[Jid, MinionId], State] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._lines: dict[Connection, SimMinion] = {}
        self._arrives: dict[tuple[Connection, bool], float] = {}
        self._connections = 0
        self.master = SimMaster(self)
        self.minions = {name: SimMinion(self, name) for name in (MinionId(f"m{n}") for n in range(1, minions + 1))}
        for minion in self.minions.values():
            self.master.accept(minion.id)
        self.master.start()
        for minion in self.minions.values():
            minion.start()

    # time

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Do `action` after `delay` seconds of virtual time."""
        self._count += 1
        heapq.heappush(self._events, (self.time + delay, self._count, action))

    def run(self, seconds: float) -> None:
        """Let time pass; after every event the invariants must hold."""
        end = self.time + seconds
        while True:
            wanted = (self.master.next(), *(minion.next() for minion in self.minions.values()))
            due = [at for at in wanted if at is not None]
            timer = min(due, default=end)
            event = self._events[0][0] if self._events else end
            if min(timer, event) >= end:
                break
            # The smallest step keeps a party whose timer stays due from holding time still.
            self.time = max(self.time, min(timer, event)) + 1e-6
            if event <= timer:
                heapq.heappop(self._events)[2]()
            else:
                self.master.tick()
                for minion in self.minions.values():
                    minion.tick()
            self.check()
        self.time = max(self.time, end)

    def say(self, text: str) -> None:
        """A line of the transcript."""
        self.trace.append(f"{self.time - 1000.0:10.3f} {text}")

    # the network

    def connect(self, minion: SimMinion) -> None:
        """A minion opens a line; it learns the outcome after a while."""
        self._connections += 1
        connection = Connection(self._connections)
        minion.connection = connection
        up = self.master.core is not None and minion.reachable
        told = minion.line_opened if up else minion.line_failed
        self.at(self.chance.uniform(*DELAY), lambda: told(connection))
        if up:
            self._lines[connection] = minion

    def to_master(self, connection: Connection, frame: bytes) -> None:
        """A frame leaves a minion."""
        def arrive() -> None:
            minion = self._lines.get(connection)
            if minion is not None:
                self.master.received(connection, minion.id, from_minion.decode(frame))
        self._carry(connection, True, arrive)

    def to_minion(self, connection: Connection, frame: bytes) -> None:
        """A frame leaves the master."""
        def arrive() -> None:
            minion = self._lines.get(connection)
            if minion is not None and minion.connection == connection:
                minion.received(from_master.decode(frame))
        self._carry(connection, False, arrive)

    def _carry(self, connection: Connection, up: bool, arrive: Callable[[], None]) -> None:
        at = max(self._arrives.get((connection, up), 0.0), self.time + self.chance.uniform(*DELAY))
        self._arrives[connection, up] = at
        self.at(at - self.time, arrive)

    def cut(self, connection: Connection) -> None:
        """The connection breaks: what is on its way is gone, and both ends notice."""
        minion = self._lines.pop(connection, None)
        if minion is None:
            return
        self.at(self.chance.uniform(*DELAY), lambda: minion.line_lost(connection))
        self.at(self.chance.uniform(*DELAY), lambda: self.master.gone(connection, minion.id))

    def cut_all(self) -> None:
        """The master's process is gone, and its sockets with it."""
        for connection in list(self._lines):
            self.cut(connection)

    # what operators do

    def publish(self, target: str = "*", seconds: float = 1.0, *, code: int = 0, start_within: float = 300.0) -> Jid:
        """A job whose payload runs for `seconds` and ends with `code`."""
        fields = JobFields(function="sim.run", args=self.master.pack([seconds, code]), user="tester")
        wish = Wish(fields=fields, target=target, target_type="glob", start_within=start_within)
        jid = self.master.publish(wish, parse("glob", target))
        self.say(f"publish {jid} to {target}")
        return jid

    def stop(self, jid: Jid, how: str = "kill") -> dict[str, str]:
        """Stop a job everywhere."""
        return self.master.stop(StopWish(stop=f"s{self.chance.random()}", jid=jid, how=how, signal=9, grace=1.0,
                                         by="tester"))

    # the truth

    def payload_started(self, jid: Jid, minion: MinionId) -> None:
        """P2: at most once."""
        self.starts[jid, minion] = self.starts.get((jid, minion), 0) + 1
        assert self.starts[jid, minion] == 1, self.story(f"{jid} started twice on {minion}")

    def check(self) -> None:
        """What must hold after every event."""
        for (jid, minion), state in self.master.moved.items():
            before = self.closed.get((jid, minion))
            if before is not None and before is not state:
                assert before is State.LOST, self.story(f"{jid} on {minion} went from {before} to {state}")
                assert state in OBSERVED, self.story(f"{jid} on {minion} went from lost to {state}")
            if state in TERMINAL:
                self.closed[jid, minion] = state
            if state in OBSERVED and (jid, minion) in self.ends:
                assert self.ends[jid, minion] is state, self.story(f"{jid} on {minion} says {state}, and lies")
            if state is State.SUCCEEDED:
                assert (jid, minion) in self.ends, self.story(f"{jid} on {minion} succeeded without an end")
        self.master.moved.clear()

    def story(self, what: str) -> str:
        """The failure with the transcript that led to it."""
        return "\n".join([*self.trace[-60:], what])

    def states(self, jid: Jid) -> dict[MinionId, State]:
        """What the master's disk says of a job."""
        return {pair.minion: pair.state for pair in self.master.store.pairs(jid)}

    def counts(self, jid: Jid) -> dict[State, int]:
        """How many pairs are in which state."""
        counts: dict[State, int] = {}
        for state in self.states(jid).values():
            counts[state] = counts.get(state, 0) + 1
        return counts

    def document(self, jid: Jid) -> Any:
        """The job as the master's disk has it."""
        return self.master.store.job(jid)


__all__ = ["EPOCH", "World"]
