"""What really happens in a simulated world, kept beside what its parties believe, and what must hold of the two.

The promises are those of DESIGN 1. Every change of the master's disk, every durable write of a minion, every start of
a payload and every message of the master is judged as it happens; memory is compared with disk after each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from common.codec import pack
from common.host.outbox import WINDOW
from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import Ack, Publish, Return, Stop
from common.states import NEXT, OBSERVED, OPEN, TERMINAL, State
from master.core import effects as do
from master.records import AddJob, AddStop, Change, DropStop, Job, MovePair, Pair, PutOccurrences, SetDone
from tests.sim.verdicts import Verdicts

if TYPE_CHECKING:
    from tests.sim.minion import SimMinion
    from tests.sim.world import World

NEVER_RAN = frozenset({State.KILLED, State.REFUSED, State.UNDELIVERED})
"""States that say that nothing ran, unless an end was observed."""
SECRETS = Raw(pack({"password": "canary"}))
"""Those of every job of the master that has a payload."""
Spot = tuple[Jid, MinionId]


class Truth:
    """The history of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.verdicts = Verdicts(world)
        self.jobs: dict[Jid, Job] = {}
        self.pairs: dict[Spot, State] = {}
        """Every pair as the master's disk has it."""
        self.targets: dict[Jid, list[MinionId]] = {}
        self.done: dict[Jid, float] = {}
        self.stops: dict[tuple[str, MinionId], Jid] = {}
        self.printed: list[Jid] = []
        self.starts: dict[Spot, float] = {}
        self.ends: dict[Spot, State] = {}
        """What a supervisor, or the agent for its inline functions, saw with its own eyes."""
        self.kept: set[Spot] = set()
        """Ends that are durable on their host: in the end the master must know them."""
        self.reads: set[Spot] = set()
        self.dirty: set[Jid] = set()
        self._announced: Counter[Jid] = Counter()
        self._asked: set[tuple[str, MinionId]] = set()
        self._begun: dict[Jid, tuple[float, float]] = {}
        self._ahead = 0.0
        self._lowest: dict[Jid, float] = {}

    # the master's clock

    def master_time(self, ahead: float) -> None:
        """Master time is virtual time plus `ahead` from here on, which may be less than it was."""
        self._ahead = ahead
        for jid in self._lowest:
            self._lowest[jid] = min(self._lowest[jid], ahead)

    # P1: accepted is durable

    def publishes(self, jid: Jid) -> None:
        """A jid was minted."""
        self._lowest[jid] = self._ahead

    def prints(self, jid: Jid, targets: Iterable[MinionId]) -> None:
        """An operator is shown a jid: the job and all its targets are committed, and no earlier jid is as high."""
        self._must(jid in self.jobs, "P1", jid, "is printed and not stored")
        self._must(set(self.targets.get(jid, ())) == set(targets), "P1", jid, "is printed without all its targets")
        self._must(not self.printed or jid > self.printed[-1], "P1", jid, "is not above the jid before it")
        self.printed.append(jid)

    # P2: at most once, and in time

    def begins(self, jid: Jid, minion: SimMinion, within: float) -> None:
        """A job begins on a minion."""
        self._begun[jid] = (self._world.time + within, minion.machine.wall_ahead)

    def payload_starts(self, jid: Jid, minion: MinionId) -> None:
        """A payload is let go."""
        self._world.say(f"{self._world.name(jid)} runs on {minion}")
        self._starts(jid, minion)
        self.verdicts.starts(jid)
        now = self._world.time
        if jid.suffix:
            until, ahead = self._begun[jid]
            same = ahead == self._world.minions[minion].machine.wall_ahead
            self._must(not same or now <= until + 1e-3, "P2", jid, f"starts on {minion} {now - until:.3f} s too late")
        else:
            self._must(jid in self.jobs, "P1", jid, f"starts on {minion} and is not stored")
            late = now + self._lowest[jid] - self.jobs[jid].start_by
            self._must(late <= 1e-3, "P2", jid, f"starts on {minion} {late:.3f} s too late")

    def unsealed(self, jid: Jid, minion: MinionId, sealed: bool, secrets: bytes) -> None:
        """A payload gets its secrets, or there are none. R-A23"""
        expected = bytes(SECRETS) if sealed else b""
        right = secrets == expected and sealed != bool(jid.suffix)
        self._must(right, "R-A23", jid, f"starts on {minion} with {secrets!r}")

    def _starts(self, jid: Jid, minion: MinionId) -> None:
        spot = (jid, minion)
        self._must(spot not in self.starts, "P2", jid, f"starts twice on {minion}")
        self.starts[spot] = self._world.time
        state = self.pairs.get(spot)
        self._must(state not in TERMINAL or state is State.LOST, "P4", jid, f"starts on {minion} and is {state}")

    def called(self, jid: Jid, minion: MinionId, *, reads: bool) -> None:
        """An inline function ran. One that only reads may run again: it leaves nothing that could tell."""
        if reads:
            self.reads.add((jid, minion))
        else:
            self._starts(jid, minion)
        self.ends[jid, minion] = State.SUCCEEDED

    # P3: returned exactly once

    def payload_ends(self, jid: Jid, minion: MinionId, state: State) -> None:
        """A supervisor observed the exit."""
        self._world.say(f"{self._world.name(jid)} ends on {minion}: {state}")
        self.ends[jid, minion] = state

    def spooled(self, jid: Jid, minion: MinionId, state: State) -> None:
        """A supervisor made a return durable."""
        if state in OBSERVED and (jid, minion) in self.ends:
            self.kept.add((jid, minion))

    def agent_spools(self, minion: SimMinion, message: Return) -> None:
        """An agent makes a return durable that no supervisor writes."""
        held = minion.machine.disk.spool.get(message.jid)
        self._must(held is None or message.state not in OBSERVED or held.state is message.state, "P3", message.jid,
                   f"has two ends on {minion.id}")
        self.spooled(message.jid, minion.id, message.state)

    def forgets(self, minion: SimMinion, jid: Jid) -> None:
        """A minion removes a return: the master must have it."""
        stored = self.pairs.get((jid, minion.id))
        message = minion.machine.disk.spool.get(jid)
        self._must(stored in TERMINAL, "P3", jid, f"is forgotten by {minion.id} and stored as {stored}")
        if message is not None and message.state in OBSERVED:
            self._must(stored is message.state, "P3", jid, f"on {minion.id} was {message.state}, stored is {stored}")

    def quarantined(self, minion: SimMinion, jid: Jid, reason: str) -> None:
        """No honest minion's return is ever refused."""
        self._must(False, "P3", jid, f"of {minion.id} was refused: {reason}")

    def claimed(self, minion: SimMinion, jid: Jid) -> None:
        """A claim is made once."""
        self._must(jid not in minion.machine.disk.claims, "P2", jid, f"is claimed twice on {minion.id}")

    def recorded(self, minion: SimMinion, jid: Jid) -> None:
        """From the fork on the record is the supervisor's."""
        old = minion.machine.disk.records.get(jid)
        mine = jid not in minion.machine.locks and (old is None or old.started is None)
        self._must(mine, "P2", jid, f"is recorded by the agent of {minion.id} after its supervisor came")

    def window(self, minion: SimMinion) -> None:
        """Returns on their way at once are bounded."""
        assert minion.line is not None
        on_way = len(minion.line.unacked)
        if on_way > WINDOW:
            self._world.fail(f"{minion.id} has {on_way} returns on their way")

    # P4 and P5: the ledger closes, and tells the truth

    def commits(self, changes: list[Change]) -> None:
        """The master's disk takes these, all or none."""
        for change in changes:
            match change:
                case AddJob(job, pairs):
                    self._must(job.jid not in self.jobs and bool(pairs), "P1", job.jid, "is stored twice, or empty")
                    self.jobs[job.jid] = job
                    self.targets[job.jid] = [pair.minion for pair in pairs]
                    for pair in pairs:
                        self.pairs[job.jid, pair.minion] = pair.state
                    self.dirty.add(job.jid)
                case MovePair(pair):
                    self._moves(pair)
                case SetDone():
                    self._dones(change)
                case AddStop(stop):
                    self.stops[stop.stop, stop.minion] = stop.jid
                    self._asked.add((stop.stop, stop.minion))
                case DropStop(name, minion):
                    self.stops.pop((name, minion), None)
                case PutOccurrences():
                    self.verdicts.stores(change)

    def _moves(self, pair: Pair) -> None:
        jid, spot = pair.jid, (pair.jid, pair.minion)
        old, state = self.pairs.get(spot, State.PLANNED), pair.state
        self.dirty.add(jid)
        self.pairs[spot] = state
        self._must(state in NEXT[old], "P4", jid, f"on {pair.minion} goes from {old} to {state}")
        if state not in TERMINAL:
            return
        self._must(pair.outcome is not None, "P4", jid, f"on {pair.minion} is {state} without evidence")
        seen = self.ends.get(spot)
        if state in OBSERVED and seen is not None and spot not in self.reads:
            self._must(seen is state, "P5", jid, f"on {pair.minion} is {state}, and was {seen}")
        elif state in NEVER_RAN:
            self._must(spot not in self.starts, "P4", jid, f"on {pair.minion} is {state}, and ran")
        elif state in OBSERVED:
            self._must(seen is not None, "P5", jid, f"on {pair.minion} is {state}, and nobody saw its exit")

    def _dones(self, change: SetDone) -> None:
        jid = change.jid
        states = Counter(self.pairs[jid, minion] for minion in self.targets[jid])
        self._must(not states.keys() & OPEN, "P4", jid, f"is done with {dict(states)}")
        self._must(dict(states) == change.counts, "P4", jid, f"is counted as {change.counts}, and is {dict(states)}")
        self._must(self.done.setdefault(jid, change.at) == change.at, "P4", jid, "is done twice")
        self.dirty.add(jid)

    def committed(self, changes: list[Change]) -> None:
        """They are on disk: lines for the transcript."""
        for change in changes:
            name = self._world.name
            match change:
                case AddJob(job, pairs):
                    states = " ".join(f"{pair.minion}={pair.state}" for pair in pairs)
                    self._world.say(f"{name(job.jid)} is stored: {states}")
                case MovePair(pair):
                    reason = pair.outcome.evidence.reason if pair.outcome is not None else None
                    self._world.say(f"{name(pair.jid)} {pair.minion}={pair.state}" + (f": {reason}" if reason else ""))
                case SetDone(jid, _, counts):
                    told = " ".join(f"{state}={counts[state]}" for state in State if counts.get(state))
                    self._world.say(f"{name(jid)} is done: {told}")

    def told(self, event: do.Event) -> None:
        """Whoever watches is told committed facts only."""
        match event:
            case do.PairMoved(pair):
                now = self.pairs.get((pair.jid, pair.minion))
                after = now is pair.state or (now is not None and now in NEXT[pair.state]) or pair.state in OPEN
                self._must(now is not None and after, "P4", pair.jid, f"{pair.state} is told, and {now} is stored")
            case do.JobDone(jid):
                self._announced[jid] += 1
                self._must(jid in self.done and self._announced[jid] == 1, "P4", jid, "is told done twice or early")
            case do.MinionUp(minion):
                self._world.say(f"{minion} is up")
            case do.KeyChanged(minion, "quarantined", reason):
                self._world.say(f"the key of {minion} is put into quarantine: {reason}")
            case do.MinionDown(minion, reason):
                self._world.say(f"{minion} is down: {reason}")

    def master_says(self, connection: Connection, message: Any) -> None:
        """The master's word never overtakes its disk."""
        line = self._world.network.lines.get(connection)
        if line is None:
            return
        minion = line.minion.id
        if isinstance(message, Ack) and message.refused is None:
            state = self.pairs.get((message.jid, minion))
            self._must(state in TERMINAL, "P3", message.jid, f"is acknowledged to {minion} and stored as {state}")
        elif isinstance(message, Publish):
            state = self.pairs.get((message.jid, minion))
            self._must(state not in (None, State.PLANNED), "P1", message.jid, f"is sent to {minion}, stored as {state}")
        elif isinstance(message, Stop):
            self._must((message.stop, minion) in self._asked, "P1", message.jid, f"is stopped on {minion}, not stored")

    def _must(self, holds: bool, promise: str, jid: Jid, what: str) -> None:
        if not holds:
            self._world.fail(f"{promise}: {self._world.name(jid)} ({jid}) {what}")
