"""A world in one process: one master, many minions, a virtual clock; links, disks and processes in memory.

Everything random comes from one seed, and everything that befalls the world is a command in words (`commands.py`), so
that the transcript of a world can be played again.
"""

from __future__ import annotations

import heapq
import random
import traceback
from collections.abc import Callable

from common.ids import Jid, MinionId
from tests.sim.checks import check, check_empty, check_quiet
from tests.sim.loop import Loop
from tests.sim.master import SimMaster
from tests.sim.minion import SimMinion
from tests.sim.network import Network, Weather
from tests.sim.process import Process
from tests.sim.schedule import Entries
from tests.sim.truth import Truth

LOST_AFTER = 600.0
"""Seconds: a shorter absence than real masters allow, so that worlds need not run for a day."""
HEALING = 120.0
"""Seconds after the last fault until everything is complete (P9), beyond what deadlines allow."""


SETTLING = 60.0
"""Seconds in which an alarm about keys is raised, if it is."""
RELEASED = 2.0
"""Seconds in which a schedule that was held goes on."""
LAST_RUNS = 10
"""Times so many seconds that the last runs of schedules may take: longer than any may wait for its turn."""


class Broken(AssertionError):
    """A promise was broken. Its text is the transcript, with the promise at the end."""


class World:
    """Runs the parties against each other, one event at a time."""

    def __init__(self, seed: int, minions: int = 20, *, max_jobs: int = 0, lost_after: float = LOST_AFTER,
                 scheduled: int = 0) -> None:
        """All parties are started; give them a moment to connect. The first `scheduled` minions have a schedule."""
        self.chance = random.Random(seed)
        self.time = 0.0
        self.transcript = [f"world seed {seed} minions {minions} max_jobs {max_jobs} lost_after {lost_after:g}"
                           + (f" scheduled {scheduled}" if scheduled else "")]
        self.names: dict[Jid, str] = {}
        self.notices_lost = 0.0
        """The chance that a notice of a supervisor to its agent is lost."""
        self.touched: set[Process] = set()
        """Who took a step since the last look."""
        self.events = 0
        self._failure: str | None = None
        self._events: list[tuple[float, int, Process | Loop | None, Callable[[], None]]] = []
        self._count = 0
        self.truth = Truth(self)
        self.network = Network(self)
        self.master = SimMaster(self, lost_after)
        ids = [MinionId(f"m{number}") for number in range(1, minions + 1)]
        self.minions = {name: SimMinion(self, name, max_jobs) for name in ids}
        for name in ids[:scheduled]:
            self.minions[name].machine.files = Entries()
        for name in ids:
            self.master.enrolled(name)
        self.master.start()
        for minion in self.minions.values():
            minion.start()

    # time

    def at(self, delay: float, action: Callable[[], None], party: Process | Loop | None = None) -> None:
        """Do `action` after `delay` seconds of virtual time; `party` does it, so if it stands still it is later."""
        self._count += 1
        heapq.heappush(self._events, (self.time + delay, self._count, party, action))

    def run(self, seconds: float) -> None:
        """Let time pass; after every event the invariants must hold. Raises Broken."""
        end = self.time + seconds
        while self._events and self._events[0][0] <= end:
            at, count, party, action = heapq.heappop(self._events)
            self.time = max(self.time, at)
            if party is not None and party.frozen_until > self.time:
                heapq.heappush(self._events, (party.frozen_until, count, party, action))
                continue
            self.events += 1
            try:
                action()
            except Exception:  # whatever a core raises is a bug that was found, and wants its transcript
                self.fail(f"{party.name if party is not None else 'the world'} fails: {traceback.format_exc()}")
            if party is not None and party.owner.acted:
                self.touched.add(party.owner)
                party.owner.acted = False
            if self.touched or self._failure is not None:
                self.verify()
        self.time = end

    def verify(self) -> None:
        """Raises Broken when a promise was broken."""
        if self._failure is None:
            check(self)
        if self._failure is not None:
            raise Broken("\n".join([*self.transcript, f"BROKEN {self._failure}"]))

    def settle(self) -> None:
        """The faults are over: everything works, and enough time passes (P9). Raises Broken."""
        frozen = max(party.frozen_until for party in (self.master, *self.minions.values()))
        self.run(max(0.0, frozen - self.time))
        self.network.weather = Weather()
        self.notices_lost = 0.0
        self.master.crash_in = None
        self.master.fail_commits = self.master.fail_recalls = 0
        self.master.disk_seconds = self.master.COMMIT
        self.master.start()
        for minion in self.minions.values():
            minion.crash_in = None
            minion.fail_commits = 0
            minion.machine.full_until = 0.0
            minion.disk_seconds = minion.COMMIT
            self.network.join(minion.name)
            if minion.id in self.master.strangers and self.master.pki.own not in minion.machine.pki.masters:
                minion.die()  # its operator gives it a new join string
                minion.machine.pki.masters = [self.master.pki.own]
            minion.start()
            self.master.readmit(minion)
        self._part_twins()
        open_jobs = [job for job in self.truth.jobs.values() if job.jid not in self.truth.done]
        latest = max((job.start_by - self.master.now() for job in open_jobs), default=0.0)
        self.run(HEALING + max(0.0, latest) + self.master.terms.answer_grace)
        self._end_schedules()
        check_quiet(self)
        self.verify()

    def _end_schedules(self) -> None:
        """All entries are deleted; what runs ends, and the master hears of it."""
        minions = [minion for minion in self.minions.values() if minion.schedule is not None and minion.files.written]
        for minion in minions:
            minion.ask_schedule(lambda desk: desk.release())
        self.run(RELEASED)
        for minion in minions:
            self.truth.verdicts.check_reached(minion)
            minion.write_entries({})
        for _ in range(LAST_RUNS):
            if not minions:
                break
            self.run(SETTLING)
            minions = [minion for minion in minions if minion.host is not None and minion.host.held.jobs]

    # machines that share a key

    def clone(self, name: MinionId, starts: int) -> None:
        """Another machine begins with this minion's key, and with so many starts behind it as were copied."""
        twin = MinionId(f"{name}-twin")
        if twin not in self.minions:
            self.minions[twin] = SimMinion(self, twin, self.minions[name].max_jobs, known_as=name)
            self.minions[twin].machine.disk.starts = starts
            self.minions[twin].machine.pki = self.minions[name].machine.pki
        self.minions[twin].start()

    def _part_twins(self) -> None:
        """What an operator does about a quarantine: each host in turn has the key alone, and the twin loses it."""
        twins = [minion for minion in self.minions.values() if minion.name != minion.id]
        if not twins:
            return
        for twin in twins:
            self.minions[twin.id].die()
            twin.start()
        self._readmit(twins)
        self.run(HEALING)
        for twin in twins:
            check_empty(self, twin)
            twin.die()
            del self.minions[MinionId(twin.name)]
            self.minions[twin.id].start()
        self._readmit(twins)

    def _readmit(self, minions: list[SimMinion]) -> None:
        """Accept their keys; a little later again, since this turn may be one too many, which raises the alarm."""
        for _ in range(2):
            for minion in minions:
                self.master.readmit(minion)
            self.run(SETTLING)

    # words

    def say(self, text: str) -> None:
        """A line of the transcript: what happened."""
        self.transcript.append(f"{self.time:8.3f} {text}")

    def fail(self, text: str) -> None:
        """A promise is broken; the first one counts."""
        if self._failure is None:
            self._failure = f"at {self.time:.6f}: {text}"

    def name(self, jid: Jid) -> str:
        """What the transcript calls a job."""
        return self.names.get(jid, jid)
