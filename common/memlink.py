"""A hub and its lines in memory, for tests: the contract is that of ZeroMQ, but nothing moves until it is pumped."""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Callable

from common.codec import ENROL_LIMIT, FRAME_LIMIT
from common.ids import MinionId
from common.link import Closed, Connection, Doorkeeper, EnrolEvents, HubEvents, Key, LineEvents


class Wire:
    """One direction of one line. What is on it arrives in order; a test decides when, and between which others."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._steps: deque[Callable[[], None]] = deque()

    def put(self, step: Callable[[], None]) -> bool:
        """Queue a delivery; False when the wire is full."""
        if len(self._steps) >= self._room:
            return False
        self._steps.append(step)
        return True

    def break_off(self, step: Callable[[], None]) -> None:
        """Lose all that is under way; `step` is what the end then sees."""
        self._steps.clear()
        self._steps.append(step)

    def clear(self) -> None:
        """Lose all that is under way."""
        self._steps.clear()

    def deliver(self) -> bool:
        """Let the next thing arrive; False when there is none."""
        if not self._steps:
            return False
        self._steps.popleft()()
        return True

    def __len__(self) -> int:
        return len(self._steps)


class _State(enum.Enum):
    NEW = "new"
    OPEN = "open"
    OVER = "over"


class MemLine:
    """A `Line` to a `MemHub`."""

    def __init__(self, hub: MemHub, key: Key, events: LineEvents, room: int) -> None:
        self.key = key
        self.up = Wire(room)
        self.down = Wire(room)
        self._hub = hub
        self._events = events
        self._state = _State.NEW

    def send(self, frame: bytes) -> bool:
        """See `Line`."""
        return self._state is _State.OPEN and self.up.put(lambda: self._hub.arrived(self, frame))

    def close(self) -> None:
        """See `Line`."""
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self.down.clear()
            self.up.break_off(lambda: self._hub.lost(self))

    def opened(self) -> None:
        """The hub let us in."""
        if self._state is _State.NEW:
            self._state = _State.OPEN
            self._events.opened()

    def received(self, frame: bytes) -> None:
        """A frame from the hub."""
        if self._state is _State.OPEN:
            self._events.received(frame)

    def refused(self) -> None:
        """The hub does not know our key."""
        self._end(Closed.REFUSED)

    def broken(self) -> None:
        """The line ended, but not by us."""
        self._end(Closed.LOST if self._state is _State.OPEN else Closed.FAILED)

    def _end(self, why: Closed) -> None:
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._events.closed(why)


class MemHub:
    """A `Hub` in memory, with its enrolment port."""

    def __init__(
        self, doorkeeper: Doorkeeper, events: HubEvents, enrol_events: EnrolEvents,
        *, max_frame: int = FRAME_LIMIT, queue: int = 256,
    ) -> None:
        self._doorkeeper = doorkeeper
        self._events = events
        self._enrol_events = enrol_events
        self._max_frame = max_frame
        self._queue = queue
        self._names = itertools.count(1)
        self._lines: list[MemLine] = []
        self._minions: dict[MemLine, MinionId] = {}
        self._enrolling: set[MemLine] = set()
        self._connections: dict[Connection, MemLine] = {}
        self._named: dict[MemLine, Connection] = {}
        self._closed = False

    def open_line(self, key: Key, events: LineEvents) -> MemLine:
        """A line to the main port; the handshake waits to be pumped like all else."""
        return self._open(key, events, self._admit)

    def open_enrol(self, key: Key, events: LineEvents) -> MemLine:
        """A line to the enrolment port."""
        return self._open(key, events, self._admit_claim)

    def send(self, connection: Connection, frame: bytes) -> bool:
        """See `Hub`."""
        line = self._connections.get(connection)
        return line is not None and line.down.put(lambda: line.received(frame))

    def drop(self, connection: Connection) -> None:
        """See `Hub`."""
        line = self._connections.get(connection)
        if line is not None:
            self.cut(line)

    def drop_key(self, key: Key) -> None:
        """See `Hub`."""
        for line in [line for line in self._minions if line.key == key]:
            self.cut(line)

    def key_of(self, connection: Connection) -> Key | None:
        """See `Hub`."""
        line = self._connections.get(connection)
        return None if line is None else line.key

    def close(self) -> None:
        """See `Hub`."""
        self._closed = True
        for line in self._lines:
            line.up.clear()
            line.down.break_off(line.broken)
        self._minions.clear()
        self._enrolling.clear()
        self._connections.clear()
        self._named.clear()

    def cut(self, line: MemLine) -> None:
        """Break a line as a network does: what is under way is lost, and each end is told when it is pumped."""
        self._minions.pop(line, None)
        self._enrolling.discard(line)
        line.down.break_off(line.broken)
        connection = self._named.pop(line, None)
        line.up.clear()
        if connection is not None:
            del self._connections[connection]
            line.up.put(lambda: self._gone(connection))

    def wires(self) -> list[Wire]:
        """The wires on which something waits, oldest line first; a test may `deliver` from any of them."""
        self._lines = [line for line in self._lines if line in self._minions or line in self._enrolling
                       or line.up or line.down]
        return [wire for line in self._lines for wire in (line.up, line.down) if wire]

    def pump(self, steps: int = 100_000) -> int:
        """Deliver until all is quiet, in turns; returns how many things arrived. Raises RuntimeError past `steps`.

        What a callback raises comes out here: a test wants to see it.
        """
        arrived = 0
        while wires := self.wires():
            for wire in wires:
                arrived += wire.deliver()
            if arrived > steps:
                raise RuntimeError(f"cannot come to rest: {arrived} deliveries")
        return arrived

    def arrived(self, line: MemLine, frame: bytes) -> None:
        """A frame came in on `line`."""
        if line in self._enrolling:
            self._claim(line, frame)
        elif line in self._minions and len(frame) > self._max_frame:
            self.cut(line)
        elif line in self._minions:
            if line not in self._named:
                self._named[line] = Connection(next(self._names))
                self._connections[self._named[line]] = line
            self._events.received(self._named[line], self._minions[line], frame)

    def lost(self, line: MemLine) -> None:
        """The other end of `line` closed it."""
        self._minions.pop(line, None)
        self._enrolling.discard(line)
        connection = self._named.pop(line, None)
        if connection is not None:
            del self._connections[connection]
            self._gone(connection)

    def _open(self, key: Key, events: LineEvents, admit: Callable[[MemLine], bool]) -> MemLine:
        line = MemLine(self, key, events, self._queue)
        self._lines.append(line)
        if self._closed:
            line.down.put(line.broken)
        else:
            line.up.put(lambda: self._handshake(line, admit))
        return line

    def _handshake(self, line: MemLine, admit: Callable[[MemLine], bool]) -> None:
        line.down.put(line.opened if admit(line) else line.refused)

    def _admit(self, line: MemLine) -> bool:
        minion = self._doorkeeper.admit(line.key)
        if minion is not None:
            self._minions[line] = minion
        return minion is not None

    def _admit_claim(self, line: MemLine) -> bool:
        self._enrolling.add(line)
        return True

    def _claim(self, line: MemLine, frame: bytes) -> None:
        if len(frame) > ENROL_LIMIT:
            self.cut(line)
            return
        answer = self._enrol_events.claimed(line.key, frame, "memory")
        if answer is not None:
            line.down.put(lambda: line.received(answer))

    def _gone(self, connection: Connection) -> None:
        if not self._closed:
            self._events.gone(connection)
