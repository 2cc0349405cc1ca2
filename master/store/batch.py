"""The changes of one `apply`, boiled down to the last word on each record, and written in bulk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from common.ids import Jid, MinionId
from common.link import Key
from common.messages import NO_SECRETS
from master.records import (
    AddJob,
    AddStop,
    AddToken,
    Change,
    DropMinion,
    DropStop,
    DropToken,
    Keep,
    Minion,
    MovePair,
    Pair,
    PutMinion,
    PutOccurrences,
    SetDone,
    Stop,
)
from master.store import rows
from master.store.base import StoreError
from master.store.filters import count, present
from master.store.queries import SQL
from master.store.rows import Row, pack_jid


class Batch:
    """A pair that goes through four states within one batch is written once."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._jobs: list[AddJob] = []
        self._pairs: dict[Jid, dict[MinionId, Pair]] = {}
        self._done: dict[Jid, SetDone] = {}
        self._stops: dict[tuple[str, MinionId], Stop | None] = {}
        self._minions: dict[Key, Minion | None] = {}
        self._tokens: dict[str, AddToken | None] = {}
        self._runs: list[PutOccurrences] = []
        self._kept: dict[tuple[str, str], bytes | None] = {}
        for change in changes:
            self._take(change)

    def write(self, connection: sqlite3.Connection, now: float) -> None:
        """Everything, in the transaction that is open. Raises StoreError for a job that is there, sqlite3.Error."""
        self._write_jobs(connection)
        self._write_pairs(connection)
        for done in self._done.values():
            _write_done(connection, done)
        _write_kept(connection, "put_stop", "drop_stop",
                    [(key, None if stop is None else rows.stop_to_row(stop)) for key, stop in self._stops.items()])
        _write_kept(connection, "put_minion", "drop_minion",
                    [((key,), None if minion is None else rows.minion_to_row(minion))
                     for key, minion in self._minions.items()])
        _write_kept(connection, "put_token", "drop_token",
                    [((digest,), None if token is None else rows.token_to_row(token))
                     for digest, token in self._tokens.items()])
        for put in self._runs:
            connection.executemany(SQL["put_occurrence"],
                                   [rows.occurrence_to_row(put.minion, run) for run in put.items])
        _write_kept(connection, "put_kept", "drop_kept",
                    [(key, None if body is None else (*key, body)) for key, body in self._kept.items()])
        connection.execute(SQL["set_latest"], (now,))

    def _take(self, change: Change) -> None:
        match change:
            case AddJob():
                self._take_job(change)
            case MovePair(pair):
                self._pairs.setdefault(pair.jid, {})[pair.minion] = pair
            case SetDone(jid):
                self._done[jid] = change
            case AddStop(stop):
                self._stops[stop.stop, stop.minion] = stop
            case DropStop(name, minion):
                self._stops[name, minion] = None
            case PutMinion(put):
                self._minions[put.key] = put
            case DropMinion(key):
                self._minions[key] = None
            case AddToken() | DropToken() | PutOccurrences() | Keep():
                self._take_apart(change)

    def _take_apart(self, change: AddToken | DropToken | PutOccurrences | Keep) -> None:
        """What is no part of jobs and keys."""
        match change:
            case AddToken(digest):
                self._tokens[digest] = change
            case DropToken(digest):
                self._tokens[digest] = None
            case PutOccurrences():
                self._runs.append(change)
            case Keep(kind, name, body):
                self._kept[kind, name] = body

    def _take_job(self, added: AddJob) -> None:
        jid = added.job.jid
        self._jobs.append(added)
        # Earlier words of this batch about a job that was not there yet count for nothing.
        self._pairs[jid] = {pair.minion: pair for pair in added.pairs}
        self._done.pop(jid, None)
        if added.job.done is not None:
            self._done[jid] = SetDone(jid, added.job.done, count(added.pairs))

    def _write_jobs(self, connection: sqlite3.Connection) -> None:
        for added in self._jobs:
            job = added.job
            key = (pack_jid(job.jid),)
            try:
                connection.execute(SQL["add_job"], rows.job_to_row(job, len(added.pairs)))
            except sqlite3.IntegrityError as error:
                raise StoreError(f"cannot save: job {job.jid} is stored already ({error})") from error
            if job.secrets != NO_SECRETS and job.jid not in self._done:
                connection.execute(SQL["add_secrets"], (*key, bytes(job.secrets)))
            connection.execute(SQL["clear_gone_pairs"], key)
            connection.execute(SQL["clear_gone"], key)
            _many(connection, "add_metadata", [(*item, *key) for item in job.metadata.items()])
            if added.minted:
                connection.execute(SQL["set_minted"], (str(job.jid),))

    def _write_pairs(self, connection: sqlite3.Connection) -> None:
        # In the order of the table, so that neighbours share a page.
        ordered = [pairs[minion] for _, pairs in sorted(self._pairs.items()) for minion in sorted(pairs)]
        _many(connection, "put_pair", [rows.pair_to_row(pair) for pair in ordered])
        new = {added.job.jid for added in self._jobs}
        _many(connection, "mark_stray", [(pack_jid(jid),) for jid in self._pairs if jid not in new])


def _write_done(connection: sqlite3.Connection, done: SetDone) -> None:
    key = pack_jid(done.jid)
    counts = present(done.counts)
    row = connection.execute(SQL["counts"], (key,)).fetchone()
    former = rows.unpack_counts(row[0]) if row is not None and row[0] is not None else {}
    for state in former.keys() - counts.keys():
        connection.execute(SQL["drop_state"], (rows.state_number(state), key))
    if connection.execute(SQL["has_secrets"], (key,)).fetchone() is not None:
        connection.execute(SQL["overwrite"])
        connection.execute(SQL["drop_secrets"], (key,))
        connection.execute(SQL["overwrite_cheaply"])
    connection.execute(SQL["set_done"], (done.at, rows.pack_counts(counts), key))
    for state in counts.keys() - former.keys():
        connection.execute(SQL["add_state"], (rows.state_number(state), key))


def _write_kept(connection: sqlite3.Connection, put: str, drop: str,
                last: list[tuple[tuple[str, ...], Row | None]]) -> None:
    """The last word on each key: its row, or None to drop it."""
    if last:
        _many(connection, drop, [key for key, row in last if row is None])
        _many(connection, put, [row for _, row in last if row is not None])


def _many(connection: sqlite3.Connection, query: str, rows: Sequence[Row]) -> None:
    # Most batches have rows for few of the tables, and even no row takes time.
    if rows:
        connection.executemany(SQL[query], rows)
