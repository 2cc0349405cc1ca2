"""What programs on this host ask of it: run a job here and wait for its return, stop one and learn how that went."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Raw

from common import clock
from common.choices import How
from common.functions import StopAnswer
from common.host.core import Host
from common.host.job import Now
from common.ids import Jid
from common.messages import NO_SECRETS, SIGNAL_ANSWER, STOP_SIGNALS, JobFields, Return, Stopped
from common.proc.record import StopRequest
from common.states import TERMINAL, State

START_WITHIN = 300.0
"""Seconds after it was asked for that a job of this host may still start (DESIGN 5): a queue may hold it up."""


def now() -> Now:
    """This moment, by both clocks."""
    return Now(boot=clock.boottime(), wall=clock.wall())


class Desk:
    """Answers requests that do not come from the master."""

    def __init__(self, host: Host, committed: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
        """`committed` applies effects and waits until they are on disk."""
        self._host = host
        self._committed = committed
        self._signals: dict[str, asyncio.Future[Stopped]] = {}
        self._ends: dict[Jid, set[asyncio.Future[Return]]] = {}

    async def run(self, jid: Jid, fields: JobFields, secrets: Raw = NO_SECRETS,
                  within: float = START_WITHIN) -> asyncio.Future[Return]:
        """Begin a job here, with the secrets that `fields` does not show; the result is its return, once it ended.

        A queue may hold it up for `within` seconds; then it is lost.

        Raises JrError when it cannot be called so.
        """
        ended: asyncio.Future[Return] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(jid, set()).add(ended)
        ended.add_done_callback(lambda done: self._leave(jid, done))
        try:
            await self._committed(self._host.begin(jid, fields, within, now(), secrets))
        except BaseException:
            ended.cancel()
            raise
        return ended

    async def stop(self, jid: Jid, how: How, signal: int, grace: float, by: str) -> StopAnswer:
        """Stop or signal a job of this host, durably, and say what became of it."""
        number = STOP_SIGNALS.get(how, signal)
        request = StopRequest(stop=os.urandom(8).hex(), how=how, signal=number, grace=grace, by=by, at=clock.wall())
        was = self._was(jid)
        answer: asyncio.Future[Stopped] = asyncio.get_running_loop().create_future()
        self._signals[request.stop] = answer
        try:
            outcome, effects = self._host.ask_stop(jid, request, now())
            await self._committed(effects)
            reason = ""
            if outcome == "signalled":
                async with asyncio.timeout(SIGNAL_ANSWER):
                    told = await answer
                outcome, reason = told.outcome, told.reason
        except TimeoutError:
            outcome, reason = "failed", f"the supervisor did not answer within {SIGNAL_ANSWER:.0f} s"
        finally:
            del self._signals[request.stop]
        return {"was": was, "outcome": "ended" if outcome == "unknown" else outcome, "reason": reason}

    def answered(self, answer: Stopped) -> bool:
        """A supervisor answered a stop; False when nobody here asked for it."""
        waiting = self._signals.get(answer.stop)
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_result(answer)
        return True

    def ended(self, message: Return) -> None:
        """A job of this host ended."""
        for waiting in list(self._ends.get(message.jid, ())):
            if not waiting.done():
                waiting.set_result(message)

    def _leave(self, jid: Jid, done: asyncio.Future[Return]) -> None:
        waiting = self._ends.get(jid, set())
        waiting.discard(done)
        if not waiting:
            self._ends.pop(jid, None)

    def _was(self, jid: Jid) -> Any:
        state = self._host.held.states().get(jid)
        if state is None:
            return "finished" if self._host.held.seen(jid) else "unknown"
        return "finished" if state in TERMINAL else "queued" if state is State.QUEUED else "running"
