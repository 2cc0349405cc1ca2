"""What a control socket's client may ask of the master, as a table: each verb checks, lets the core decide, answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Raw, Struct

from common.control_server import Body, Caller, Reply
from common.errors import NotFoundError, UsageError
from common.ids import MASTER, Jid, MinionId
from common.messages import SIGNAL_ANSWER, STOP_SIGNALS, JobFields
from common.requests import Request, checked, job_and_secrets
from common.states import TERMINAL, State
from common.targets import parse
from master import documents
from master.admission import Admission
from master.audit import Audit
from master.core.effects import Event, JobDone, PairMoved, StopAnswered
from master.core.wishes import StopWish, Wish
from master.events import Watch
from master.records import Job, Pair
from master.requests import (
    ActiveRequest,
    Defaults,
    JobsRequest,
    PublishRequest,
    RunRequest,
    StopRequest,
    WatchRequest,
)
from master.room import check_room
from master.rotating import Rotating
from master.shell import Shell
from master.status import of_minion
from master.store.base import Listed, Page, Store

BITES = 20
"""Reads of the store for one page: a filter that seldom matches comes back short, with a cursor to go on from."""
PAGE = 500
"""Pairs read from the store at once."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of jobs in one answer, about: far below what a frame may have, as one job alone may take many."""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What verbs need of the daemon beside the shell."""

    defaults: Defaults
    runners: Callable[[], Iterable[str]]
    """The names of custom runners."""
    explain: Callable[[], dict[str, str]]
    """How each of them is called and what it does, by name."""
    no_runner: Callable[[str], str]
    """The line for a runner that does not exist."""
    join: Callable[[str, str | None], str]
    """A join string for a token, and for the address when one is named."""
    keys: Callable[[], dict[str, str]]
    """The master's own public key and its fingerprint."""
    fingerprint: Callable[[str], str]
    status: Callable[[], dict[str, Any]]


Verb = Callable[[Body, Caller, Reply], Awaitable[Body]]


class Verbs:
    """The control socket's handler: one entry in one table for each verb, and no other way in."""

    def __init__(self, shell: Shell, around: Surroundings, more: Mapping[str, Verb] | None = None) -> None:
        """`more` are verbs that need other things than these do."""
        self._shell = shell
        self._around = around
        admission = Admission(shell, join=around.join, own=around.keys, fingerprint=around.fingerprint)
        self.table: dict[str, Verb] = {
            "publish": self._publish, "run": self._run, "watch": self._watch, "jobs": self._jobs,
            "active": self._active, "stop": self._stop, "presence": self._presence, "keys": admission.filed,
            "keys.accept": admission.accept, "keys.reject": admission.reject, "keys.delete": admission.delete,
            "keys.rotate": Rotating(shell).rotate, "token": admission.token, "runners": self._runners,
            "status": self._status, "runs": Audit(shell).runs, **(more or {}),
        }

    async def handle(self, request: Body, caller: Caller, reply: Reply) -> Body:
        """Answer one request. Raises JrError for what cannot be granted."""
        verb = self.table.get(str(request.get("verb")))
        if verb is None:
            raise UsageError(f"cannot do {request.get('verb')!r:.80}: this master knows no such verb")
        return await verb(request, caller, reply)

    # jobs

    async def _publish(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, PublishRequest)
        target = parse(request.target_type, request.target)
        fields, secrets = self._fields(request, caller, request.grace)
        wish = Wish(fields=fields, secrets=secrets, target=request.target, target_type=request.target_type,
                    start_within=_given(request.start_within, self._around.defaults.start_within),
                    queue=self._queues(request), metadata=request.metadata)
        check_room(self._shell)
        core = self._shell.core
        jid, effects = core.wishes.publish(wish, target, self._shell.clock.now())
        return await self._launch(jid, effects, reply, request.follow)

    async def _run(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, RunRequest)
        if request.function not in set(self._around.runners()):
            raise NotFoundError(self._around.no_runner(request.function))
        fields, secrets = self._fields(request, caller, None)
        wish = Wish(fields=fields, secrets=secrets, target=MASTER, target_type="runner",
                    start_within=self._around.defaults.start_within)
        check_room(self._shell)
        jid, effects = self._shell.core.wishes.run(wish, self._shell.clock.now())
        return await self._launch(jid, effects, reply, request.follow)

    def _fields(self, request: PublishRequest | RunRequest, caller: Caller,
                grace: float | None) -> tuple[JobFields, Raw]:
        return job_and_secrets(request, caller.name, _given(grace, self._around.defaults.grace))

    def _queues(self, request: PublishRequest) -> bool:
        return self._around.defaults.queue if request.offline is None else request.offline == "queue"

    async def _launch(self, jid: Jid, effects: list[Any], reply: Reply, follow: bool) -> Body:
        with self._shell.watchers.watch(jid) as watch:
            new = next(effect.event for effect in effects if hasattr(effect, "event"))
            # Before the commit: a minion that comes while it is under way is still one that was waited for.
            waits = self._shell.core.ledger.planned(jid)
            await self._shell.committed(effects)
            await reply({"event": "job", **documents.head(new.job, new.minions, waits)})
            return await _follow(watch, reply, set()) if follow else {"done": None, "counts": {}}

    async def _watch(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, WatchRequest)
        store = self._shell.store
        with self._shell.watchers.watch(request.jid) as watch:
            job: Job = await self._shell.read(lambda: store.job(request.jid))
            bare = await self._shell.read(lambda: list(store.pairs(request.jid, values=False)))
            waits = [pair.minion for pair in bare if pair.state is State.PLANNED]
            await reply({"event": "job", **documents.head(job, [pair.minion for pair in bare], waits)})
            told: dict[MinionId, State] = {}
            for start in range(0, len(bare), PAGE):
                names = [pair.minion for pair in bare[start:start + PAGE]]
                for pair in await self._shell.read(partial(_pairs, store, request.jid, names)):
                    if pair.state in TERMINAL or not request.follow:
                        told[pair.minion] = pair.state
                        await reply(_pair_item(pair))
            if request.follow and (job.done is None or set(told) != {pair.minion for pair in bare}):
                return await _follow(watch, reply, set(told))
            return {"done": job.done, "counts": documents.counts(_count(told.values()))}

    async def _jobs(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, JobsRequest)
        store = self._shell.store
        jobs: list[Listed] = []
        following = request.cursor
        for _ in range(BITES):
            wanted = partial(store.page, request.filter, request.limit - len(jobs), following)
            page: Page = await self._shell.read(wanted)
            jobs += page.jobs
            following = page.next
            if following is None or len(jobs) >= request.limit:
                break
        fits = _fitting(documents.weight(item.job) for item in jobs)
        if fits < len(jobs):
            following = jobs[fits - 1].job.jid
        return {"jobs": [documents.listed(item) for item in jobs[:fits]], "next": following and str(following)}

    async def _active(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, ActiveRequest)
        now = self._shell.clock.now()
        jobs = [opened for jid, opened in sorted(self._shell.core.ledger.jobs.items())
                if (request.minion is None or request.minion in opened.open)
                and (request.cursor is None or jid > request.cursor)]
        page = jobs[:request.limit]
        page = page[:_fitting(documents.weight(opened.job, len(opened.pairs)) for opened in page)]
        following = str(page[-1].job.jid) if len(page) < len(jobs) else None
        return {"jobs": {str(opened.job.jid): documents.active(opened, now) for opened in page}, "next": following}

    async def _stop(self, body: Body, caller: Caller, reply: Reply) -> Body:
        request = checked(body, StopRequest)
        number = STOP_SIGNALS.get(request.how, request.signal)
        if number is None:
            raise UsageError("cannot signal the job: no signal is given")
        stop = secrets.token_hex(8)
        grace = _given(request.grace, self._around.defaults.grace) if request.how == "term" else 0.0
        answer = {"stop": stop, "jid": str(request.jid), "grace": grace}
        if request.jid not in self._shell.core.ledger.jobs:
            return {**answer, "minions": await self._stop_closed(request)}
        wish = StopWish(stop=stop, jid=request.jid, how=request.how, signal=number, by=caller.name,
                        grace=grace, minions=request.minions)
        with self._shell.watchers.watch(request.jid) as watch:
            done, effects = self._shell.core.wishes.stop(wish, self._shell.clock.now())
            await self._shell.committed(effects)
            if request.how == "signal":
                await _answers(watch, stop, done)
        return {**answer, "minions": done}

    async def _stop_closed(self, request: StopRequest) -> dict[str, str]:
        """A job that is over: say so for each pair, after making sure that it exists."""
        store = self._shell.store
        await self._shell.read(lambda: store.job(request.jid))
        pairs: list[Pair] = await self._shell.read(lambda: list(store.pairs(request.jid, request.minions, False)))
        return {str(pair.minion): f"terminal:{pair.state}" for pair in pairs}

    # the fleet and the master

    async def _presence(self, body: Body, caller: Caller, reply: Reply) -> Body:
        checked(body, Request)
        core, now = self._shell.core, self._shell.clock.now()
        told: dict[str, Any] = {}
        for row in core.keys.rows():
            if row.state == "accepted":
                told[str(row.id)] = of_minion(row, core.fleet.get(row.id), now)
            elif row.state == "quarantined":
                told.setdefault(str(row.id), {**of_minion(row, None, now), "quarantined": row.reason})
        return {"minions": told}

    async def _runners(self, body: Body, caller: Caller, reply: Reply) -> Body:
        checked(body, Request)
        return {"runners": self._around.explain()}

    async def _status(self, body: Body, caller: Caller, reply: Reply) -> Body:
        checked(body, Request)
        return self._around.status()


async def _follow(watch: Watch, reply: Reply, told: set[MinionId]) -> Body:
    """Tell each pair as it ends, until the job is done."""
    while True:
        event = await watch.next()
        if isinstance(event, JobDone):
            return {"done": event.at, "counts": documents.counts(event.counts)}
        if isinstance(event, PairMoved) and event.pair.state in TERMINAL and event.pair.minion not in told:
            told.add(event.pair.minion)
            await reply(_pair_item(event.pair))


async def _answers(watch: Watch, stop: str, done: dict[str, str]) -> None:
    """Replace `sent` by what each minion says of its signal, for as long as that is worth waiting for."""
    try:
        async with asyncio.timeout(SIGNAL_ANSWER):
            while "sent" in done.values():
                _hear(await watch.next(), stop, done)
    except TimeoutError:
        return


def _hear(event: Event, stop: str, done: dict[str, str]) -> None:
    if isinstance(event, StopAnswered) and event.answer.stop == stop:
        answer = event.answer
        done[event.minion] = f"{answer.outcome}: {answer.reason}" if answer.reason else answer.outcome
    elif isinstance(event, PairMoved) and event.pair.state in TERMINAL and done.get(event.pair.minion) == "sent":
        # The job may have died of this very signal before its minion could say so.
        evidence = None if event.pair.outcome is None else event.pair.outcome.evidence
        heard = evidence is not None and evidence.asked_signal is not None
        done[event.pair.minion] = "signalled" if heard else f"terminal:{event.pair.state}"


def _fitting(weights: Iterable[int]) -> int:
    """How many of these fit one answer; the first always does."""
    count = total = 0
    for weight in weights:
        total += weight
        if count and total > PAGE_BYTES:
            break
        count += 1
    return count


def _pairs(store: Store, jid: Jid, minions: Sequence[MinionId]) -> list[Pair]:
    return list(store.pairs(jid, minions))


def _pair_item(pair: Pair) -> Body:
    return {"event": "pair", "minion": str(pair.minion), "pair": documents.pair(pair)}


def _count(states: Iterable[State]) -> dict[State, int]:
    counts: dict[State, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
