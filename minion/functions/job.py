"""The jobs of this minion: what runs or waits, and how to signal or stop it. Read from the proc directory alone."""

from __future__ import annotations

import fnmatch
import signal as signals
from typing import Any

from common.choices import How
from common.functions import Agent, Failed, Job, JobView, StopAnswer, inline
from common.ids import Jid
from common.signals import signal_number

_SHOWN = ("jid", "function", "args", "kwargs", "user", "state", "schedule", "accepted", "started", "pid", "timeout")


@inline(reads=True)
async def running(*, agent: Agent) -> list[dict[str, Any]]:
    """The jobs this minion has accepted and not yet ended, oldest first; a queued one has `state: queued` and no pid.

    Example: jr 'web*' job.running
    """
    return [_shown(record) for record in await _records(agent)]


@inline(reads=True)
async def is_running(fun: str, *, agent: Agent) -> list[dict[str, Any]]:
    """Those of job.running whose function matches a glob; [] when there is none.

    Example: jr 'web*' job.is_running 'cmd.*'
    """
    return [_shown(record) for record in await _records(agent) if fnmatch.fnmatchcase(record.function, fun)]


@inline(reads=True)
async def find_job(jid: str, *, agent: Agent) -> dict[str, Any]:
    """The job, if it runs or waits here; {} if it does not.

    Example: jr '*' job.find_job 20260102030405123456
    """
    wanted = _jid("find a job", jid)
    return next((_shown(record) for record in await _records(agent) if record.jid == wanted), {})


@inline(reads=False)
async def signal_job(jid: str, signal: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Send a signal, by name or number, to the process group of a running job. That alone never makes it `killed`.

    Example: jr web1 job.signal_job 20260102030405123456 HUP
    """
    number = _signal(signal)
    answer = await agent.stop(_jid("signal a job", jid), "signal", number, None, job.user)
    return _told(jid, answer, f"signal {number}")


@inline(reads=False)
async def term_job(jid: str, grace: float | None = None, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Stop a job: TERM, after `grace` seconds KILL, to all its processes. One that waits never starts.

    Without `grace` it is what the minion's settings say.

    Example: jr web1 job.term_job 20260102030405123456
    """
    if grace is not None and grace < 0:
        raise Failed("cannot stop a job: grace is less than 0 seconds")
    return _told(jid, await agent.stop(_jid("stop a job", jid), "term", signals.SIGTERM, grace, job.user), "TERM")


@inline(reads=False)
async def kill_job(jid: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Kill a job with all its processes, at once. One that waits never starts.

    Example: jr web1 job.kill_job 20260102030405123456
    """
    return _told(jid, await agent.stop(_jid("kill a job", jid), "kill", signals.SIGKILL, None, job.user), "KILL")


@inline(reads=False)
async def term_all_jobs(grace: float | None = None, *, agent: Agent, job: Job) -> dict[str, Any]:
    """job.term_job for every job of this minion but the one that asks; the answers by jid.

    Example: jr web1 job.term_all_jobs
    """
    if grace is not None and grace < 0:
        raise Failed("cannot stop the jobs: grace is less than 0 seconds")
    return await _stop_all(agent, job, "term", signals.SIGTERM, grace)


@inline(reads=False)
async def kill_all_jobs(*, agent: Agent, job: Job) -> dict[str, Any]:
    """job.kill_job for every job of this minion but the one that asks; the answers by jid.

    Example: jr web1 job.kill_all_jobs
    """
    return await _stop_all(agent, job, "kill", signals.SIGKILL, None)


async def _stop_all(agent: Agent, job: Job, how: How, signal: int, grace: float | None) -> dict[str, Any]:
    """Each answer by itself: one that cannot be stopped hides no other, and makes the whole fail."""
    answers: dict[str, Any] = {}
    failed = []
    for record in await _records(agent):
        # A function inside the agent has no process of its own: the daemon is not for this to stop.
        if record.jid != job.jid and not record.inline:
            answer = await agent.stop(record.jid, how, signal, grace, job.user)
            answers[str(record.jid)] = _answer(record.jid, answer, how.upper())
            if answer["outcome"] == "failed":
                failed.append(str(record.jid))
    if failed:
        raise Failed(f"cannot stop {', '.join(failed[:10])}{' and more' if len(failed) > 10 else ''}", answers)
    return answers


async def _records(agent: Agent) -> list[JobView]:
    return sorted(await agent.jobs(), key=lambda record: (record.accepted, record.jid))


def _shown(record: JobView) -> dict[str, Any]:
    return {field: _plain(getattr(record, field)) for field in _SHOWN}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value  # ids and states are kinds of text


def _jid(doing: str, text: str) -> Jid:
    try:
        return Jid(text)
    except ValueError as error:
        raise Failed(f"cannot {doing}: {error}") from error


def _signal(text: str) -> int:
    try:
        return signal_number(text)
    except ValueError as error:
        raise Failed(f"cannot signal a job: {error}") from error


def _told(jid: str, answer: StopAnswer, what: str) -> dict[str, Any]:
    """What to say of one job. Raises Failed when nothing was, or could be, done."""
    told = _answer(Jid(jid), answer, what)
    if answer["outcome"] in ("ended", "failed"):
        raise Failed(told["message"], told)
    return told


def _answer(jid: Jid, answer: StopAnswer, what: str) -> dict[str, Any]:
    was, outcome = answer["was"], answer["outcome"]
    return {"jid": str(jid), "was": was, "outcome": outcome, "message": _message(jid, was, outcome, what,
                                                                                answer["reason"])}


def _message(jid: Jid, was: str, outcome: str, what: str, reason: str) -> str:
    """Four states, four sentences: running, queued, finished, unknown."""
    if was == "unknown":
        return f"job {jid} is unknown: this minion never saw it, or it is too long ago"
    if outcome == "ended" or was == "finished":
        return f"job {jid} has ended: there is nothing to stop or signal"
    if outcome == "cancelled":
        return f"job {jid} was queued: it is cancelled and never starts"
    if outcome == "failed" and was == "queued":
        return f"job {jid} is queued: it has no process to signal; job.term_job cancels it"
    if outcome == "failed":
        return f"cannot stop or signal job {jid}: {reason or 'it has no process of its own'}"
    if outcome == "stopping":
        return f"job {jid} is running: it is being stopped by {what}"
    return f"job {jid} is running: it was sent {what}"
