"""What the words of minions, and their silence, do to the ledger. Pure."""

from __future__ import annotations

from msgspec import UNSET

from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import (
    NO_SECRETS,
    Accepted,
    Ack,
    Evidence,
    HeldJob,
    Publish,
    Refused,
    Return,
    Started,
    Stopped,
)
from common.messages import Stop as StopMessage
from common.states import OPEN, State, Verdict, judge
from common.timers import Timers
from master.core import effects as do
from master.core.ledger import Ledger, OpenJob
from master.core.presence import Fleet
from master.records import DropStop, Job, Outcome, Pair, Stop

AGAIN = 30.0
"""Seconds on a living connection after which what is unanswered is sent again (DESIGN 5, rule 3)."""

NOT_A_TARGET = "this job never targeted its sender"
UNANSWERED = "never answered by the boot of the minion's host that it was sent to, and it may run there"
"""Why a job that was sent to an earlier boot, or to another host, is lost and not sent again."""

Word = Accepted | Started | Refused | Return | Stopped


class Tracker:
    """Follows open jobs from their first send to their last return."""

    def __init__(self, ledger: Ledger, fleet: Fleet, answer_grace: float, now: float) -> None:
        """`answer_grace` is how long past its time to start a sent pair may stay without any answer, in seconds.

        Of jobs that an earlier run of the master left open it counts from `now` on: it could not listen before.
        """
        self._answer_grace = answer_grace
        self._ledger = ledger
        self._fleet = fleet
        self._again: Timers[Jid] = Timers()
        self._starts: Timers[Jid] = Timers()
        self._deadlines: Timers[Jid] = Timers()
        for opened in ledger.jobs.values():
            self._limit(opened, now)

    def next(self) -> float | None:
        """When something is to be sent again or given up."""
        times = (self._again.next(), self._starts.next(), self._deadlines.next())
        return min((at for at in times if at is not None), default=None)

    def _limit(self, opened: OpenJob, now: float) -> None:
        """Note until when pairs may wait for their minions, and for the first answer of those that were sent."""
        job = opened.job
        if any(pair.state is State.PLANNED for pair in opened.pairs.values()):
            self._starts.set(job.jid, job.start_by)
        self._deadlines.set(job.jid, max(now, job.start_by) + self._answer_grace)

    # sending

    def launch(self, opened: OpenJob, now: float) -> list[do.Effect]:
        """Send a job that was just committed to all its minions that are there; the pairs already say `sent`."""
        self._limit(opened, now)
        sends = [effect for minion in opened.pairs for effect in self._send(opened, minion)]
        if opened.open:
            self._again.set(opened.job.jid, now + AGAIN)
        return sends

    def deliver(self, opened: OpenJob, minion: MinionId, now: float) -> list[do.Effect]:
        """Send a job to one minion, for the first time or again."""
        effects: list[do.Effect] = []
        if opened.pairs[minion].state is State.PLANNED:
            effects = self._ledger.move(opened, minion, State.SENT)
        self._again.set(opened.job.jid, now + AGAIN)
        return effects + self._send(opened, minion)

    def _send(self, opened: OpenJob, minion: MinionId) -> list[do.Effect]:
        connection = self._fleet.synced(minion)
        if connection is None or opened.pairs[minion].state is not State.SENT:
            return []
        if any(stop.how != "signal" for stop in opened.stops.get(minion, {}).values()):
            return []  # the stop alone: a minion that never saw the job must not start it first
        job = opened.job
        return [do.Send(connection, Publish(jid=job.jid, job=job.fields, start_by=job.start_by,
                                             secrets=UNSET if job.secrets == NO_SECRETS else job.secrets,
                                             start=self._fleet.start(minion)))]

    def send_stop(self, opened: OpenJob, stop: Stop, now: float) -> list[do.Effect]:
        """Send a stop to its minion if it is there; it is kept until it is answered."""
        self._again.set(opened.job.jid, now + AGAIN)
        connection = self._fleet.synced(stop.minion)
        if connection is None:
            return []
        return [do.Send(connection, StopMessage(stop=stop.stop, jid=stop.jid, how=stop.how, signal=stop.signal,
                                                grace=stop.grace, by=stop.by, start_by=opened.job.start_by))]

    # comparing

    def reconcile(self, minion: MinionId, connection: Connection, held: list[HeldJob], now: float, *,
                  strange: bool = False) -> list[do.Effect]:
        """A minion has said all that it holds: re-send, repeat, or close as lost.

        `strange` when what was sent before may lie with another host: then none of that is sent again.
        """
        states = {job.jid: job.state for job in held}
        effects: list[do.Effect] = []
        for opened in self._ledger.of_minion(minion):
            state = states.get(opened.job.jid)
            if state is not None:
                effects += self._hold(opened, minion, connection, state)
            elif strange and opened.pairs[minion].state is State.SENT:
                effects += self._ledger.close(opened, minion, State.LOST, UNANSWERED, now)
                effects += self._ledger.finish(opened, now)
            elif opened.pairs[minion].state in (State.PLANNED, State.SENT):
                if now < opened.job.start_by:
                    effects += self.deliver(opened, minion, now)
            elif opened.accepted_on.get(minion) != connection:
                effects += self._ledger.close(opened, minion, State.LOST, "the minion holds it no more", now)
                effects += self._ledger.finish(opened, now)
            for stop in opened.stops.get(minion, {}).values():
                effects += self.send_stop(opened, stop, now)
        return effects

    def _hold(self, opened: OpenJob, minion: MinionId, connection: Connection, state: State) -> list[do.Effect]:
        opened.accepted_on[minion] = connection
        if state in OPEN and judge(opened.pairs[minion].state, state) is Verdict.MOVE:
            return self._ledger.move(opened, minion, state)
        return []

    # words

    def word(self, opened: OpenJob, minion: MinionId, connection: Connection, word: Word,
             now: float) -> list[do.Effect]:
        """A minion speaks of a job that targets it."""
        match word:
            case Accepted():
                opened.accepted_on[minion] = connection
                return self._move(opened, minion, State.QUEUED if word.queued else State.ACCEPTED)
            case Started():
                opened.accepted_on[minion] = connection
                return self._started(opened, minion, connection, word, now)
            case Refused() if word.start not in (0, self._fleet.start(minion)):
                return []  # the agent that is there now knows nothing of it: it is sent the job, and may have begun it
            case Refused():
                # A jid that was seen may have run, and have been told to a master whose database is gone.
                return self._end(opened, minion, State.LOST if word.seen else State.REFUSED,
                                 Outcome(ended=now, evidence=Evidence(reason=word.reason)), now)
            case Stopped():
                return self._stopped(opened, minion, word, now)
            case Return():
                return [*self._end(opened, minion, word.state, outcome_of(word), now),
                        do.Send(connection, Ack(jid=word.jid))]

    def _started(self, opened: OpenJob, minion: MinionId, connection: Connection, word: Started,
                 now: float) -> list[do.Effect]:
        effects = self._move(opened, minion, State.RUNNING, pid=word.pid, started=word.at)
        # Before both sides have compared it is what started while nobody could be told, some time ago.
        if effects and self._fleet.synced(minion) == connection:
            opened.running[minion] = now
        return effects

    def _move(self, opened: OpenJob, minion: MinionId, state: State, pid: int | None = None,
              started: float | None = None) -> list[do.Effect]:
        if judge(opened.pairs[minion].state, state) is not Verdict.MOVE:
            return []
        return self._ledger.move(opened, minion, state, pid=pid, started=started)

    def _end(self, opened: OpenJob, minion: MinionId, state: State, outcome: Outcome,
             now: float) -> list[do.Effect]:
        verdict = judge(opened.pairs[minion].state, state)
        if verdict is Verdict.STALE:
            return []
        effects = self._ledger.move(opened, minion, state, outcome=outcome, pid=outcome.pid, started=outcome.started,
                                    corrected=verdict is Verdict.CORRECT)
        return effects + self._ledger.finish(opened, now)

    def _stopped(self, opened: OpenJob, minion: MinionId, word: Stopped, now: float) -> list[do.Effect]:
        stops = opened.stops.get(minion, {})
        stop = stops.get(word.stop)
        if stop is None:
            return []
        effects: list[do.Effect] = [do.Emit(do.StopAnswered(word, minion))]
        if word.outcome == "cancelled":
            evidence = Evidence(reason="stopped before it started", by=stop.by, asked=stop.at, asked_signal=stop.signal)
            return effects + self._end(opened, minion, State.KILLED, Outcome(ended=now, evidence=evidence), now)
        del stops[word.stop]
        return [*effects, do.Save(DropStop(stop.stop, minion))]

    # time

    def tick(self, now: float) -> list[do.Effect]:
        """Send again what is unanswered; give up what nobody ever answered."""
        effects: list[do.Effect] = []
        for jid in self._starts.due(now):
            effects += self._give_up(jid, State.PLANNED, State.UNDELIVERED,
                                     "its time to start passed, and the minion had not come", now)
        for jid in self._deadlines.due(now):
            effects += self._give_up(jid, State.SENT, State.LOST, "no answer by its time to start", now)
        for jid in self._again.due(now):
            opened = self._ledger.jobs.get(jid)
            if opened is not None:
                effects += self._repeat(opened, now)
        return effects

    def _give_up(self, jid: Jid, state: State, end: State, reason: str, now: float) -> list[do.Effect]:
        """End the pairs of a job that are still in `state`."""
        opened = self._ledger.jobs.get(jid)
        if opened is None:
            return []
        effects = [effect for minion in sorted(opened.open) if opened.pairs[minion].state is state
                   for effect in self._ledger.close(opened, minion, end, reason, now)]
        return effects + self._ledger.finish(opened, now) if effects else []

    def _repeat(self, opened: OpenJob, now: float) -> list[do.Effect]:
        effects = [effect for minion in sorted(opened.open) for effect in self._send(opened, minion)]
        for stop in [stop for stops in opened.stops.values() for stop in stops.values()]:
            effects += self.send_stop(opened, stop, now)
        if effects:
            self._again.set(opened.job.jid, now + AGAIN)
        return effects

    def adopt(self, jid: Jid, minion: MinionId, connection: Connection, word: Word, now: float,
              unminted: Jid) -> tuple[OpenJob | None, list[do.Effect]]:
        """A job that the master never heard of: a schedule's, or one from before a restore. Filed under its sender.

        `unminted` is the next jid that the master would mint: whatever is filed from there on would be in its way.
        Returns the job too, which that word may have ended; None when it is not filed.
        """
        if not isinstance(word, (Accepted, Return)) or word.job is None:
            return None, []
        if jid.suffix not in ("", minion.suffix):
            return None, _refused(minion, connection, jid, "this jid carries another minion's suffix")
        if not jid.suffix and jid >= unminted:
            return None, _refused(minion, connection, jid, "no master has minted this jid yet")
        published = (word.accepted if isinstance(word, Return) else word.at) or now
        job = Job(jid=jid, fields=word.job, target=minion, target_type="minion", published=published, start_by=now,
                  metadata=word.job.metadata)
        pair = Pair(jid=jid, minion=minion, state=State.PLANNED)
        effects = self._ledger.add(job, [pair], minted=False)
        opened = self._ledger.jobs[jid]
        return opened, effects + self.word(opened, minion, connection, word, now)


def _refused(minion: MinionId, connection: Connection, jid: Jid, reason: str) -> list[do.Effect]:
    return [do.Alarm(minion, jid, reason), do.Send(connection, Ack(jid=jid, refused=reason))]


def outcome_of(word: Return) -> Outcome:
    """What is kept of a return."""
    return Outcome(retcode=word.retcode, value=None if word.value is UNSET else bytes(word.value), stdout=word.stdout,
                   stderr=word.stderr, truncated=word.truncated, started=word.started, ended=word.ended,
                   duration=word.duration, pid=word.pid, evidence=word.evidence)
