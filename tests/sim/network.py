"""The network of a simulated world: lines that deliver in order, and every way in which messages go astray.

A line is one socket of one minion, as `common.link` has it: in order, and nothing comes after its end. What a real
transport loses is a message whose receiver or queue was full, and all that was on its way when a line broke. Beyond
that, the words that DESIGN 5 rule 3 says may be repeated or come late do so, over whichever line the minion has then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from common.codec import encode, enrolled, from_master, from_minion
from common.codec import enrol as claims
from common.link import Closed, Connection, Key
from common.messages import (
    Accepted,
    Ack,
    Message,
    Noted,
    Occurrences,
    Publish,
    Refused,
    Return,
    Started,
    Stop,
    Stopped,
)

if TYPE_CHECKING:
    from tests.sim.minion import SimMinion
    from tests.sim.world import World

DELAY = (0.001, 0.05)
"""Seconds that a frame is on its way, at least and at most."""
LATEST = 90.0
"""Seconds that a late or repeated word may be behind: three times what either side waits before it repeats itself."""
REPEATABLE = (Publish, Stop, Ack, Accepted, Started, Refused, Return, Stopped, Occurrences, Noted)


class Weather(Struct):
    """How bad the network is: of each message, the chance that it is lost, comes twice, or comes late."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0


class Line(Struct):
    """One socket of one minion."""

    connection: Connection
    minion: SimMinion
    enrol: bool
    own: Key
    """The key that the minion shows."""
    asked: Key
    """The key by which it knows the master."""
    at_minion: bool = True
    at_master: bool = False
    heard: bool = False
    """Whether the master ever got a frame of it: only then it is told of the end."""
    arrives: dict[bool, float] = {}
    """When the latest frame of each direction gets there; True is up, to the master."""
    stuck: list[tuple[bool, Callable[[], None]]] = []
    """What cannot pass while the minion is cut off; the transport goes on trying."""
    unacked: set[str] = set()
    """Returns that went up over this line and were not acknowledged over it."""


class Network:
    """All lines."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.weather = Weather()
        self.lines: dict[Connection, Line] = {}
        self.cut_off: set[str] = set()
        self._numbers = itertools.count(1)

    # the minions' end

    def connect(self, minion: SimMinion, *, enrol: bool) -> Line:
        """A fresh socket; its minion learns the outcome after a while, or never while it is cut off."""
        assert minion.agent is not None
        chain = minion.agent.keys
        line = Line(Connection(next(self._numbers)), minion, enrol, chain.own, chain.master)
        self.lines[line.connection] = line
        self._carry(line, True, lambda: self._knock(line))
        return line

    def _knock(self, line: Line) -> None:
        master = self._world.master
        if not line.at_minion:
            return
        if not master.alive:
            self._carry(line, False, lambda: self._end_minion(line, Closed.FAILED))
        elif line.asked != master.pki.own:
            self._carry(line, False, lambda: self._end_minion(line, Closed.STRANGE))
        elif not line.enrol and master.admits(line.own) is None:
            self._carry(line, False, lambda: self._end_minion(line, Closed.REFUSED))
        else:
            line.at_master = True
            self._carry(line, False, lambda: line.minion.line_opened(line) if line.at_minion else None)

    def to_master(self, line: Line, message: Any) -> bool:
        """A message leaves a minion; False when its end is closed."""
        if not line.at_minion:
            return False
        frame = encode(message)
        if isinstance(message, Return):
            line.unacked.add(message.jid)

        def arrive(line: Line) -> None:
            if line.at_master:
                line.heard = True
                self._world.master.heard(line, (claims if line.enrol else from_minion).decode(frame))
        self._send(line, True, message, arrive)
        return True

    def minion_closes(self, line: Line) -> None:
        """A minion closes its socket, or its process is gone; the master notices after a while."""
        if line.at_minion:
            line.at_minion = False
            self._carry(line, True, lambda: self._end_master(line))

    def power_off(self, line: Line) -> None:
        """The host of a minion is gone without a word: the master notices nothing but silence."""
        line.at_minion = False

    # the master's end

    def to_minion(self, connection: Connection, message: Message) -> None:
        """A message leaves the master."""
        line = self.lines.get(connection)
        if line is None or not line.at_master:
            return
        frame = encode(message)

        def arrive(line: Line) -> None:
            if line.at_minion:
                if isinstance(message, Ack):
                    line.unacked.discard(message.jid)
                line.minion.heard(line, (enrolled if line.enrol else from_master).decode(frame))
        self._send(line, False, message, arrive)

    def master_closes(self, connection: Connection) -> None:
        """The master cuts a connection. It is told of the end as of any other."""
        line = self.lines.get(connection)
        if line is None or not line.at_master:
            return
        self._carry(line, False, lambda: self._end_minion(line, Closed.LOST))
        self._world.at(0.0, lambda: self._end_master(line), self._world.master)

    def master_gone(self) -> None:
        """The process of the master is gone, and its sockets with it."""
        for line in list(self.lines.values()):
            if line.at_master:
                line.at_master = False
                self._carry(line, False, lambda line=line: self._end_minion(line, Closed.LOST))  # type: ignore[misc]

    def master_rekeys(self) -> None:
        """The master closes its socket and opens another one, with its new key."""
        lines = [line for line in self.lines.values() if line.at_master]
        self.master_gone()
        for line in lines:
            if line.heard:
                self._world.master.gone(line)

    def cut(self, minion: SimMinion) -> None:
        """The line of a minion breaks: what is on its way is gone, and both ends notice."""
        line = minion.line
        if line is not None:
            line.stuck = []
            self._world.at(self._delay(), lambda: self._end_minion(line, Closed.LOST), minion)
            self._world.at(self._delay(), lambda: self._end_master(line), self._world.master)

    # partitions

    def part(self, minion: str) -> None:
        """Nothing passes between this minion and the master, and neither notices."""
        self.cut_off.add(minion)

    def join(self, minion: str) -> None:
        """The partition is over: what the transport kept trying goes through, in order."""
        self.cut_off.discard(minion)
        for line in list(self.lines.values()):
            if line.minion.name == minion:
                stuck, line.stuck = line.stuck, []
                for up, action in stuck:
                    self._carry(line, up, action)

    # inside

    def _send(self, line: Line, up: bool, message: Any, arrive: Callable[[Line], None]) -> None:
        chance, weather = self._world.chance, self.weather
        repeatable = isinstance(message, REPEATABLE)
        luck = chance.random()
        if luck < weather.lost:
            return
        luck -= weather.lost
        if repeatable and luck < weather.late:
            self._later(line.minion, up, arrive)
            return
        if repeatable and luck - weather.late < weather.twice:
            self._later(line.minion, up, arrive)
        self._carry(line, up, lambda: arrive(line))

    def _later(self, minion: SimMinion, up: bool, arrive: Callable[[Line], None]) -> None:
        def late() -> None:
            if minion.line is not None and not minion.line.enrol and minion.name not in self.cut_off:
                arrive(minion.line)
        party = self._world.master if up else minion
        self._world.at(self._world.chance.uniform(0.0, LATEST) ** self._world.chance.random(), late, party)

    def _carry(self, line: Line, up: bool, action: Callable[[], None]) -> None:
        """Frames of one line and one direction never overtake each other, nor its end."""
        at = max(line.arrives.get(up, 0.0), self._world.time + self._delay())
        line.arrives[up] = at

        def arrive() -> None:
            if line.minion.name in self.cut_off:
                line.stuck.append((up, action))
            else:
                action()
        self._world.at(at - self._world.time, arrive, self._world.master if up else line.minion)

    def _end_minion(self, line: Line, why: Closed) -> None:
        if line.at_minion:
            line.at_minion = False
            line.minion.line_closed(line, why)
        self._forget(line)

    def _end_master(self, line: Line) -> None:
        if line.at_master:
            line.at_master = False
            if line.heard:
                self._world.master.gone(line)
        self._forget(line)

    def _forget(self, line: Line) -> None:
        if not line.at_master and not line.at_minion:
            self.lines.pop(line.connection, None)

    def _delay(self) -> float:
        return self._world.chance.uniform(*DELAY)
