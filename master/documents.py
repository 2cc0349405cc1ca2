"""Jobs and pairs as the plain maps that operators get: one shape for the first answer and for every later look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.ids import MinionId
from common.messages import JobFields
from common.pairs import opened, pair_document
from common.states import State
from master.core.ledger import OpenJob
from master.records import Job, Outcome, Pair
from master.store.base import Listed

_BARE = 1000
"""Bytes of a summary without what has no fixed size."""
_PER_MINION = 120
"""Bytes of a minion in the list of who runs a job: its id of at most 63, and what is known beside it."""


def summary(job: Job) -> dict[str, Any]:
    """What a job is, in a list."""
    fields = job.fields
    told: dict[str, Any] = {
        "jid": str(job.jid), "function": fields.function, "args": _args(fields), "kwargs": _kwargs(fields),
        "target": job.target, "target_type": job.target_type, "user": fields.user, "published": job.published,
        "done": job.done}
    if fields.schedule is not None:
        told["schedule"] = fields.schedule
    if job.metadata:
        told["metadata"] = dict(job.metadata)
    return told


def head(job: Job, minions: Iterable[MinionId], waits: Iterable[MinionId] = ()) -> dict[str, Any]:
    """What a job is, with the minions it is for, and with those that it waits for and until when."""
    told = {**summary(job), "minions": [str(minion) for minion in minions]}
    absent = [str(minion) for minion in waits]
    # Without the queue they are given but the first minute of the master, and then nobody waits until the job's time.
    return {**told, "absent": absent, **({"start_by": job.start_by} if job.queue else {})} if absent else told


def listed(item: Listed) -> dict[str, Any]:
    """A row of `list_jobs`."""
    return {**summary(item.job), "counts": counts(item.counts)}


def counts(by_state: dict[State, int]) -> dict[str, int]:
    """How many pairs are in which state, in the order of the states."""
    return {str(state): by_state[state] for state in State if by_state.get(state)}


def pair(row: Pair) -> dict[str, Any]:
    """One pair as it stands in the document."""
    outcome = row.outcome or Outcome(pid=row.pid, started=row.started)
    return pair_document(
        row.state, retcode=outcome.retcode, value=outcome.value, stdout=outcome.stdout, stderr=outcome.stderr,
        started=row.started if outcome.started is None else outcome.started, ended=outcome.ended,
        duration=outcome.duration, pid=row.pid if outcome.pid is None else outcome.pid, evidence=outcome.evidence,
        truncated=outcome.truncated, expired=row.expired)


def active(job: OpenJob, now: float) -> dict[str, Any]:
    """One open job: who runs it, who has it queued, who is waited for, who returned."""
    told = summary(job.job)
    del told["done"]
    running: dict[str, Any] = {}
    groups: dict[str, list[str]] = {"queued": [], "waiting": [], "returned": []}
    for minion, row in job.pairs.items():
        if minion not in job.open:
            groups["returned"].append(str(minion))
        elif row.state is State.RUNNING:
            running[str(minion)] = {"pid": row.pid, "age": _age(job, row, now)}
        else:
            groups["queued" if row.state is State.QUEUED else "waiting"].append(str(minion))
    told |= {"running": running, **groups}
    if job.job.queue and any(row.state is State.PLANNED for row in job.pairs.values()):
        told["start_by"] = job.job.start_by
    return told


def weight(job: Job, minions: int = 0) -> int:
    """About how many bytes a summary takes that names so many minions; never much less than the truth."""
    fields = job.fields
    texts = [job.target, fields.user, *job.metadata, *job.metadata.values()]
    return (_BARE + len(bytes(fields.args)) + len(bytes(fields.kwargs)) + minions * _PER_MINION
            + sum(len(text.encode()) for text in texts))


def _age(job: OpenJob, row: Pair, now: float) -> float | None:
    """Seconds that it runs, in master time. What a minion's clock said counts only where nothing else is known."""
    since = job.running.get(row.minion)
    if since is None and row.started is not None:
        since = max(row.started, job.job.published)
    return None if since is None else max(0.0, now - since)


def _args(fields: JobFields) -> list[Any]:
    """The arguments. Those of a job that began on a minion come from there, unchecked: they may be anything."""
    args = opened(bytes(fields.args))
    return args if isinstance(args, list) else [args]


def _kwargs(fields: JobFields) -> dict[Any, Any]:
    kwargs = opened(bytes(fields.kwargs))
    return kwargs if isinstance(kwargs, dict) else {"?": kwargs}
