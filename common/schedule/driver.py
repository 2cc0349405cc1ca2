"""Drives one schedule engine: one timer, all events in one order, and nothing begins before it is in the journal.

Minions and the master share it. What decides is the engine; what is durable, and how a job begins, is up to the hands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Protocol

from common import clock
from common.aio import guarded
from common.errors import JrError
from common.ids import Jid
from common.schedule import work
from common.schedule.model import (
    Ask,
    Begin,
    Decision,
    Entry,
    Hold,
    Judge,
    Key,
    Moment,
    Occurrence,
    Standing,
    Step,
)
from common.schedule.times.periods import Period
from common.schedule.turns import Slices, T, Turn, Turns
from common.schedule.work import Call, Hands, Work
from common.schedule.writing import Writer
from common.states import State

VERB_SECONDS = 30.0
"""How long a verb waits for its turn; the journal is in trouble when it takes so long."""
QUEUE_LIMIT = 10_000
"""Verbs that may wait for their turn."""
_SLEEP = 60.0
"""Seconds after which the engine is asked again, at the latest: the loop's clock stands still while the host sleeps."""
_PAUSE = 1.0
"""Seconds until the engine is asked again after it failed, so that a fault of it costs no more than a line a second."""
_log = logging.getLogger("jr.schedule")


class Mark(Protocol):
    """Where the engine stood."""

    def back(self) -> None:
        """Stand there again: nothing since then ever was."""


class Engine(work.Engine, Protocol):
    """What is asked of the engine (`common.schedule.engine.engine`), which decides everything and does nothing."""

    @property
    def held(self) -> Hold | None:
        """The hold of all entries, if there is one."""

    def load(self, entries: Mapping[str, Entry], periods: Mapping[str, Period], now: Moment,
             broken: Container[str] = ()) -> Slices[list[Decision]]: ...
    def adopt(self, occurrence: Occurrence) -> None: ...
    def wait(self, now: Moment) -> float | None: ...
    def due(self, now: Moment) -> list[Decision]: ...
    def ended(self, jid: Jid, state: State, now: Moment) -> list[Decision]: ...
    def run(self, name: str, by: str, now: Moment, force: bool = False) -> list[Decision]: ...
    def skip(self, name: str, planned: float | None, now: Moment) -> list[Decision]: ...
    def postpone(self, name: str, planned: float | None, to: float, now: Moment) -> list[Decision]: ...
    def resume(self, name: str, now: Moment) -> list[Decision]: ...
    def hold(self, by: str, now: Moment) -> list[Decision]: ...
    def release(self, now: Moment, pending: Any) -> list[Decision]: ...
    def run_pending(self, now: Moment) -> list[Decision]: ...
    def mark(self) -> Mark: ...
    def changed(self) -> Slices[tuple[tuple[Standing, ...], tuple[str, ...]]]: ...


def moment() -> Moment:
    """Now, by both clocks."""
    return Moment(wall=clock.wall(), boot=clock.boottime())


async def breathe() -> None:
    """Let others have the loop for a moment, in the middle of something long."""
    await asyncio.sleep(0)


class Scheduler:
    """The entries of one daemon, at work."""

    def __init__(self, engine: Engine, hands: Hands) -> None:
        self._engine = engine
        self._turns = Turns()
        self._work = Work(engine, hands, self._turns.put)
        self._writer = Writer(hands, self._turns.refuse, self._work.failed)
        self._at_work: list[Turn] = []
        """Turns that are being written."""
        self._asked: dict[Key, asyncio.Future[Occurrence]] = {}
        """Runs by hand whose `should_run` is being asked."""
        self._verbs = 0
        self._next: tuple[Mapping[str, Entry], Mapping[str, Period], Container[str]] | None = None
        """Entries and periods that wait for their turn: only the last ones count."""
        self._worker: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._hold = engine.held

    @property
    def stuck(self) -> str:
        """Why the journal takes nothing at present; empty when it does."""
        return self._writer.stuck

    # the daemon's

    def open(self, entries: Mapping[str, Entry], periods: Mapping[str, Period],
             running: Iterable[Occurrence] = (), again: Iterable[Begin] = (), *,
             broken: Container[str] = (), fatal: Callable[[str], None] = _log.critical) -> None:
        """Begin to work.

        `running` go on from an earlier start of the daemon; `again` stand in the journal, and their jobs are begun now.
        Entries in `broken` cannot be used for now. `fatal` is told when no more work can be done.
        """
        repeated = list(again)
        for occurrence in (*running, *(begin.occurrence for begin in repeated)):
            self._engine.adopt(occurrence)
        self._turns.put(lambda now: self._engine.load(entries, periods, now, broken))
        for begin in repeated:
            self._work.begin(begin)
        self._worker = guarded(self._serve, "the schedule", fatal)

    async def close(self) -> None:
        """Begin nothing any more; what runs goes on, and what is decided and not in the journal never was."""
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._work.close()
        for turn in self._at_work:
            turn.refuse(JrError("cannot tell whether the change of the schedule counts: the daemon ends"))
        self._turns.refuse("the daemon ends")
        self._turns.clear()

    def ended(self, jid: Jid, state: State) -> None:
        """A run ended; of a jid that was none nothing comes."""
        self._turns.put(lambda now: self._engine.ended(jid, state, now), jid)

    # verbs: each is durable when it comes back, and raises JrError (NotFoundError, UsageError) when it is refused

    async def load(self, entries: Mapping[str, Entry], periods: Mapping[str, Period],
                   broken: Container[str] = ()) -> None:
        """These are the entries from now on; those that did not change keep their state, and so do those in `broken`,
        which cannot be used for now.

        They are so also when this raises JrError: they are durable elsewhere, and the journal has yet to follow.
        """
        # While the journal takes nothing, whoever has new entries comes again and again.
        if self._next is None:
            self._turns.put(self._load_next)
        self._next = (entries, periods, broken)
        await self._do(lambda now: [])

    async def run(self, name: str, by: str, *, force: bool = False) -> Occurrence | None:
        """Run an entry now: the run, with its jid, or its verdict; None when it waits for another run to end."""
        decisions = await self._do(lambda now: self._engine.run(name, by, now, force=force))
        asked = next((one.key for one in decisions if isinstance(one, Ask) and one.key.schedule == name), None)
        if asked is None:
            told = [one.occurrence for one in decisions if isinstance(one, Begin | Judge)]
            return next((one for one in told if one.schedule == name and one.cause == "by_hand"), None)
        return await self._verdict(asked)

    async def skip(self, name: str, planned: float | None) -> None:
        """Do not run at that planned time, None: at the next one."""
        await self._do(lambda now: self._engine.skip(name, planned, now))

    async def postpone(self, name: str, planned: float | None, to: float) -> None:
        """Run at `to` what is planned at that time, None: the next one."""
        await self._do(lambda now: self._engine.postpone(name, planned, to, now))

    async def resume(self, name: str) -> None:
        """Let an entry go on that paused itself after too many failures."""
        await self._do(lambda now: self._engine.resume(name, now))

    async def hold(self, by: str) -> None:
        """Hold all entries: nothing of the schedule begins."""
        await self._do(lambda now: self._engine.hold(by, now))

    async def release(self, pending: Any) -> None:
        """Let all go on; `pending` is what becomes of the runs that were held: `run` or `drop`."""
        await self._do(lambda now: self._engine.release(now, pending))

    async def run_pending(self) -> list[Occurrence]:
        """Begin what came due while all is held, each entry once; the hold goes on. What became of each."""
        decisions = await self._do(self._engine.run_pending)
        begun = [one.occurrence for one in decisions if isinstance(one, Begin)]
        asked = await asyncio.gather(*(self._verdict(one.key) for one in decisions if isinstance(one, Ask)))
        return [*begun, *(one for one in asked if one is not None)]

    async def _verdict(self, asked: Key) -> Occurrence | None:
        """What becomes of a run whose `should_run` is being asked; None when that takes too long."""
        verdict = self._asked.setdefault(asked, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(VERB_SECONDS):
                return await asyncio.shield(verdict)
        except TimeoutError:
            return None
        finally:
            self._asked.pop(asked, None)

    def check(self) -> None:
        """Raises JrError while nothing can be changed, since the journal takes nothing."""
        if self.stuck:
            raise JrError(f"cannot change the schedule: its journal cannot be written: {self.stuck}")

    # turns

    def _load_next(self, now: Moment) -> Slices[list[Decision]]:
        assert self._next is not None
        (entries, periods, broken), self._next = self._next, None
        # What came due while nobody could ask is due by the entries as they were: these may plan it no more.
        came = self._engine.due(now)
        return [*came, *(yield from self._engine.load(entries, periods, now, broken))]

    async def _do(self, call: Call) -> list[Decision]:
        """Have a verb's turn, and wait until what came of it is durable; when that cannot be, it has no effect."""
        self.check()
        if self._verbs >= QUEUE_LIMIT:
            raise JrError(f"cannot change the schedule: {QUEUE_LIMIT} changes wait already")
        done: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()
        self._turns.put(call, done=done)
        self._verbs += 1
        try:
            async with asyncio.timeout(VERB_SECONDS):
                return await done
        except TimeoutError:
            why = f"its journal did not answer in {VERB_SECONDS:.0f} s"
            if any(turn.done is done for turn in self._at_work):
                raise JrError(f"cannot tell whether the change of the schedule counts: {why}") from None
            raise JrError(f"cannot change the schedule: {why}") from None
        finally:
            self._verbs -= 1

    async def _serve(self) -> None:
        """Take what comes, for ever; what comes together shares one commit, but for verbs and all else."""
        while True:
            while self._turns:
                self._at_work = self._turns.batch()
                await self._take(self._at_work)
                self._at_work = []
            self._arm()
            await self._turns.come()

    def _arm(self) -> None:
        """Wake when the engine wants to be asked again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._engine.wait(moment())
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(min(wait, _SLEEP), self._turns.put, self._engine.due)

    async def _take(self, turns: list[Turn]) -> None:
        before = self._engine.mark() if turns[0].is_verb else None
        taken: list[tuple[Turn, list[Decision]]] = []
        for turn in turns:
            decisions = await _taken(turn)
            if decisions is not None:
                taken.append((turn, decisions))
        decisions = [decision for _, some in taken for decision in some]
        ended = tuple(turn.ended for turn in turns if turn.ended is not None)
        step, begins = await _step(self._engine, decisions, ended)
        if not _is_empty(step) or self._hold != step.hold:
            if before is None:
                begins = await self._writer.write(step, begins)
            elif not await self._writer.attempt(step, begins, turns):
                before.back()
                return
        self._hold = step.hold
        for occurrence in step.occurrences:
            if occurrence.key in self._asked and not self._asked[occurrence.key].done():
                self._asked[occurrence.key].set_result(occurrence)
        for turn, some in taken:
            if turn.done is not None and not turn.done.done():
                turn.done.set_result(some)
        self._work.do(decisions, begins)


async def _taken(turn: Turn) -> list[Decision] | None:
    """What it decides; None when it decides nothing, since it refused, or since who asked has given up."""
    if turn.done is not None and turn.done.done():
        return None
    try:
        found = turn.call(moment())
        return found if isinstance(found, list) else await _in_slices(found)
    except JrError as error:
        if turn.done is None:
            _log.error("%s", error, extra={"action": "schedule.refused"})
        turn.refuse(error)
    except Exception as error:  # a fault of the engine must not end the daemon, and with it all other work
        _log.exception("the scheduler failed, and goes on", extra={"action": "schedule.fault"})
        turn.refuse(JrError(f"cannot change the schedule: {type(error).__name__}"))
        await asyncio.sleep(_PAUSE)
    return None


async def _in_slices(slices: Slices[T]) -> T:
    """All of it; others have the loop in between."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: T = end.value
            return found
        await breathe()


async def _step(engine: Engine, decisions: list[Decision], ended: tuple[Jid, ...]) -> tuple[Step, list[Begin]]:
    begins = [decision for decision in decisions if isinstance(decision, Begin)]
    standings, dropped = await _in_slices(engine.changed())
    judged = [decision.occurrence for decision in decisions if isinstance(decision, Begin | Judge)]
    return Step(occurrences=tuple(judged), standings=standings, dropped=dropped, hold=engine.held, ended=ended), begins


def _is_empty(step: Step) -> bool:
    return not (step.occurrences or step.standings or step.dropped or step.ended)
