"""What a scheduler's engine decided, being done by the hands of its daemon, beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from common.errors import JrError
from common.ids import Jid
from common.log import limited
from common.schedule.model import Ask, Begin, Decision, End, Entry, Key, Moment, Step
from common.values import ArgumentsError

ASKED_AT_ONCE = 4
"""`should_run` questions that are asked beside each other: each is a process."""
_log = logging.getLogger("jr.schedule")

Call = Callable[[Moment], list[Decision]]
"""Something that the engine is told when its turn comes."""


class Hands(Protocol):
    """What a scheduler does in the world."""

    async def commit(self, step: Step, begins: Sequence[Begin]) -> None:
        """Make the step durable, all of it or nothing; on the master the jobs of `begins` with it. Raises JrError."""

    async def begin(self, begin: Begin) -> None:
        """Begin the job of a run that is in the journal. Raises JrError when it cannot begin, ever."""

    async def end(self, jid: Jid, reason: str) -> None:
        """Kill a job. Raises JrError."""

    async def ask(self, entry: Entry) -> bool:
        """Whether the entry should run, within a time of the hands' own. Raises JrError when that cannot be told: then
        it runs."""


class Engine(Protocol):
    """Who is told what came of it."""

    def answered(self, key: Key, yes: bool, now: Moment, reason: str = "") -> list[Decision]: ...
    def failed(self, key: Key, reason: str, now: Moment) -> list[Decision]: ...


class Work:
    """What was decided, being done."""

    def __init__(self, engine: Engine, hands: Hands, put: Callable[[Call], None]) -> None:
        self._engine = engine
        self._hands = hands
        self._put = put
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    def do(self, decisions: Iterable[Decision], begins: Iterable[Begin]) -> None:
        """Do it, beside everything else; `begins` are those runs of it that may begin."""
        for begin in begins:
            self.begin(begin)
        for decision in decisions:
            match decision:
                case Ask():
                    self._spawn(self._ask(decision), partial(self._answered, decision, True))
                case End():
                    self._spawn(self._end(decision), lambda error: None)

    def begin(self, begin: Begin) -> None:
        """Begin a run that is in the journal."""
        self._spawn(self._begin(begin), lambda error: self.failed(begin, f"its start failed: {error}"))

    def failed(self, begin: Begin, reason: str) -> None:
        """A run that could not begin: say so to the engine and to the log."""
        occurrence = begin.occurrence
        limited(_log, f"failed {occurrence.schedule}").error(
            "cannot run %s: %s", occurrence.schedule, reason,
            extra={"action": "schedule.failed", "jid": occurrence.jid})
        self._put(lambda now: self._engine.failed(occurrence.key, reason, now))

    async def close(self) -> None:
        """Do no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, begin: Begin) -> None:
        try:
            await self._hands.begin(begin)
        except JrError as error:
            # Whoever reads the log and the verdict is not meant to read what entries give their functions.
            self.failed(begin, error.plain if isinstance(error, ArgumentsError) else str(error))

    async def _ask(self, ask: Ask) -> None:
        yes, reason = True, ""
        try:
            async with self._asking:
                yes = await self._hands.ask(ask.entry)
        except JrError as error:
            reason = str(error)
            limited(_log, f"ask {ask.key.schedule}").warning(
                "cannot ask whether %s should run, so it runs: %s", ask.key.schedule, error,
                extra={"action": "schedule.unasked"})
        self._answered(ask, yes, reason)

    def _answered(self, ask: Ask, yes: bool, reason: str) -> None:
        self._put(lambda now: self._engine.answered(ask.key, yes, now, reason))

    async def _end(self, end: End) -> None:
        try:
            await self._hands.end(end.jid, end.reason)
        except JrError as error:
            _log.error("cannot end %s: %s", end.jid, error, extra={"action": "schedule.unended", "jid": end.jid})

    def _spawn(self, work: Coroutine[Any, Any, None], lost: Callable[[str], None]) -> None:
        """`lost` is told the kind of a fault, so that no entry waits for ever for what comes no more."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, lost))

    def _finished(self, lost: Callable[[str], None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("%s", error, exc_info=error, extra={"action": "task.failed"})
            lost(type(error).__name__)
