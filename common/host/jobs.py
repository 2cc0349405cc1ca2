"""The jobs that one host holds, and the moves between their states that all events share. Pure."""

from __future__ import annotations

import base64

from msgspec import structs

from common.host import effects as do
from common.host.claims import KEPT, Claims
from common.host.job import Job, Limits, Now, Plan
from common.host.outbox import Outbox
from common.host.slots import Slots
from common.ids import Jid
from common.messages import Accepted, Ack, Evidence, JobFields, Load, Refused, Return, Started
from common.proc.record import JobRecord, StopRequest, fields_of
from common.states import TERMINAL, State


class Jobs:
    """What a host holds in memory. Every change of a job's state is one of the moves below."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.return_limit = limits.return_limit
        """Bytes of a packed value above which it is cut: the master says so with each Welcome."""
        self.containment: str | None = None
        """What holds the processes of a job together here, as the executor has found out."""
        self.jobs: dict[Jid, Job] = {}
        self.open = 0
        """How many of them have not ended."""
        self.claims = Claims()
        self.slots = Slots(limits.max_jobs)
        self.calls: set[Jid] = set()
        """Inline functions that only read, and leave nothing."""
        self.outbox = Outbox()
        self.unnoted: dict[Jid, Ack | None] = {}
        """Runs whose end the schedule of this host has yet to note, with what the master said of their return."""

    # what others ask

    def states(self) -> dict[Jid, State]:
        """What is held, with its state."""
        return {jid: job.state for jid, job in self.jobs.items()}

    def record(self, jid: Jid) -> JobRecord | None:
        """The record of a job that is held and has not ended."""
        job = self.jobs.get(jid)
        return job.record if job is not None and job.state not in TERMINAL else None

    def seen(self, jid: Jid) -> bool:
        """Whether this jid was ever accepted or cancelled here, as far as claims remember."""
        return jid in self.claims and self.claims.refused(jid) is None

    def figures(self) -> dict[str, int]:
        """Depths of what queues, for `sys.status`."""
        running = sum(job.state is State.RUNNING for job in self.jobs.values())
        return {"held": len(self.jobs), "running": running, "queued": len(self.slots), "unacked": len(self.outbox)}

    def burden(self, now: Now) -> Load:
        """How this host does, as far as its core knows."""
        figures = self.figures()
        since = self.outbox.oldest()
        return Load(running=figures["running"], queued=figures["queued"], spool=figures["unacked"],
                    oldest=None if since is None else max(0.0, now.boot - since), containment=self.containment)

    def next(self) -> float | None:
        """When `tick` has something to do, in boot time; None when it never will."""
        times = [at for at in (self.claims.next(), self.slots.next(), self.outbox.next()) if at is not None]
        return min(times) if times else None

    # moves

    def refuse(self, jid: Jid, reason: str, deadline: float) -> list[do.Effect]:
        """Refuse for good: what stands in the way may be gone when the job comes again, and the master has its word."""
        self.claims.add(jid, deadline + KEPT)
        self.claims.refuse(jid, reason)
        return [self.refused(jid, reason)]

    def refused(self, jid: Jid, reason: str, *, seen: bool = False) -> do.Effect:
        """Say that a job will not start, for the first time or again."""
        return do.Send(Refused(jid=jid, reason=reason, seen=seen, start=self._limits.start))

    def hold(self, record: JobRecord, *, local: bool) -> Job:
        """Take a job into memory."""
        self.open += 1
        job = self.jobs[record.jid] = Job(record=record, state=record.state, local=local)
        return job

    def start(self, jid: Jid) -> None:
        """A supervisor is, or was, asked for: it takes a place among those that may run at once."""
        self.jobs[jid].starting = True
        self.slots.take(jid)

    def close(self, jid: Jid, state: State, now: Now) -> None:
        """The job has ended: its place is free, and its return is to be sent."""
        self.jobs[jid].state = state
        self.open -= 1
        self.slots.leave(jid)
        self.outbox.add(jid, now.boot)

    def new_record(self, jid: Jid, fields: JobFields, plan: Plan, deadline: float, start_by: float,
                   now: Now) -> JobRecord:
        """What a job is on disk; `deadline` is boot time, `start_by` epoch seconds of whoever set it."""
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

    def answer(self, jid: Jid, now: Now) -> list[do.Effect]:
        """What is held of a job, said again."""
        job = self.jobs[jid]
        if job.state in TERMINAL:
            self.outbox.again(jid)
            return self.pump(now)
        answers: list[do.Effect] = [
            do.Send(Accepted(jid=jid, at=job.record.accepted, queued=job.state is State.QUEUED,
                             job=fields_of(job.record) if job.local else None))]
        if job.state is State.RUNNING and job.record.pid is not None:
            answers.append(do.Send(Started(jid=jid, pid=job.record.pid, at=job.record.started or 0.0)))
        return answers

    def queue_or_start(self, jid: Jid, now: Now) -> list[do.Effect]:
        """Start a job if there is a place for it, let it wait if not, end it if its time has passed."""
        job = self.jobs[jid]
        if job.record.deadline <= now.boot:
            return self.finish(job.record, State.LOST, now, reason="its time to start passed before it could start")
        if self.slots.full:
            job.state = State.QUEUED
            self.slots.wait(jid, job.record.deadline)
            return []
        job.state = State.ACCEPTED
        self.start(jid)
        return [do.Start(jid)]

    def start_waiting(self, now: Now) -> list[do.Effect]:
        """Fill the places that have become free, in order of arrival."""
        effects: list[do.Effect] = []
        while (jid := self.slots.following()) is not None:
            effects += self.queue_or_start(jid, now)
        return effects

    def after_reboot(self, record: JobRecord, now: Now, at: float) -> list[do.Effect]:
        """A job that was accepted in an earlier boot and never started: its deadline counts by the clock that set it.

        `at` is what that clock says now: master time, or this host's wall clock for a job that began here.
        """
        renewed = structs.replace(record, deadline=now.boot + record.start_by - at,
                                  deadline_boot_id=self._limits.boot_id, state=State.ACCEPTED)
        self.jobs[record.jid].record = renewed
        return [do.SaveRecord(renewed), *self.queue_or_start(record.jid, now)]

    def finish(self, record: JobRecord, state: State, now: Now, *, reason: str,
               request: StopRequest | None = None) -> list[do.Effect]:
        """End a job that has no supervisor."""
        message = self.lost(record, state, now, reason, request)
        self.close(record.jid, state, now)
        return [do.Spool(message), do.Ended(message), *self.pump(now), *self.start_waiting(now)]

    def lost(self, record: JobRecord, state: State, now: Now, reason: str,
             request: StopRequest | None = None) -> Return:
        """The return of a job whose end no supervisor tells."""
        evidence = Evidence(reason=reason, by=request.by if request else None, asked=request.at if request else None,
                            asked_signal=request.signal if request else None, boot_id=self._limits.boot_id)
        return Return(jid=record.jid, job=fields_of(record), state=state, accepted=record.accepted,
                      started=record.started, ended=now.wall, evidence=evidence)

    def pump(self, now: Now) -> list[do.Effect]:
        """Send what is to be sent of the returns that are not acknowledged."""
        return [do.SendSpooled(jid) if message is None else do.Send(message)
                for jid, message in self.outbox.pump(now.boot)]
