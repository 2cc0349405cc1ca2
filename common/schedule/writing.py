"""What was decided of a schedule, on its way into its journal: what verbs brought is refused, what happened waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import structs

from common import clock
from common.errors import JrError
from common.ids import Jid
from common.log import limited
from common.schedule.model import LATE, Begin, Step
from common.schedule.turns import Turn
from common.schedule.work import Hands

ROOM_AGAIN = 1.0
"""Seconds between two tries to write what the journal did not take."""
START_WITHIN = 300.0
"""Seconds after it was decided that a run may still begin (DESIGN 5); its entry may name an earlier deadline."""
_log = logging.getLogger("jr.schedule")


def start_within(begin: Begin, now: float) -> float:
    """Seconds from `now` in which the job of a decided run may still begin; none are left when it is not above 0."""
    left = begin.occurrence.at + START_WITHIN - now
    return left if begin.until is None else min(left, begin.until - now)


class Writer:
    """Writes one step after the other."""

    def __init__(self, hands: Hands, refuse: Callable[[str], None], failed: Callable[[Begin, str], None]) -> None:
        """`refuse` is told why no verb can be had for now, `failed` of runs that could not be written in time."""
        self._hands = hands
        self._refuse = refuse
        self._failed = failed
        self.stuck = ""
        """Why the journal takes nothing at present; empty when it does."""

    async def attempt(self, step: Step, begins: Sequence[Begin], verbs: Sequence[Turn]) -> bool:
        """Write what verbs brought, or refuse them: they are asked for again, and must not happen twice."""
        try:
            await self._hands.commit(step, begins)
        except JrError as error:
            for turn in verbs:
                turn.refuse(JrError(f"cannot change the schedule: its journal cannot be written: {error}"))
            return False
        return True

    async def write(self, step: Step, begins: list[Begin]) -> list[Begin]:
        """Write what happened, however long that takes; the runs that may still begin then.

        Until it is written the engine is asked nothing: what is planned meanwhile is missed, as by a daemon that was
        away. Verbs are refused meanwhile, and the log has a line.
        """
        written, allowed, late = step, begins, list[Begin]()
        while True:
            try:
                await self._hands.commit(written, allowed)
                break
            except JrError as error:
                self._is_stuck(str(error))
            await asyncio.sleep(ROOM_AGAIN)
            written, allowed, late = _delayed(step, begins, clock.wall())
        if self.stuck:
            self.stuck = ""
            _log.warning("the schedule's journal can be written again", extra={"action": "schedule.room"})
        for begin in late:
            self._failed(begin, "the journal could not be written in time")
        return allowed

    def _is_stuck(self, reason: str) -> None:
        self.stuck = reason
        limited(_log, "journal").error("cannot write the schedule's journal, and begin nothing until it can be "
                                       "written: %s", reason, extra={"action": "schedule.short"})
        self._refuse(f"its journal cannot be written: {reason}")


def _delayed(step: Step, begins: Sequence[Begin], now: float) -> tuple[Step, list[Begin], list[Begin]]:
    """The step as it is true when it is written so much later, the runs that may still begin, and those that may not.
    """
    allowed: dict[Jid | None, Begin] = {}
    late: list[Begin] = []
    for begin in begins:
        one = begin.occurrence
        if start_within(begin, now) <= 0:
            late.append(begin)
        elif one.verdict == "ran" and now - (one.at if begin.due is None else begin.due) > LATE:
            allowed[one.jid] = structs.replace(begin, occurrence=structs.replace(one, verdict="late", at=now))
        else:
            allowed[one.jid] = begin
    occurrences = tuple(allowed[one.jid].occurrence if one.jid in allowed and one.jid is not None else one
                        for one in step.occurrences)
    return structs.replace(step, occurrences=occurrences), list(allowed.values()), late
