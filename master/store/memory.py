"""A store that forgets at the end of the process: for `jr` in one process, for simulations and for tests."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Raw, structs

from common.ids import Jid, MinionId
from common.link import Key
from common.messages import NO_SECRETS
from common.schedule.model import Key as RunKey
from common.schedule.model import Occurrence
from common.states import State
from master.records import (
    AddJob,
    AddStop,
    AddToken,
    Change,
    DropMinion,
    DropStop,
    DropToken,
    Job,
    Keep,
    Kind,
    Minion,
    MovePair,
    Outcome,
    Pair,
    PutMinion,
    PutOccurrences,
    SetDone,
    Snapshot,
    Stop,
)
from master.store.base import (
    Filter,
    Listed,
    Mark,
    Page,
    Run,
    RunFilter,
    RunPage,
    StoreError,
    UnknownJobError,
)
from master.store.filters import count, fits, last_of, present, run_fits, window


class _Entry:
    """A job with its pairs."""

    def __init__(self, job: Job, pairs: list[Pair]) -> None:
        self.job = job
        self.pairs = {pair.minion: pair for pair in pairs}
        self.counts: dict[State, int] | None = None
        """None while it is open."""
        self.ran = 0.0
        """The store's `ran` when it was done."""

    def counted(self) -> dict[State, int]:
        return count(self.pairs.values()) if self.counts is None else self.counts


class _Run(NamedTuple):
    """A planned run, as one row of SQLite has it."""

    id: int
    ran: float
    """The store's `ran` when it came."""
    occurrence: Occurrence


class MemoryStore:
    """Implements `base.Store`. Any verb may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._entries: dict[Jid, _Entry] = {}
        self._order: list[Jid] = []
        """Every stored jid, oldest first."""
        self._open: set[Jid] = set()
        self._secrets: dict[Jid, Raw] = {}
        self._stops: dict[tuple[str, MinionId], Stop] = {}
        self._minions: dict[Key, Minion] = {}
        self._tokens: dict[str, AddToken] = {}
        self._runs: dict[tuple[MinionId, RunKey], _Run] = {}
        self._run = 0
        self._kept: dict[tuple[Kind, str], bytes] = {}
        self._minted: Jid | None = None
        self._latest = 0.0
        self._ran = 0.0

    def apply(self, changes: Sequence[Change], now: float) -> None:
        with self._lock:
            self._check_open("save")
            self._check_new([change.job.jid for change in changes if isinstance(change, AddJob)])
            for change in changes:
                self._do(change)
            self._latest = max(self._latest, now)

    def snapshot(self) -> Snapshot:
        with self._lock:
            self._check_open("read")
            entries = [self._entries[jid] for jid in sorted(self._open)]
            return Snapshot(
                last_jid=self._minted,
                jobs=[structs.replace(entry.job, secrets=self._secrets.get(entry.job.jid, NO_SECRETS))
                      for entry in entries],
                pairs=[_bare(entry.pairs[minion]) for entry in entries for minion in sorted(entry.pairs)],
                stops=[self._stops[key] for key in sorted(self._stops)],
                minions=[self._minions[key] for key in sorted(self._minions)],
                tokens=[self._tokens[digest] for digest in sorted(self._tokens)],
                latest=self._latest,
            )

    def job(self, jid: Jid) -> Job:
        with self._lock:
            self._check_open("read")
            entry = self._entries.get(jid)
        if entry is None:
            raise UnknownJobError(f"cannot find job {jid}: no such job is stored")
        return entry.job

    def pairs(self, jid: Jid, minions: Sequence[MinionId] | None = None, values: bool = True) -> Iterator[Pair]:
        with self._lock:
            self._check_open("read")
            held = self._entries[jid].pairs if jid in self._entries else {}
            names = sorted(held if minions is None else held.keys() & set(minions))
            found = [held[minion] for minion in names]
        yield from (pair if values else _bare(pair) for pair in found)

    def page(self, wanted: Filter, limit: int, before: Jid | None = None) -> Page:
        floor, top = window(wanted)
        found: list[Listed] = []
        with self._lock:
            self._check_open("read")
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

    def runs(self, wanted: RunFilter, limit: int, before: Mark | None = None) -> RunPage:
        with self._lock:
            self._check_open("read")
            latest = sorted(((last_of(run.occurrence), run.id, minion, run.occurrence)
                             for (minion, _), run in self._runs.items()), key=lambda one: one[:2], reverse=True)
            found: list[Run] = []
            place = Mark(math.inf, 0) if before is None else before
            for last, id, minion, run in latest:
                if (last, id) >= (place.last, place.id) or not run_fits(wanted, minion, run):
                    continue
                if len(found) == limit:
                    return RunPage(found, place)
                entry = None if run.jid is None else self._entries.get(run.jid)
                found.append(Run(minion, run, {} if entry is None else dict(entry.counted())))
                place = Mark(last, id)
            return RunPage(found, None)

    def kept(self, kind: Kind) -> dict[str, bytes]:
        with self._lock:
            self._check_open("read")
            return {name: body for (its, name), body in sorted(self._kept.items()) if its == kind}

    def expire(self, values_before: float, pairs_before: float, batch: int) -> int:
        with self._lock:
            self._check_open("expire")
            touched = 0
            for entry in [entry for entry in self._entries.values() if entry.counts is not None]:
                if touched >= batch:
                    break
                age = self._ran - entry.ran
                if age >= pairs_before:
                    touched += 1 + len(entry.pairs)
                    self._forget(entry.job.jid)
                elif age >= values_before:
                    touched += _strip(entry, batch - touched)
            old = [key for key, run in self._runs.items() if self._ran - run.ran >= pairs_before]
            for key in old[:max(0, batch - touched)]:
                del self._runs[key]
                touched += 1
            return touched

    def age(self, seconds: float, now: float) -> None:
        with self._lock:
            self._check_open("save")
            self._ran += seconds
            self._latest = max(self._latest, now)

    def wipe(self) -> bool:
        with self._lock:
            self._check_open("wipe")
        return True

    def size(self) -> int:
        return 0

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _check_open(self, verb: str) -> None:
        if self._closed:
            raise StoreError(f"cannot {verb}: the store is closed")

    def _check_new(self, jids: list[Jid]) -> None:
        """The only change that can be refused is looked at before the first one is made."""
        seen: set[Jid] = set()
        for jid in jids:
            if jid in self._entries or jid in seen:
                raise StoreError(f"cannot save: job {jid} is stored already")
            seen.add(jid)

    def _do(self, change: Change) -> None:
        match change:
            case AddJob():
                self._add_job(change)
            case MovePair(pair):
                self._move_pair(pair)
            case SetDone():
                self._set_done(change)
            case AddStop(stop):
                self._stops[stop.stop, stop.minion] = stop
            case DropStop(name, minion):
                self._stops.pop((name, minion), None)
            case PutMinion(put):
                self._minions[put.key] = put
            case DropMinion(key):
                self._minions.pop(key, None)
            case AddToken() | DropToken() | PutOccurrences() | Keep():
                self._do_apart(change)

    def _do_apart(self, change: AddToken | DropToken | PutOccurrences | Keep) -> None:
        """What is no part of jobs and keys."""
        match change:
            case AddToken(digest):
                self._tokens[digest] = change
            case DropToken(digest):
                self._tokens.pop(digest, None)
            case PutOccurrences():
                self._put_runs(change)
            case Keep(kind, name, None):
                self._kept.pop((kind, name), None)
            case Keep(kind, name, bytes(body)):
                self._kept[kind, name] = body

    def _put_runs(self, change: PutOccurrences) -> None:
        for item in change.items:
            key = change.minion, item.key
            former = self._runs.get(key)
            if former is None:
                self._run += 1
                self._runs[key] = _Run(self._run, self._ran, item)
            else:
                self._runs[key] = former._replace(occurrence=item)

    def _forget(self, jid: Jid) -> None:
        del self._entries[jid]
        del self._order[bisect.bisect_left(self._order, jid)]
        self._stops = {key: stop for key, stop in self._stops.items() if stop.jid != jid}

    def _add_job(self, change: AddJob) -> None:
        jid = change.job.jid
        self._entries[jid] = _Entry(structs.replace(change.job, secrets=NO_SECRETS), change.pairs)
        if change.job.secrets != NO_SECRETS:
            self._secrets[jid] = change.job.secrets
        bisect.insort(self._order, jid)
        self._open.add(jid)
        if change.job.done is not None:
            self._set_done(SetDone(jid, change.job.done, count(change.pairs)))
        if change.minted and (self._minted is None or jid > self._minted):
            self._minted = jid

    def _move_pair(self, pair: Pair) -> None:
        if pair.jid in self._entries:
            self._entries[pair.jid].pairs[pair.minion] = pair

    def _set_done(self, change: SetDone) -> None:
        entry = self._entries.get(change.jid)
        if entry is not None:
            entry.job = structs.replace(entry.job, done=change.at)
            entry.counts = present(change.counts)
            entry.ran = self._ran
            self._open.discard(change.jid)
            self._secrets.pop(change.jid, None)


def _passes(wanted: Filter, entry: _Entry) -> bool:
    if not fits(wanted, entry.job) or (wanted.state is not None and wanted.state not in entry.counted()):
        return False
    if wanted.minion is None:
        return True
    pair = entry.pairs.get(wanted.minion)
    return pair is not None and wanted.state in (None, pair.state)


def _bare(pair: Pair) -> Pair:
    return structs.replace(pair, outcome=None)


def _strip(entry: _Entry, most: int) -> int:
    """Drop value and output of at most `most` pairs; of how many."""
    touched = 0
    for minion, pair in entry.pairs.items():
        if touched < most and pair.outcome is not None and _holds(pair.outcome):
            bare = structs.replace(pair.outcome, value=None, stdout=b"", stderr=b"")
            entry.pairs[minion] = structs.replace(pair, outcome=bare, expired=True)
            touched += 1
    return touched


def _holds(outcome: Outcome) -> bool:
    return bool(outcome.value is not None or outcome.stdout or outcome.stderr)
