"""Minions that are not there: who is about to come, who was away for too long, and what becomes of their jobs. Pure."""

from __future__ import annotations

from common.ids import MinionId
from common.states import State
from common.timers import Timers
from master.core import effects as do
from master.core.keys import Keyring
from master.core.ledger import Ledger, OpenJob
from master.core.presence import Fleet


class Absence:
    """Closes what waits in vain for a minion."""

    def __init__(self, ledger: Ledger, fleet: Fleet, keys: Keyring, lost_after: float) -> None:
        """`lost_after` is the time in seconds after which what an absent minion had accepted is lost."""
        self._ledger = ledger
        self._fleet = fleet
        self._keys = keys
        self._lost_after = lost_after
        self._absent: Timers[MinionId] = Timers()
        self._coming: Timers[MinionId] = Timers()

    def next(self) -> float | None:
        """When somebody is given up, in master time."""
        return min((at for at in (self._absent.next(), self._coming.next()) if at is not None), default=None)

    def is_coming(self, minion: MinionId) -> bool:
        """Whether a minion that is not there is about to come."""
        return minion in self._coming

    def expect(self, minion: MinionId, until: float) -> None:
        """Until then it counts as about to come."""
        self._coming.set(minion, until)

    def came(self, minion: MinionId) -> None:
        """It is there."""
        self._absent.clear(minion)

    def left(self, minion: MinionId, now: float) -> None:
        """It is not there: from now on its absence counts."""
        self._absent.set(minion, now + self._lost_after)

    def tick(self, now: float) -> list[do.Effect]:
        """Time has passed."""
        effects = self.undeliver(sorted(self._coming.due(now)), "the minion did not come back", now)
        for minion in self._absent.due(now):
            if self._fleet.get(minion) is None:
                effects += self.lose(minion, f"the minion was away for {self._lost_after:.0f} s", now)
        return effects

    def lose(self, minion: MinionId, reason: str, now: float) -> list[do.Effect]:
        """Close what a minion still owes, but for what may wait for it."""
        effects: list[do.Effect] = []
        for opened in self._ledger.of_minion(minion):
            if _waits(opened, minion) and self._keys.accepted(minion) is not None:
                continue
            state = State.UNDELIVERED if opened.pairs[minion].state is State.PLANNED else State.LOST
            effects += self._ledger.close(opened, minion, state, reason, now)
            effects += self._ledger.finish(opened, now)
        return effects

    def undeliver(self, minions: list[MinionId], reason: str, now: float) -> list[do.Effect]:
        """Close what is still planned for minions that are not there, and are not about to come."""
        effects: list[do.Effect] = []
        for minion in minions:
            if self._fleet.get(minion) is not None or self.is_coming(minion):
                continue
            for opened in self._ledger.of_minion(minion):
                if opened.pairs[minion].state is State.PLANNED and not _waits(opened, minion):
                    effects += self._ledger.close(opened, minion, State.UNDELIVERED, reason, now)
                    effects += self._ledger.finish(opened, now)
        return effects


def _waits(opened: OpenJob, minion: MinionId) -> bool:
    """Whether this pair was never sent and waits for its minion, for as long as it may start."""
    return opened.job.queue and opened.pairs[minion].state is State.PLANNED
