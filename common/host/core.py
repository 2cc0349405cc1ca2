"""The life of jobs on one host, as a pure core: what to claim, record, start, stop, spool, send and forget.

Minions run it for the jobs of their master, the master for its runner jobs. It is told what happened and the time, and
returns effects; it never touches a disk, a process, a socket or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Raw, structs

from common.errors import JrError
from common.host import effects as do
from common.host.claims import KEPT, Kept
from common.host.job import Job, Limits, Now, Planner
from common.host.jobs import Jobs
from common.ids import Jid
from common.messages import (
    HELD_PAGE,
    NO_SECRETS,
    Accepted,
    Ack,
    Held,
    HeldJob,
    JobFields,
    Publish,
    Return,
    Started,
    Stop,
    Stopped,
)
from common.proc.record import JobRecord, StopRequest
from common.secrets import hide
from common.states import TERMINAL, State

HELD_LIMIT = 10_000
"""Open jobs that a host holds at once; more are refused: a flood ends in clear answers and not in a full disk."""
START_TRIES = 3
"""How often a supervisor is started for a job before it counts as one that cannot be started."""
STOPS_LIMIT = 100
"""Stop requests that one job takes: its supervisor reads them all each time."""
ENDS_KEPT = 10
"""How many of them are kept for requests to end it, so that no number of signals uses up its kill."""


class Host:
    """All jobs of one host: what happens to them, and what follows from it."""

    def __init__(self, limits: Limits, planner: Planner, *, followed: bool = False) -> None:
        """`followed`: a schedule of this host takes note of how its runs ended, and says so by `noted`."""
        self._followed = followed
        self._boot_id = limits.boot_id
        self._agent_start = limits.start
        self._planner = planner
        self.held = Jobs(limits)

    # start of the daemon

    def load(self, claims: dict[Jid, Kept], adopted: Iterable[JobRecord], idle: Iterable[JobRecord],
             spooled: dict[Jid, State], now: Now, since: dict[Jid, float] | None = None) -> list[do.Effect]:
        """Take over what the disk holds after a start of the daemon.

        `adopted` have a living supervisor; `idle` have none and no start, or ran inside the agent that is gone;
        `spooled` have ended, in that order; `since` is when, in boot time.
        """
        for jid, kept in claims.items():
            self.held.claims.add(jid, kept.until, cancelled=kept.cancelled)
        for jid, state in spooled.items():
            self.held.outbox.add(jid, (since or {}).get(jid, now.boot))
            self.held.jobs[jid] = Job(record=_ended(jid), state=state)
            self._follow(jid, bool(jid.suffix))  # which of them are runs is not read here
        for record in adopted:
            self._hold(record)
            self.held.start(record.jid)
        effects: list[do.Effect] = []
        # Those that never had to wait come first, whatever the wall clock says: their supervisors may be on their way.
        for record in sorted(idle, key=lambda idle: (idle.state is State.QUEUED, idle.accepted)):
            self._hold(structs.replace(record, state=State.ACCEPTED))
            if record.inline:
                effects += self.held.finish(record, State.LOST, now, reason="the agent ended while it ran")
            elif record.deadline_boot_id == self._boot_id:
                effects += self.held.queue_or_start(record.jid, now)
            elif _is_local(record):
                effects += self.held.after_reboot(record, now, now.wall)
        return effects

    # words of the master

    def publish(self, message: Publish, now: Now, master_now: float) -> list[do.Effect]:
        """A job from the master. Repeated ones are answered from what is held.

        One that was said to an earlier start of this agent counts for nothing: that one may have refused the job, which
        is remembered in memory alone, since a disk without room takes no note of it.
        """
        jid = message.jid
        if message.start not in (0, self._agent_start):
            return []
        if jid in self.held.jobs:
            return self.held.answer(jid, now)
        if jid in self.held.calls:
            return []
        if jid in self.held.outbox:
            self.held.outbox.again(jid)
            return self.held.pump(now)
        if (reason := self.held.claims.refused(jid)) is not None:
            return [self.held.refused(jid, reason)]
        if jid in self.held.claims:
            return [self.held.refused(jid, "the minion has seen it before and holds it no more", seen=True)]
        deadline = now.boot + message.start_by - master_now
        if deadline <= now.boot:
            return self.held.refuse(jid, "its time to start had passed when it came", now.boot)
        secrets = NO_SECRETS if message.secrets is UNSET else message.secrets
        try:
            return self._begin(jid, message.job, secrets, deadline, message.start_by, now, local=False)
        except JrError as error:
            return self.held.refuse(jid, str(error)[:4000], deadline)

    def begin(self, jid: Jid, fields: JobFields, start_within: float, now: Now,
              secrets: Raw = NO_SECRETS) -> list[do.Effect]:
        """A job that begins here: a schedule's or jr-call's. Raises JrError when it cannot be called so."""
        if jid in self.held.jobs or jid in self.held.claims:
            raise JrError(f"cannot start {jid}: it was started already")
        return self._begin(jid, fields, secrets, now.boot + start_within, now.wall + start_within, now, local=True)

    def ack(self, message: Ack, now: Now) -> list[do.Effect]:
        """The master has stored a return, or refused it for good.

        That of a run stays until the schedule of this host has noted its end too: what follows from it hangs on that.
        """
        job = self.held.jobs.get(message.jid)
        if not self.held.outbox.acked(message.jid):
            return []
        if job is None:
            return self.held.pump(now)
        if message.jid in self.held.unnoted:
            self.held.unnoted[message.jid] = message
            return self.held.pump(now)
        return [self._forget(message), *self.held.pump(now)]

    def noted(self, jids: Iterable[Jid]) -> list[do.Effect]:
        """The schedule of this host has the ends of these jobs in its journal, or they are no runs of it."""
        acks = [self.held.unnoted.pop(jid, None) for jid in jids]
        return [self._forget(ack) for ack in acks if ack is not None]

    def stop(self, message: Stop, now: Now, master_now: float) -> list[do.Effect]:
        """A stop from the master. For a jid that was never seen here it makes sure that the job never starts.

        A job that was refused is refused once more: were the stop answered instead, and the refusal lost, the master
        would send the job to the next start of this agent, with no stop before it.
        """
        if (why := self.held.claims.refused(message.jid)) is not None:
            return [self.held.refused(message.jid, why)]
        request = StopRequest(stop=message.stop, how=message.how, signal=message.signal, grace=message.grace,
                              by=message.by, at=now.wall)
        outcome, effects = self.ask_stop(message.jid, request, now)
        if outcome == "unknown" and message.how != "signal":
            until = now.boot + max(0.0, message.start_by - master_now) + KEPT
            self.held.claims.add(message.jid, until, cancelled=True)
            outcome, effects = "cancelled", [do.Claim(message.jid, until, message.start_by, cancelled=True)]
        elif outcome == "unknown":
            outcome = "failed"
        if outcome == "signalled":
            return effects or self._said_of(message)  # the supervisor says how it went, see stop_result
        reason = _WHY.get((message.how == "signal", outcome), "")
        return [*effects, do.Send(Stopped(stop=message.stop, jid=message.jid, outcome=outcome, reason=reason))]

    def ask_stop(self, jid: Jid, request: StopRequest, now: Now) -> tuple[Any, list[do.Effect]]:
        """Stop or signal a job, for whoever asks.

        The outcome is one of Stopped's, or `unknown`; `signalled` means that the supervisor will say how it went.
        """
        job = self.held.jobs.get(jid)
        if jid in self.held.calls:
            return "failed", []
        if job is None and self.held.claims.cancelled(jid):
            return "cancelled", []
        if job is None:
            return ("ended" if jid in self.held.claims or jid in self.held.outbox else "unknown"), []
        if job.state in TERMINAL:
            return "ended", self.held.answer(jid, now)
        if job.record.inline or (request.how == "signal" and not job.starting):
            return "failed", []
        if not job.starting:
            return "cancelled", self.held.finish(job.record, State.KILLED, now, reason="stopped before it started",
                                             request=request)
        outcome = "signalled" if request.how == "signal" else "stopping"
        if request.stop in job.stops:
            return outcome, []
        if len(job.stops) >= STOPS_LIMIT - (ENDS_KEPT if request.how == "signal" else 0):
            return "failed", []
        job.stops[request.stop] = None
        return outcome, [do.SaveStop(jid, request), do.Wake(jid)]

    # words of the executor

    def started(self, jid: Jid, pid: int, at: float) -> list[do.Effect]:
        """The payload runs; `at` is wall time."""
        job = self.held.jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        job.state = State.RUNNING
        job.record = structs.replace(job.record, pid=pid, started=at, state=State.RUNNING)
        return [do.Send(Started(jid=jid, pid=pid, at=at))]

    def ended(self, jid: Jid, state: State, now: Now) -> list[do.Effect]:
        """The return lies in the spool."""
        job = self.held.jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        self.held.close(jid, state, now)
        return [*self.held.pump(now), *self.held.start_waiting(now)]

    def damaged(self, jid: Jid, now: Now, reason: str) -> list[do.Effect]:
        """The return of a job that has ended cannot be read any more: what is left to say is that it is lost."""
        job = self.held.jobs.get(jid)
        if job is None:
            return []
        if job.state not in TERMINAL:
            return self.held.finish(job.record, State.LOST, now, reason=reason)
        job.state = State.LOST
        self.held.outbox.again(jid)
        return [do.Spool(self.held.lost(job.record, State.LOST, now, reason)), *self.held.pump(now)]

    def vanished(self, jid: Jid, now: Now, reason: str) -> list[do.Effect]:
        """The supervisor ended, or never came, before it started anything: try again while there is time."""
        job = self.held.jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        job.tries += 1
        if job.tries < START_TRIES and job.record.deadline > now.boot:
            return [do.Start(jid)]
        return self.held.finish(job.record, State.LOST, now, reason=f"could not be started: {reason}")

    def called(self, message: Return, now: Now) -> list[do.Effect]:
        """An inline function of the agent ended."""
        if message.jid in self.held.calls:
            self.held.calls.discard(message.jid)
            self.held.outbox.add(message.jid, now.boot, message)
            return self.held.pump(now)
        job = self.held.jobs.get(message.jid)
        if job is None or job.state in TERMINAL:
            return []
        self.held.close(message.jid, message.state, now)
        return [do.Spool(message), *self.held.pump(now)]

    def unwritten(self, jid: Jid, reason: str, now: Now) -> list[do.Effect]:
        """A new job could not be written, and nothing of it was told: it is refused, and what was written goes.

        Its claim is remembered all the same: the refusal is final, however often the job is sent.
        """
        job = self.held.jobs.pop(jid, None)
        if job is None:
            return []
        if job.state not in TERMINAL:
            self.held.open -= 1
            self.held.slots.leave(jid)
        self.held.outbox.acked(jid)
        self.held.unnoted.pop(jid, None)
        self.held.claims.refuse(jid, reason)
        refused: list[do.Effect] = [] if job.local else [self.held.refused(jid, reason)]
        return [do.Undo(jid), *refused, *self.held.pump(now), *self.held.start_waiting(now)]

    def stop_result(self, answer: Stopped) -> list[do.Effect]:
        """The supervisor says what became of a signal."""
        job = self.held.jobs.get(answer.jid)
        if job is not None and answer.stop in job.stops:
            job.stops[answer.stop] = answer
        return [do.Send(answer)]

    # the connection and time

    def welcomed(self, now: Now, master_now: float) -> list[do.Effect]:
        """A connection is open: say what is held, then send all that is not acknowledged."""
        effects: list[do.Effect] = []
        for record in [job.record for job in self.held.jobs.values()
                       if not job.starting and job.state is State.ACCEPTED and not job.record.inline]:
            effects += self.held.after_reboot(record, now, master_now)
        for jid, job in self.held.jobs.items():
            if job.state not in TERMINAL and (job.local or job.state is State.RUNNING):
                # These words are not acknowledged: the master may have been away when they were said.
                effects += self.held.answer(jid, now)
        held = [HeldJob(jid, job.state) for jid, job in self.held.jobs.items()]
        pages = [held[at:at + HELD_PAGE] for at in range(0, len(held), HELD_PAGE)] or [[]]
        effects += [do.Send(Held(jobs=page, last=page is pages[-1])) for page in pages]
        self.held.outbox.connected()
        return effects + self.held.pump(now)

    def disconnected(self) -> None:
        """Nothing that was sent and not answered can be counted on."""
        self.held.outbox.disconnected()

    def tick(self, now: Now) -> list[do.Effect]:
        """Time has passed: send again, drop old claims."""
        old = self.held.claims.old(now.boot, self.held.jobs.__contains__)
        effects: list[do.Effect] = [do.DropClaim(jid) for jid in old]
        for jid in self.held.slots.expired(now.boot):
            effects += self.held.queue_or_start(jid, now)
        return effects + self.held.pump(now)

    def _begin(self, jid: Jid, fields: JobFields, secrets: Raw, deadline: float, start_by: float, now: Now, *,
               local: bool) -> list[do.Effect]:
        fields, secrets = hide(fields, secrets)  # whoever made the job: nothing below writes what must not be read
        plan = self._planner.plan(fields, secrets)
        if self.held.open >= HELD_LIMIT or len(self.held.calls) >= HELD_LIMIT:
            raise JrError(f"cannot take another job: {HELD_LIMIT} are open already")
        record = self.held.new_record(jid, fields, plan, deadline, start_by, now)
        if plan.inline and plan.reads:
            self.held.calls.add(jid)
            return [do.Call(record, plan.sealed)]
        until = deadline + KEPT
        self.held.claims.add(jid, until)
        job = self._hold(record, local=local)
        effects: list[do.Effect] = [do.Claim(jid, until, start_by)]
        accepted = Accepted(jid=jid, job=fields if local else None, at=now.wall)
        if plan.inline:
            return [*effects, do.SaveRecord(record), do.Send(accepted), do.Call(record, plan.sealed)]
        if plan.sealed:
            effects.insert(0, do.SaveSecrets(jid, plan.sealed))  # no record may ever be without them
        if self.held.slots.full:
            job.state = State.QUEUED
            job.record = structs.replace(record, state=State.QUEUED)
            self.held.slots.wait(jid, deadline)
            return [*effects, do.SaveRecord(job.record), do.Send(structs.replace(accepted, queued=True))]
        self.held.start(jid)
        return [*effects, do.SaveRecord(record), do.Send(accepted), do.Start(jid)]

    def _hold(self, record: JobRecord, *, local: bool | None = None) -> Job:
        local = _is_local(record) if local is None else local
        self._follow(record.jid, local and record.schedule is not None)
        return self.held.hold(record, local=local)

    def _follow(self, jid: Jid, run: bool) -> None:
        if run and self._followed:
            self.held.unnoted[jid] = None

    def _forget(self, ack: Ack) -> do.Effect:
        """What the master has, and nobody here waits for."""
        del self.held.jobs[ack.jid]
        return do.Forget(ack.jid) if ack.refused is None else do.Quarantine(ack.jid, ack.refused)

    def _said_of(self, message: Stop) -> list[do.Effect]:
        """What the supervisor answered to a signal that is asked for once more; nothing while it has not."""
        answer = self.held.jobs[message.jid].stops.get(message.stop)
        return [] if answer is None else [do.Send(answer)]


_WHY = {
    (True, "failed"): "it has not started, runs inside the agent, has too many requests, or is not known here",
    (False, "failed"): "it runs inside the agent, or has too many requests, and cannot be stopped",
}


def _is_local(record: JobRecord) -> bool:
    return bool(record.jid.suffix)


def _ended(jid: Jid) -> JobRecord:
    """What stands for the record of a job whose return is all that is left."""
    return JobRecord(jid=jid, function="", args=[], kwargs={}, user="", state=State.ACCEPTED, accepted=0.0,
                     deadline_boot_id="", deadline=0.0, args_packed="", kwargs_packed="")
