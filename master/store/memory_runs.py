"""The planned runs of a store in memory. Not for several threads: `MemoryStore` has the lock."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from common.ids import Jid, MinionId
from common.schedule.model import Key, Occurrence
from common.states import State
from master.records import PutOccurrences
from master.store.base import Mark, Run, RunFilter, RunPage
from master.store.filters import corrects, last_of, run_fits


class _Row(NamedTuple):
    """A planned run, as one row of SQLite has it."""

    id: int
    ran: float
    """The store's `ran` when it came."""
    occurrence: Occurrence


class Runs:
    """One row for each planned run of each host."""

    def __init__(self) -> None:
        self._rows: dict[tuple[MinionId, Key], _Row] = {}
        self._last = 0

    def put(self, change: PutOccurrences, ran: float) -> None:
        """File verdicts; a later one on the same run replaces the one before. `ran` is the store's."""
        for item in change.items:
            key = change.minion, item.key
            former = self._rows.get(key)
            if former is None:
                self._last += 1
                self._rows[key] = _Row(self._last, ran, item)
            elif not corrects(former.occurrence, item):
                self._rows[key] = former._replace(occurrence=item)

    def page(self, wanted: RunFilter, limit: int, before: Mark | None,
             states: Callable[[Jid | None], dict[State, int]]) -> RunPage:
        """At most `limit` of them, the latest first: see `base.Store`. `states` tells how a job stands."""
        latest = sorted(((last_of(row.occurrence), row.id, minion, row.occurrence)
                         for (minion, _), row in self._rows.items()), key=lambda one: one[:2], reverse=True)
        found: list[Run] = []
        place = Mark(math.inf, 0) if before is None else before
        for last, id, minion, run in latest:
            if (last, id) >= (place.last, place.id) or not run_fits(wanted, minion, run):
                continue
            if len(found) == limit:
                return RunPage(found, place)
            found.append(Run(minion, run, states(run.jid)))
            place = Mark(last, id)
        return RunPage(found, None)

    def expire(self, ran: float, before: float, most: int) -> int:
        """Drop old ones, `most` of them at most; how many went."""
        old = [key for key, row in self._rows.items() if ran - row.ran >= before][:max(0, most)]
        for key in old:
            del self._rows[key]
        return len(old)
