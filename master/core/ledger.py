"""The open part of the ledger in memory: jobs that have a pair which is not terminal, and the moves of pairs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, structs

from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import NO_SECRETS, Evidence
from common.states import OPEN, TERMINAL, State, step
from master.core import effects as do
from master.records import AddJob, DropStop, Job, MovePair, Outcome, Pair, SetDone, Stop


class OpenJob(Struct):
    """A job that is followed, with all its pairs; closed ones without their outcome."""

    job: Job
    pairs: dict[MinionId, Pair]
    open: set[MinionId]
    accepted_on: dict[MinionId, Connection] = {}
    """Over which connection a pair was accepted: what a later one does not hold is lost."""
    running: dict[MinionId, float] = {}
    """When the word came that the payload runs, in master time: the minion's own clock may be wrong. In memory only."""
    stops: dict[MinionId, dict[str, Stop]] = {}
    """What is to be stopped and was not answered yet, by minion and stop id."""

    def counts(self) -> dict[State, int]:
        """How many pairs are in which state."""
        return dict(Counter(pair.state for pair in self.pairs.values()))


class Ledger:
    """Open jobs by jid, and by minion."""

    def __init__(self, jobs: Iterable[Job], pairs: Iterable[Pair], stops: Iterable[Stop]) -> None:
        self.jobs: dict[Jid, OpenJob] = {}
        self._by_minion: dict[MinionId, set[Jid]] = {}
        by_job: dict[Jid, list[Pair]] = {}
        for pair in pairs:
            by_job.setdefault(pair.jid, []).append(pair)
        for job in jobs:
            self.follow(job, by_job.get(job.jid, []))
        for stop in stops:
            if stop.jid in self.jobs:
                self.jobs[stop.jid].stops.setdefault(stop.minion, {})[stop.stop] = stop

    def follow(self, job: Job, pairs: list[Pair]) -> OpenJob:
        """Keep a job in memory until it is done."""
        opened = OpenJob(job=job, pairs={pair.minion: pair for pair in pairs},
                         open={pair.minion for pair in pairs if pair.state in OPEN})
        self.jobs[job.jid] = opened
        for minion in opened.open:
            self._by_minion.setdefault(minion, set()).add(job.jid)
        return opened

    def add(self, job: Job, pairs: list[Pair], *, minted: bool) -> list[do.Effect]:
        """A new job. All its pairs are committed with it."""
        opened = self.follow(job, pairs)
        new: list[do.Effect] = [do.Save(AddJob(job, pairs, minted)), do.Emit(do.JobNew(_bare(job), list(opened.pairs)))]
        return new + [do.Emit(do.PairMoved(pair)) for pair in pairs if pair.state in TERMINAL]

    def join(self, opened: OpenJob, minion: MinionId) -> None:
        """One more sender of a job whose list of targets this master lost, by a restore or a purge."""
        self.jobs.setdefault(opened.job.jid, opened)  # one that was done, and was read from the store, is open again
        opened.pairs[minion] = Pair(jid=opened.job.jid, minion=minion, state=State.PLANNED)
        opened.open.add(minion)
        self._by_minion.setdefault(minion, set()).add(opened.job.jid)

    def planned(self, jid: Jid) -> list[MinionId]:
        """The minions that an open job waits for."""
        opened = self.jobs.get(jid)
        return [] if opened is None else [minion for minion, pair in opened.pairs.items()
                                          if pair.state is State.PLANNED]

    def minions(self) -> list[MinionId]:
        """Everybody who has an open pair."""
        return list(self._by_minion)

    def open_pairs(self) -> int:
        """How many pairs are open in all."""
        return sum(map(len, self._by_minion.values()))

    def open_of(self, minion: MinionId) -> int:
        """How many jobs have an open pair with this minion."""
        return len(self._by_minion.get(minion, ()))

    def of_minion(self, minion: MinionId) -> list[OpenJob]:
        """The jobs that have an open pair with this minion, oldest first."""
        return [self.jobs[jid] for jid in sorted(self._by_minion.get(minion, ()))]

    def move(self, opened: OpenJob, minion: MinionId, state: State, *, outcome: Outcome | None = None,
             pid: int | None = None, started: float | None = None, corrected: bool = False) -> list[do.Effect]:
        """Move one pair and say so. Raises StateError when the table does not allow the step."""
        old = opened.pairs[minion]
        pair = Pair(jid=old.jid, minion=minion, state=step(old.state, state), pid=pid or old.pid,
                    started=started if started is not None else old.started, outcome=outcome)
        effects: list[do.Effect] = [do.Save(MovePair(pair))]
        if state in TERMINAL:
            self._close(opened, minion)
            opened.running.pop(minion, None)
            effects += [do.Save(DropStop(stop, minion)) for stop in opened.stops.pop(minion, {})]
            # The value may be large, and nobody asks the open ledger for it.
            opened.pairs[minion] = Pair(jid=pair.jid, minion=minion, state=state, pid=pair.pid, started=pair.started)
        else:
            opened.pairs[minion] = pair
        return [*effects, do.Emit(do.PairMoved(pair, corrected))]

    def close(self, opened: OpenJob, minion: MinionId, state: State, reason: str, now: float) -> list[do.Effect]:
        """End a pair on the master's own word."""
        return self.move(opened, minion, state, outcome=Outcome(ended=now, evidence=Evidence(reason=reason)))

    def finish(self, opened: OpenJob, now: float) -> list[do.Effect]:
        """If nothing is open any more the job is done, once; it leaves memory."""
        if opened.open:
            return []
        self.jobs.pop(opened.job.jid, None)
        counts = opened.counts()
        first = opened.job.done is None
        done = opened.job.done or now
        effects: list[do.Effect] = [do.Save(SetDone(opened.job.jid, done, counts))]
        if opened.job.secrets != NO_SECRETS:
            effects.append(do.Wipe())
        opened.job = structs.replace(_bare(opened.job), done=done)
        return [*effects, do.Emit(do.JobDone(opened.job.jid, now, counts))] if first else effects

    def _close(self, opened: OpenJob, minion: MinionId) -> None:
        opened.open.discard(minion)
        held = self._by_minion.get(minion)
        if held is not None:
            held.discard(opened.job.jid)
            if not held:
                del self._by_minion[minion]


def _bare(job: Job) -> Job:
    """The job without its secrets, for everybody but its minions."""
    return job if job.secrets == NO_SECRETS else structs.replace(job, secrets=NO_SECRETS)
