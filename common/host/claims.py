"""Which jids were ever seen on this host, and which of them must never start. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from common.ids import Jid
from common.timers import Timers

KEPT = 3600.0
"""Seconds past its deadline that a claim is kept at least (DESIGN 7): longer than any message can be on its way."""


class Kept(Struct, frozen=True):
    """A claim, as a start of the daemon finds it."""

    until: float
    """Boot time of this boot before which it must not be forgotten."""
    cancelled: bool = False
    """It was made by a stop, for a job that never came: the job must never start."""


class Claims:
    """All that are remembered."""

    def __init__(self) -> None:
        self._cancelled: dict[Jid, bool] = {}
        self._refused: dict[Jid, str] = {}
        self._timers: Timers[Jid] = Timers()

    def __contains__(self, jid: object) -> bool:
        return jid in self._cancelled

    def add(self, jid: Jid, until: float, *, cancelled: bool = False) -> None:
        """Remember a jid until then (boot time)."""
        self._cancelled[jid] = cancelled
        self._timers.set(jid, until)

    def cancelled(self, jid: Jid) -> bool:
        """Whether a stop came before the job did."""
        return self._cancelled.get(jid, False)

    def refuse(self, jid: Jid, reason: str) -> None:
        """This one came to nothing, and never ran: remembered in memory alone, for whoever sends the job again."""
        self._refused[jid] = reason

    def refused(self, jid: Jid) -> str | None:
        """Why it came to nothing, if it did."""
        return self._refused.get(jid)

    def old(self, now: float, held: Callable[[Jid], bool]) -> list[Jid]:
        """Those whose claim may be dropped; they are forgotten, as are refused ones, which left no claim.

        What is still held is remembered for another while.
        """
        gone = []
        for jid in self._timers.due(now):
            if held(jid):
                self._timers.set(jid, now + KEPT)
            else:
                del self._cancelled[jid]
                if self._refused.pop(jid, None) is None:
                    gone.append(jid)
        return gone

    def next(self) -> float | None:
        """When something may be forgotten."""
        return self._timers.next()
