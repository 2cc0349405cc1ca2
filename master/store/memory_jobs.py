"""The jobs of a store in memory, with their pairs. Not for several threads: `MemoryStore` has the lock."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from msgspec import Raw, structs

from common.ids import Jid
from common.messages import NO_SECRETS
from common.states import State
from master.records import AddJob, Job, Outcome, Pair, SetDone
from master.store.base import Filter, Listed, Page, StoreError
from master.store.filters import count, fits, present, window


class Entry:
    """A job with its pairs."""

    def __init__(self, job: Job, pairs: list[Pair]) -> None:
        self.job = job
        self.pairs = {pair.minion: pair for pair in pairs}
        self.counts: dict[State, int] | None = None
        """None while it is open."""
        self.ran = 0.0
        """The store's `ran` when it was done."""

    def counted(self) -> dict[State, int]:
        """How many pairs are in which state."""
        return count(self.pairs.values()) if self.counts is None else self.counts


class Jobs:
    """All jobs that are kept, in order of their jids."""

    def __init__(self) -> None:
        self._entries: dict[Jid, Entry] = {}
        self._order: list[Jid] = []
        """Every stored jid, oldest first."""
        self._open: set[Jid] = set()
        self._secrets: dict[Jid, Raw] = {}
        self.minted: Jid | None = None
        """The last jid that the master minted."""

    def get(self, jid: Jid) -> Entry | None:
        """A job that is kept."""
        return self._entries.get(jid)

    def unfinished(self) -> list[tuple[Job, list[Pair]]]:
        """The jobs that are not done, whole, with their pairs by minion."""
        return [(structs.replace(entry.job, secrets=self._secrets.get(jid, NO_SECRETS)),
                 [bare(entry.pairs[minion]) for minion in sorted(entry.pairs)])
                for jid in sorted(self._open) for entry in [self._entries[jid]]]

    def page(self, wanted: Filter, limit: int, before: Jid | None) -> Page:
        """At most `limit` jobs, the newest first: see `base.Store`."""
        floor, top = window(wanted)
        found: list[Listed] = []
        end = bisect.bisect_left(self._order, top if before is None else min(top, before))
        start = bisect.bisect_left(self._order, floor)
        for place in range(end - 1, start - 1, -1):
            entry = self._entries[self._order[place]]
            if not _passes(wanted, entry):
                continue
            if len(found) == limit:
                return Page(found, found[-1].job.jid)
            found.append(Listed(entry.job, dict(entry.counted())))
        return Page(found, None)

    def check_new(self, jids: Iterable[Jid]) -> None:
        """The only change that can be refused is looked at before the first one is made. Raises StoreError."""
        seen: set[Jid] = set()
        for jid in jids:
            if jid in self._entries or jid in seen:
                raise StoreError(f"cannot save: job {jid} is stored already")
            seen.add(jid)

    def add(self, change: AddJob, ran: float) -> None:
        """A new job; `ran` is the store's."""
        jid = change.job.jid
        self._entries[jid] = Entry(structs.replace(change.job, secrets=NO_SECRETS), change.pairs)
        if change.job.secrets != NO_SECRETS:
            self._secrets[jid] = change.job.secrets
        bisect.insort(self._order, jid)
        self._open.add(jid)
        if change.job.done is not None:
            self.set_done(SetDone(jid, change.job.done, count(change.pairs)), ran)
        if change.minted and (self.minted is None or jid > self.minted):
            self.minted = jid

    def move(self, pair: Pair) -> None:
        """A pair has another state; one of a job that is kept no more is nobody's."""
        if pair.jid in self._entries:
            self._entries[pair.jid].pairs[pair.minion] = pair

    def set_done(self, change: SetDone, ran: float) -> None:
        """A job is done; from here on it ages."""
        entry = self._entries.get(change.jid)
        if entry is not None:
            entry.job = structs.replace(entry.job, done=change.at)
            entry.counts = present(change.counts)
            entry.ran = ran
            self._open.discard(change.jid)
            self._secrets.pop(change.jid, None)

    def expire(self, ran: float, values_before: float, pairs_before: float, batch: int) -> tuple[int, set[Jid]]:
        """Drop what is old, `batch` things at most: how many went, and the jobs that are kept no more."""
        touched = 0
        gone: set[Jid] = set()
        for entry in [entry for entry in self._entries.values() if entry.counts is not None]:
            if touched >= batch:
                break
            age = ran - entry.ran
            if age >= pairs_before:
                touched += 1 + len(entry.pairs)
                gone.add(entry.job.jid)
                self._forget(entry.job.jid)
            elif age >= values_before:
                touched += _strip(entry, batch - touched)
        return touched, gone

    def _forget(self, jid: Jid) -> None:
        del self._entries[jid]
        del self._order[bisect.bisect_left(self._order, jid)]


def bare(pair: Pair) -> Pair:
    """A pair without its outcome."""
    return structs.replace(pair, outcome=None)


def _passes(wanted: Filter, entry: Entry) -> bool:
    if not fits(wanted, entry.job) or (wanted.state is not None and wanted.state not in entry.counted()):
        return False
    if wanted.minion is None:
        return True
    pair = entry.pairs.get(wanted.minion)
    return pair is not None and wanted.state in (None, pair.state)


def _strip(entry: Entry, most: int) -> int:
    """Drop value and output of at most `most` pairs; of how many."""
    touched = 0
    for minion, pair in entry.pairs.items():
        if touched < most and pair.outcome is not None and _holds(pair.outcome):
            stripped = structs.replace(pair.outcome, value=None, stdout=b"", stderr=b"")
            entry.pairs[minion] = structs.replace(pair, outcome=stripped, expired=True)
            touched += 1
    return touched


def _holds(outcome: Outcome) -> bool:
    return bool(outcome.value is not None or outcome.stdout or outcome.stderr)
