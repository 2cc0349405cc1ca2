"""The life of jobs on one host, as a pure core: what to claim, record, start, stop, spool, send and forget.

Minions run it for the jobs of their master, the master for its runner jobs. It is told what happened and the time, and
returns effects; it never touches a disk, a process, a socket or a clock.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import UNSET, Raw, Struct, structs

from common.errors import JrError
from common.host import effects as do
from common.host.claims import KEPT, Claims, Kept
from common.host.outbox import Outbox
from common.host.slots import Slots
from common.ids import Jid
from common.messages import (
    HELD_PAGE,
    NO_SECRETS,
    Accepted,
    Ack,
    Evidence,
    Held,
    HeldJob,
    JobFields,
    LeftBehind,
    Load,
    Publish,
    Refused,
    Return,
    Started,
    Stop,
    Stopped,
)
from common.proc.record import JobRecord, StopRequest, fields_of
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


class Now(Struct, frozen=True):
    """One moment, as both clocks of the host show it."""

    boot: float
    """CLOCK_BOOTTIME seconds: for everything that is measured."""
    wall: float
    """Epoch seconds: for what people read."""


class Plan(Struct, frozen=True):
    """How a function is to be called here."""

    args: list[Any]
    kwargs: dict[str, Any]
    timeout: float | None
    inline: bool
    reads: bool
    sealed: bytes = b""
    """The secrets among the arguments, packed; empty when there are none. `args` and `kwargs` are without them."""


class Planner(Protocol):
    """Knows the functions of this host."""

    def plan(self, fields: JobFields, secrets: Raw = NO_SECRETS) -> Plan:
        """How to call it; `secrets` is the packed map of what `fields` does not show.

        Raises JrError with one clear line when it cannot be called so.
        """


class Limits(Struct, frozen=True, kw_only=True):
    """What the host's settings say of every job."""

    boot_id: str
    max_jobs: int = 0
    """Jobs that run at once; 0 is no limit. The rest wait in order of arrival."""
    output_limit: int = 1024 * 1024
    return_limit: int = 512 * 1024
    left_behind: LeftBehind = "leave"


class Job(Struct):
    """A job in memory, until its return is acknowledged."""

    record: JobRecord
    state: State
    local: bool = False
    """It began here, so the master may never have heard of it."""
    starting: bool = False
    tries: int = 0
    stops: dict[str, Stopped | None] = {}
    """The stop requests that were taken, with the answer of the supervisor once it gave one."""


class Host:
    """All jobs of one host."""

    def __init__(self, limits: Limits, planner: Planner) -> None:
        self._limits = limits
        self._planner = planner
        self.return_limit = limits.return_limit
        """Bytes of a packed value above which it is cut: the master says so with each Welcome."""
        self.containment: str | None = None
        """What holds the processes of a job together here, as the executor has found out."""
        self._jobs: dict[Jid, Job] = {}
        self._open = 0
        self._claims = Claims()
        self._slots = Slots(limits.max_jobs)
        self._calls: set[Jid] = set()
        self._outbox = Outbox()

    # what is held

    def jobs(self) -> dict[Jid, State]:
        """What is held, with its state."""
        return {jid: job.state for jid, job in self._jobs.items()}

    def record(self, jid: Jid) -> JobRecord | None:
        """The record of a job that is held and has not ended."""
        job = self._jobs.get(jid)
        return job.record if job is not None and job.state not in TERMINAL else None

    def seen(self, jid: Jid) -> bool:
        """Whether this jid was ever accepted or cancelled here, as far as claims remember."""
        return jid in self._claims

    def figures(self) -> dict[str, int]:
        """Depths of what queues, for `sys.status`."""
        running = sum(job.state is State.RUNNING for job in self._jobs.values())
        return {"held": len(self._jobs), "running": running, "queued": len(self._slots), "unacked": len(self._outbox)}

    def burden(self, now: Now) -> Load:
        """How this host does, as far as its core knows."""
        figures = self.figures()
        since = self._outbox.oldest()
        return Load(running=figures["running"], queued=figures["queued"], spool=figures["unacked"],
                    oldest=None if since is None else max(0.0, now.boot - since), containment=self.containment)

    def next(self) -> float | None:
        """When `tick` has something to do, in boot time; None when it never will."""
        times = [at for at in (self._claims.next(), self._slots.next(), self._outbox.next()) if at is not None]
        return min(times) if times else None

    # start of the daemon

    def load(self, claims: dict[Jid, Kept], adopted: Iterable[JobRecord], idle: Iterable[JobRecord],
             spooled: dict[Jid, State], now: Now, since: dict[Jid, float] | None = None) -> list[do.Effect]:
        """Take over what the disk holds after a start of the daemon.

        `adopted` have a living supervisor; `idle` have none and no start, or ran inside the agent that is gone;
        `spooled` have ended, in that order; `since` is when, in boot time.
        """
        for jid, kept in claims.items():
            self._claims.add(jid, kept.until, cancelled=kept.cancelled)
        for jid, state in spooled.items():
            self._outbox.add(jid, (since or {}).get(jid, now.boot))
            self._jobs[jid] = Job(record=_ended(jid), state=state)
        for record in adopted:
            self._hold(record, local=_is_local(record))
            self._start(record.jid)
        effects: list[do.Effect] = []
        # Those that never had to wait come first, whatever the wall clock says: their supervisors may be on their way.
        for record in sorted(idle, key=lambda idle: (idle.state is State.QUEUED, idle.accepted)):
            self._hold(structs.replace(record, state=State.ACCEPTED), local=_is_local(record))
            if record.inline:
                effects += self._finish(record, State.LOST, now, reason="the agent ended while it ran")
            elif record.deadline_boot_id == self._limits.boot_id:
                effects += self._queue_or_start(record.jid, now)
            elif _is_local(record):
                effects += self._after_reboot(record, now, now.wall)
        return effects

    # words of the master

    def publish(self, message: Publish, now: Now, master_now: float) -> list[do.Effect]:
        """A job from the master. Repeated ones are answered from what is held."""
        jid = message.jid
        if jid in self._jobs:
            return self._answer(jid, now)
        if jid in self._calls:
            return []
        if jid in self._outbox:
            self._outbox.again(jid)
            return self._pump(now)
        if (reason := self._claims.refused(jid)) is not None:
            return [do.Send(Refused(jid=jid, reason=reason))]
        if jid in self._claims:
            return [do.Send(Refused(jid=jid, reason="the minion has seen it before and holds it no more", seen=True))]
        deadline = now.boot + message.start_by - master_now
        if deadline <= now.boot:
            return [do.Send(Refused(jid=jid, reason="its time to start had passed when it came"))]
        secrets = NO_SECRETS if message.secrets is UNSET else message.secrets
        try:
            return self._begin(jid, message.job, secrets, deadline, message.start_by, now, local=False)
        except JrError as error:
            return [do.Send(Refused(jid=jid, reason=str(error)[:4000]))]

    def begin(self, jid: Jid, fields: JobFields, start_within: float, now: Now,
              secrets: Raw = NO_SECRETS) -> list[do.Effect]:
        """A job that begins here: a schedule's or jr-call's. Raises JrError when it cannot be called so."""
        if jid in self._jobs or jid in self._claims:
            raise JrError(f"cannot start {jid}: it was started already")
        return self._begin(jid, fields, secrets, now.boot + start_within, now.wall + start_within, now, local=True)

    def ack(self, message: Ack, now: Now) -> list[do.Effect]:
        """The master has stored a return, or refused it for good."""
        job = self._jobs.get(message.jid)
        if not self._outbox.acked(message.jid):
            return []
        if job is None:
            return self._pump(now)
        del self._jobs[message.jid]
        done = do.Forget(message.jid) if message.refused is None else do.Quarantine(message.jid, message.refused)
        return [done, *self._pump(now)]

    def stop(self, message: Stop, now: Now, master_now: float) -> list[do.Effect]:
        """A stop from the master. For a jid that was never seen here it makes sure that the job never starts."""
        request = StopRequest(stop=message.stop, how=message.how, signal=message.signal, grace=message.grace,
                              by=message.by, at=now.wall)
        outcome, effects = self.ask_stop(message.jid, request, now)
        if outcome == "unknown" and message.how != "signal":
            until = now.boot + max(0.0, message.start_by - master_now) + KEPT
            self._claims.add(message.jid, until, cancelled=True)
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
        job = self._jobs.get(jid)
        if jid in self._calls:
            return "failed", []
        if job is None and self._claims.cancelled(jid):
            return "cancelled", []
        if job is None:
            return ("ended" if jid in self._claims or jid in self._outbox else "unknown"), []
        if job.state in TERMINAL:
            return "ended", self._answer(jid, now)
        if job.record.inline or (request.how == "signal" and not job.starting):
            return "failed", []
        if not job.starting:
            return "cancelled", self._finish(job.record, State.KILLED, now, reason="stopped before it started",
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
        job = self._jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        job.state = State.RUNNING
        job.record = structs.replace(job.record, pid=pid, started=at, state=State.RUNNING)
        return [do.Send(Started(jid=jid, pid=pid, at=at))]

    def ended(self, jid: Jid, state: State, now: Now) -> list[do.Effect]:
        """The return lies in the spool."""
        job = self._jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        self._close(jid, state, now)
        return [*self._pump(now), *self._start_waiting(now)]

    def damaged(self, jid: Jid, now: Now, reason: str) -> list[do.Effect]:
        """The return of a job that has ended cannot be read any more: what is left to say is that it is lost."""
        job = self._jobs.get(jid)
        if job is None:
            return []
        if job.state not in TERMINAL:
            return self._finish(job.record, State.LOST, now, reason=reason)
        job.state = State.LOST
        self._outbox.again(jid)
        return [do.Spool(self._lost(job.record, State.LOST, now, reason)), *self._pump(now)]

    def vanished(self, jid: Jid, now: Now, reason: str) -> list[do.Effect]:
        """The supervisor ended, or never came, before it started anything: try again while there is time."""
        job = self._jobs.get(jid)
        if job is None or job.state in TERMINAL:
            return []
        job.tries += 1
        if job.tries < START_TRIES and job.record.deadline > now.boot:
            return [do.Start(jid)]
        return self._finish(job.record, State.LOST, now, reason=f"could not be started: {reason}")

    def called(self, message: Return, now: Now) -> list[do.Effect]:
        """An inline function of the agent ended."""
        if message.jid in self._calls:
            self._calls.discard(message.jid)
            self._outbox.add(message.jid, now.boot, message)
            return self._pump(now)
        job = self._jobs.get(message.jid)
        if job is None or job.state in TERMINAL:
            return []
        self._close(message.jid, message.state, now)
        return [do.Spool(message), *self._pump(now)]

    def unwritten(self, jid: Jid, reason: str, now: Now) -> list[do.Effect]:
        """A new job could not be written, and nothing of it was told: it is refused, and what was written goes.

        Its claim is remembered all the same: the refusal is final, however often the job is sent.
        """
        job = self._jobs.pop(jid, None)
        if job is None:
            return []
        if job.state not in TERMINAL:
            self._open -= 1
            self._slots.leave(jid)
        self._outbox.acked(jid)
        self._claims.refuse(jid, reason)
        refused: list[do.Effect] = [] if job.local else [do.Send(Refused(jid=jid, reason=reason))]
        return [do.Undo(jid), *refused, *self._pump(now), *self._start_waiting(now)]

    def stop_result(self, answer: Stopped) -> list[do.Effect]:
        """The supervisor says what became of a signal."""
        job = self._jobs.get(answer.jid)
        if job is not None and answer.stop in job.stops:
            job.stops[answer.stop] = answer
        return [do.Send(answer)]

    # the connection and time

    def welcomed(self, now: Now, master_now: float) -> list[do.Effect]:
        """A connection is open: say what is held, then send all that is not acknowledged."""
        effects: list[do.Effect] = []
        for record in [job.record for job in self._jobs.values()
                       if not job.starting and job.state is State.ACCEPTED and not job.record.inline]:
            effects += self._after_reboot(record, now, master_now)
        for jid, job in self._jobs.items():
            if job.state not in TERMINAL and (job.local or job.state is State.RUNNING):
                # These words are not acknowledged: the master may have been away when they were said.
                effects += self._answer(jid, now)
        held = [HeldJob(jid, job.state) for jid, job in self._jobs.items()]
        pages = [held[at:at + HELD_PAGE] for at in range(0, len(held), HELD_PAGE)] or [[]]
        effects += [do.Send(Held(jobs=page, last=page is pages[-1])) for page in pages]
        self._outbox.connected()
        return effects + self._pump(now)

    def disconnected(self) -> None:
        """Nothing that was sent and not answered can be counted on."""
        self._outbox.disconnected()

    def tick(self, now: Now) -> list[do.Effect]:
        """Time has passed: send again, drop old claims."""
        old = self._claims.old(now.boot, self._jobs.__contains__)
        effects: list[do.Effect] = [do.DropClaim(jid) for jid in old]
        for jid in self._slots.expired(now.boot):
            effects += self._queue_or_start(jid, now)
        return effects + self._pump(now)

    # inside

    def _begin(self, jid: Jid, fields: JobFields, secrets: Raw, deadline: float, start_by: float, now: Now, *,
               local: bool) -> list[do.Effect]:
        fields, secrets = hide(fields, secrets)  # whoever made the job: nothing below writes what must not be read
        plan = self._planner.plan(fields, secrets)
        if self._open >= HELD_LIMIT or len(self._calls) >= HELD_LIMIT:
            raise JrError(f"cannot take another job: {HELD_LIMIT} are open already")
        record = self._record(jid, fields, plan, deadline, start_by, now)
        if plan.inline and plan.reads:
            self._calls.add(jid)
            return [do.Call(record, plan.sealed)]
        until = deadline + KEPT
        self._claims.add(jid, until)
        job = self._hold(record, local=local)
        effects: list[do.Effect] = [do.Claim(jid, until, start_by)]
        accepted = Accepted(jid=jid, job=fields if local else None, at=now.wall)
        if plan.inline:
            return [*effects, do.SaveRecord(record), do.Send(accepted), do.Call(record, plan.sealed)]
        if plan.sealed:
            effects.insert(0, do.SaveSecrets(jid, plan.sealed))  # no record may ever be without them
        if self._slots.full:
            job.state = State.QUEUED
            job.record = structs.replace(record, state=State.QUEUED)
            self._slots.wait(jid, deadline)
            return [*effects, do.SaveRecord(job.record), do.Send(structs.replace(accepted, queued=True))]
        self._start(jid)
        return [*effects, do.SaveRecord(record), do.Send(accepted), do.Start(jid)]

    def _hold(self, record: JobRecord, *, local: bool) -> Job:
        self._open += 1
        job = self._jobs[record.jid] = Job(record=record, state=record.state, local=local)
        return job

    def _start(self, jid: Jid) -> None:
        self._jobs[jid].starting = True
        self._slots.take(jid)

    def _close(self, jid: Jid, state: State, now: Now) -> None:
        """The job has ended: its place is free, and its return is to be sent."""
        self._jobs[jid].state = state
        self._open -= 1
        self._slots.leave(jid)
        self._outbox.add(jid, now.boot)

    def _record(self, jid: Jid, fields: JobFields, plan: Plan, deadline: float, start_by: float, now: Now) -> JobRecord:
        return JobRecord(
            jid=jid, function=fields.function, args=plan.args, kwargs=plan.kwargs, user=fields.user,
            state=State.RUNNING if plan.inline else State.ACCEPTED, schedule=fields.schedule, accepted=now.wall,
            timeout=plan.timeout, grace=fields.grace, metadata=fields.metadata, typed=fields.typed, inline=plan.inline,
            sealed=bool(plan.sealed),
            left_behind=fields.left_behind or self._limits.left_behind, left_behind_asked=fields.left_behind,
            output_limit=self._limits.output_limit, return_limit=self.return_limit,
            deadline_boot_id=self._limits.boot_id, deadline=deadline, start_by=start_by,
            args_packed=base64.b64encode(bytes(fields.args)).decode(),
            kwargs_packed=base64.b64encode(bytes(fields.kwargs)).decode(),
            boot_id=self._limits.boot_id if plan.inline else None, started=now.wall if plan.inline else None)

    def _answer(self, jid: Jid, now: Now) -> list[do.Effect]:
        """What is held of a job, said again."""
        job = self._jobs[jid]
        if job.state in TERMINAL:
            self._outbox.again(jid)
            return self._pump(now)
        answers: list[do.Effect] = [
            do.Send(Accepted(jid=jid, at=job.record.accepted, queued=job.state is State.QUEUED,
                             job=fields_of(job.record) if job.local else None))]
        if job.state is State.RUNNING and job.record.pid is not None:
            answers.append(do.Send(Started(jid=jid, pid=job.record.pid, at=job.record.started or 0.0)))
        return answers

    def _queue_or_start(self, jid: Jid, now: Now) -> list[do.Effect]:
        job = self._jobs[jid]
        if job.record.deadline <= now.boot:
            return self._finish(job.record, State.LOST, now, reason="its time to start passed before it could start")
        if self._slots.full:
            job.state = State.QUEUED
            self._slots.wait(jid, job.record.deadline)
            return []
        job.state = State.ACCEPTED
        self._start(jid)
        return [do.Start(jid)]

    def _start_waiting(self, now: Now) -> list[do.Effect]:
        effects: list[do.Effect] = []
        while (jid := self._slots.following()) is not None:
            effects += self._queue_or_start(jid, now)
        return effects

    def _after_reboot(self, record: JobRecord, now: Now, at: float) -> list[do.Effect]:
        """A job that was accepted in an earlier boot and never started: its deadline counts by the clock that set it.

        `at` is what that clock says now: master time, or this host's wall clock for a job that began here.
        """
        renewed = structs.replace(record, deadline=now.boot + record.start_by - at,
                                  deadline_boot_id=self._limits.boot_id, state=State.ACCEPTED)
        self._jobs[record.jid].record = renewed
        return [do.SaveRecord(renewed), *self._queue_or_start(record.jid, now)]

    def _finish(self, record: JobRecord, state: State, now: Now, *, reason: str,
                request: StopRequest | None = None) -> list[do.Effect]:
        """End a job that has no supervisor."""
        message = self._lost(record, state, now, reason, request)
        self._close(record.jid, state, now)
        return [do.Spool(message), do.Ended(message), *self._pump(now), *self._start_waiting(now)]

    def _lost(self, record: JobRecord, state: State, now: Now, reason: str,
              request: StopRequest | None = None) -> Return:
        """The return of a job whose end no supervisor tells."""
        evidence = Evidence(reason=reason, by=request.by if request else None, asked=request.at if request else None,
                            asked_signal=request.signal if request else None, boot_id=self._limits.boot_id)
        return Return(jid=record.jid, job=fields_of(record), state=state, accepted=record.accepted,
                      started=record.started, ended=now.wall, evidence=evidence)

    def _said_of(self, message: Stop) -> list[do.Effect]:
        """What the supervisor answered to a signal that is asked for once more; nothing while it has not."""
        answer = self._jobs[message.jid].stops.get(message.stop)
        return [] if answer is None else [do.Send(answer)]

    def _pump(self, now: Now) -> list[do.Effect]:
        return [do.SendSpooled(jid) if message is None else do.Send(message)
                for jid, message in self._outbox.pump(now.boot)]


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
