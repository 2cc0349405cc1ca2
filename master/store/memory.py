"""A store that forgets at the end of the process: for `jr` in one process, for simulations and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from common.ids import Jid, MinionId
from common.link import Key
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
    Pair,
    PutMinion,
    PutOccurrences,
    SetDone,
    Snapshot,
    Stop,
)
from master.store.base import Filter, Mark, Page, RunFilter, RunPage, StoreError, UnknownJobError
from master.store.memory_jobs import Jobs, bare
from master.store.memory_runs import Runs


class MemoryStore:
    """Implements `base.Store`. Any verb may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._jobs = Jobs()
        self._runs = Runs()
        self._stops: dict[tuple[str, MinionId], Stop] = {}
        self._minions: dict[Key, Minion] = {}
        self._tokens: dict[str, AddToken] = {}
        self._kept: dict[tuple[Kind, str], bytes] = {}
        self._latest = 0.0
        self._ran = 0.0

    def apply(self, changes: Sequence[Change], now: float) -> None:
        with self._lock:
            self._check_open("save")
            self._jobs.check_new([change.job.jid for change in changes if isinstance(change, AddJob)])
            for change in changes:
                self._do(change)
            self._latest = max(self._latest, now)

    def snapshot(self) -> Snapshot:
        with self._lock:
            self._check_open("read")
            jobs = self._jobs.unfinished()
            return Snapshot(
                last_jid=self._jobs.minted,
                jobs=[job for job, _ in jobs],
                pairs=[pair for _, pairs in jobs for pair in pairs],
                stops=[self._stops[key] for key in sorted(self._stops)],
                minions=[self._minions[key] for key in sorted(self._minions)],
                tokens=[self._tokens[digest] for digest in sorted(self._tokens)],
                latest=self._latest,
            )

    def job(self, jid: Jid) -> Job:
        with self._lock:
            self._check_open("read")
            entry = self._jobs.get(jid)
        if entry is None:
            raise UnknownJobError(f"cannot find job {jid}: no such job is stored")
        return entry.job

    def pairs(self, jid: Jid, minions: Sequence[MinionId] | None = None, values: bool = True) -> Iterator[Pair]:
        with self._lock:
            self._check_open("read")
            entry = self._jobs.get(jid)
            held = {} if entry is None else entry.pairs
            names = sorted(held if minions is None else held.keys() & set(minions))
            found = [held[minion] for minion in names]
        yield from (pair if values else bare(pair) for pair in found)

    def page(self, wanted: Filter, limit: int, before: Jid | None = None) -> Page:
        with self._lock:
            self._check_open("read")
            return self._jobs.page(wanted, limit, before)

    def runs(self, wanted: RunFilter, limit: int, before: Mark | None = None) -> RunPage:
        with self._lock:
            self._check_open("read")
            return self._runs.page(wanted, limit, before, self._states)

    def kept(self, kind: Kind) -> dict[str, bytes]:
        with self._lock:
            self._check_open("read")
            return {name: body for (its, name), body in sorted(self._kept.items()) if its == kind}

    def expire(self, values_before: float, pairs_before: float, batch: int) -> int:
        with self._lock:
            self._check_open("expire")
            touched, gone = self._jobs.expire(self._ran, values_before, pairs_before, batch)
            self._stops = {key: stop for key, stop in self._stops.items() if stop.jid not in gone}
            return touched + self._runs.expire(self._ran, pairs_before, batch - touched)

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

    def _states(self, jid: Jid | None) -> dict[State, int]:
        """How the job of a run stands; nothing when it is kept no more, or there was none."""
        entry = None if jid is None else self._jobs.get(jid)
        return {} if entry is None else dict(entry.counted())

    def _do(self, change: Change) -> None:
        match change:
            case AddJob():
                self._jobs.add(change, self._ran)
            case MovePair(pair):
                self._jobs.move(pair)
            case SetDone():
                self._jobs.set_done(change, self._ran)
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
                self._runs.put(change, self._ran)
            case Keep(kind, name, None):
                self._kept.pop((kind, name), None)
            case Keep(kind, name, bytes(body)):
                self._kept[kind, name] = body
