"""The store of a real master: one SQLite file, one connection that writes, a few that read."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import MsgspecError

from common.ballast import Ballast
from common.ids import Jid, MinionId
from master.records import Change, Job, Kind, Pair, Snapshot
from master.store import listing, reads, runs
from master.store.base import BrokenStoreError, Filter, Mark, Page, RunFilter, RunPage, StoreError
from master.store.batch import Batch
from master.store.expiry import Step, give_back
from master.store.failures import explain, is_full
from master.store.opening import connect, open_writer
from master.store.queries import SQL
from master.store.readers import Readers

T = TypeVar("T")


class SqliteStore:
    """Implements `base.Store`. Any verb may be called from any thread; those that write wait for one another."""

    def __init__(self, path: Path, readers: int = 4, patience: float = 5.0) -> None:
        """Open the file at `path`, or make it; its folder must exist and be private. Raises StoreError.

        At most `readers` threads read at once. `patience`: seconds to wait for a free reader, and for the lock of
        another process.
        """
        self._path = path
        self._lock = threading.Lock()
        self._broken: str | None = None
        self._writer: sqlite3.Connection | None = open_writer(path, patience)
        self._readers = Readers(path, readers, patience)
        self._ballast = Ballast(path.with_name(f"{path.name}.ballast"))
        self._ballast.keep()

    def apply(self, changes: Sequence[Change], now: float) -> None:
        batch = Batch(changes)
        self._write("save", lambda connection: batch.write(connection, now))

    def snapshot(self) -> Snapshot:
        with self._readers.moment() as connection:
            return reads.snapshot(connection)

    def job(self, jid: Jid) -> Job:
        with self._readers.moment() as connection:
            return reads.job(connection, jid)

    def pairs(self, jid: Jid, minions: Sequence[MinionId] | None = None, values: bool = True) -> Iterator[Pair]:
        return reads.pairs(self._readers, jid, minions, values)

    def page(self, wanted: Filter, limit: int, before: Jid | None = None) -> Page:
        with self._readers.moment() as connection:
            return listing.page(connection, wanted, limit, before)

    def runs(self, wanted: RunFilter, limit: int, before: Mark | None = None) -> RunPage:
        with self._readers.moment() as connection:
            return runs.page(connection, wanted, limit, before)

    def kept(self, kind: Kind) -> dict[str, bytes]:
        with self._readers.moment() as connection:
            return dict(connection.execute(SQL["kept"], (kind,)).fetchall())

    def expire(self, values_before: float, pairs_before: float, batch: int) -> int:
        def step(connection: sqlite3.Connection) -> int:
            return Step(connection, batch).run(values_before, pairs_before)

        done = self._upkeep("expire", lambda: self._write("expire", step) or self._guard("expire", give_back))
        if not done:
            self._ballast.keep()
        return done

    def age(self, seconds: float, now: float) -> None:
        def add(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["add_ran"], (seconds,))
            connection.execute(SQL["set_latest"], (now,))

        self._upkeep("save", lambda: self._write("save", add))

    def wipe(self) -> bool:
        # Through a connection of its own, which waits for nobody: a publish may be next.
        return self._guard("wipe", lambda _: _cut_log(self._path))

    def size(self) -> int:
        size = 0
        for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
            with contextlib.suppress(FileNotFoundError):
                size += self._path.with_name(name).stat().st_size
        return size

    def close(self) -> None:
        self._readers.close()
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _upkeep(self, verb: str, attempt: Callable[[], T]) -> T:
        """Try; on a full disk again with the ballast: without age and purge it would stay full for ever."""
        try:
            return attempt()
        except StoreError as error:
            if not (isinstance(error.__cause__, sqlite3.Error) and is_full(error.__cause__)):
                raise
        self._ballast.release()
        try:
            self._guard(verb, _fold)
            return attempt()
        finally:
            self._ballast.keep()

    def _write(self, verb: str, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` in a transaction, durable on return. Raises StoreError; then nothing has changed."""
        return self._guard(verb, lambda connection: _with_room(connection, action))

    def _guard(self, verb: str, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` alone on the writer. Raises StoreError, and remembers what is broken for good."""
        with self._lock:
            connection = self._usable(verb)
            try:
                return action(connection)
            except (sqlite3.Error, OverflowError, UnicodeError, MsgspecError) as error:
                failure = explain(verb, self._path, error)
                if isinstance(failure, BrokenStoreError):
                    self._broken = str(failure)
                raise failure from error

    def _usable(self, verb: str) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreError(f"cannot {verb}: the store is closed")
        if self._broken is not None:
            raise BrokenStoreError(f"cannot {verb}: an earlier attempt failed for good: {self._broken}")
        return self._writer


def _with_room(connection: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    """On a full disk, once more after the write-ahead log has been folded back: that alone may make the room."""
    try:
        return _transact(connection, action)
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        _fold(connection)
        return _transact(connection, action)


def _cut_log(path: Path) -> bool:
    """Fold the write-ahead log back and cut it to nothing; False when somebody reads. Raises sqlite3.Error."""
    with contextlib.closing(connect(path, "rw", 0.0)) as connection:
        busy: int = connection.execute(SQL["checkpoint"]).fetchone()[0]
    return not busy


def _fold(connection: sqlite3.Connection) -> None:
    """Fold the write-ahead log back. Raises sqlite3.Error when there is no room even for that."""
    connection.execute(SQL["checkpoint"]).fetchone()


def _transact(connection: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(SQL["begin_write"])
    try:
        result = action(connection)
        connection.execute(SQL["commit"])
    finally:
        # Still open: something failed above, and what that was matters more than how the way back goes.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute(SQL["rollback"])
    return result
