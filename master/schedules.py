"""The master's own schedule, put together: its files, its engine, its hands, and the verb that people use it by."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from common import clock
from common.aio import cancelled
from common.control_server import Body, Caller, Reply
from common.errors import UsageError
from common.ids import MASTER, Jid
from common.requests import checked
from common.schedule.ahead.asked import written
from common.schedule.ahead.known import Known
from common.schedule.desk import Desk
from common.schedule.driver import Scheduler, moment
from common.schedule.engine.engine import Engine
from common.schedule.entries.layers import Change
from common.schedule.model import Check, Entry, Occurrence
from common.states import State
from config.load import Source
from config.shelf import Shelf, shelf_of
from master import hands as kept
from master.core.effects import JobDone
from master.hands import MasterHands, state_of
from master.requests import Defaults, ScheduleRequest
from master.shell import Shell
from master.store.base import Store, UnknownJobError
from master.store.filters import count
from runners.registry import is_built_in


class Schedules:
    """What the daemon has of its schedule."""

    def __init__(self, shelf: Shelf, hands: MasterHands, scheduler: Scheduler, desk: Desk) -> None:
        self.shelf = shelf
        self._hands = hands
        self._scheduler = scheduler
        self._desk = desk

    async def verb(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """The verb `schedule`. Raises JrError."""
        request = checked(body, ScheduleRequest)
        if request.do not in _NAMELESS and not request.name:
            raise UsageError(f"cannot do schedule.{request.do}: name an entry")
        return {"answer": await self._does(request, caller.name)}

    async def _does(self, request: ScheduleRequest, by: str) -> Any:
        desk, looks, name = self._desk, self._desk.looks, request.name
        doing: dict[str, Callable[[], Any]] = {
            "list": looks.entries, "show": lambda: looks.show(name), "job_status": lambda: looks.status(name),
            "held": looks.held, "periods": self._periods,
            "show_next_fire_time": lambda: looks.upcoming(name, request.count),
            "add": lambda: desk.add(name, request.fields, by), "modify": lambda: desk.modify(name, request.fields, by),
            "delete": lambda: desk.delete(name, by), "enable": lambda: desk.enable(name, True, by),
            "disable": lambda: desk.enable(name, False, by), "copy": lambda: desk.copy(name, request.new_name, by),
            "move": lambda: desk.move(name, request.new_name, by), "save": desk.save,
            "reload": lambda: desk.reload(request.forget), "hold": lambda: desk.hold(by),
            "release": lambda: desk.release(request.pending), "resume": lambda: desk.resume(name),
            "run_job": lambda: self._run(name, by, request.force), "run_pending": self._run_pending,
            "skip_job": lambda: desk.skip(name, request.planned), "postpone_job": lambda: self._postpone(request),
        }
        answer = doing[request.do]()
        return await answer if isinstance(answer, Awaitable) else answer

    def _periods(self) -> Body:
        return written(Known(self.shelf.entries, self.shelf.periods, clock.local_zone(), self.shelf.written))

    async def _run(self, name: str, by: str, force: bool) -> Body:
        return self._begun(await self._desk.run(name, by, force))

    async def _run_pending(self) -> Body:
        return {"runs": [self._begun(run) for run in (await self._desk.run_pending())["runs"]]}

    async def _postpone(self, request: ScheduleRequest) -> Body:
        if request.to is None:
            raise UsageError("cannot postpone a run: say to when, as in to=2h")
        return await self._desk.postpone(request.name, request.to, request.planned)

    def _begun(self, run: Body) -> Body:
        """The answer on a run, when it is known whether it has a job."""
        reason = self._hands.why_not(run.get("jid"))
        return run if reason is None else {**run, "verdict": "failed_to_start", "reason": reason}


def unfit(entry: Entry) -> str:
    """Why the master can never run an entry: built-in runners are no jobs. Empty when it can."""
    if entry.target is not None or not is_built_in(entry.function):
        return ""
    return (f"function is '{entry.function}': built-in runners are no jobs; name a custom runner, or a target for a "
            "function of its minions")


@contextlib.asynccontextmanager
async def at_work(shell: Shell, source: Source, defaults: Defaults, runners: Callable[[], Iterable[str]],
                  no_runner: Callable[[str], str], asked: Callable[[Check, Jid], Awaitable[bool]],
                  fatal: Callable[[str], None]) -> AsyncIterator[Schedules]:
    """The schedule at work, for as long as the block lasts. Raises JrError when it cannot be opened."""
    store = shell.store
    hands = MasterHands(shell, defaults, runners, no_runner, asked)
    hold = kept.hold(store)
    runs = kept.unended(store)
    hands.kept(hold, runs)
    shelf = await asyncio.to_thread(shelf_of, source, kept.changes(store), master=True, unfit=unfit)
    engine = Engine(str(MASTER), clock.local_zone(), hands.mint, kept.standings(store), hold, moment())
    scheduler = Scheduler(engine, hands)
    shell.watchers.on_done(lambda event: _ended(hands, scheduler, event))
    scheduler.open(shelf.entries, shelf.periods, runs, broken=shelf.broken, fatal=fatal)
    await _tell_ends(shell, scheduler, runs)

    async def keep(changes: Sequence[Change]) -> None:
        scheduler.check()
        await hands.keep(changes)

    watching = shelf.open(keep, scheduler.load, fatal)
    try:
        yield Schedules(shelf, hands, scheduler, Desk(shelf, engine, scheduler))
    finally:
        await cancelled(watching)
        await scheduler.close()


def _ended(hands: MasterHands, scheduler: Scheduler, event: JobDone) -> None:
    if event.jid in hands.open:
        scheduler.ended(event.jid, state_of(event.counts))


async def _tell_ends(shell: Shell, scheduler: Scheduler, runs: Iterable[Occurrence]) -> None:
    """Tell the engine how those of these runs ended that ended before it was there to be told. Raises JrError."""
    over = [run.jid for run in runs if run.jid is not None and run.jid not in shell.core.ledger.jobs]
    # Minions are on the line already: what one of them said lately may be on its way to the store.
    await shell.committed([])
    for jid in over:
        scheduler.ended(jid, _state(shell.store, jid))


def _state(store: Store, jid: Jid) -> State:
    """How a run ended while nobody could tell the engine."""
    try:
        store.job(jid)
        return state_of(count(store.pairs(jid, values=False)))
    except UnknownJobError:
        return State.LOST  # it has grown old, or a backup does not have it


_NAMELESS = frozenset({"list", "held", "periods", "save", "reload", "hold", "release", "run_pending"})
