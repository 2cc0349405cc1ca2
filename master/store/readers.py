"""A bounded pool of connections that only read. Any thread may borrow one; none is shared at the same time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from master.store.base import StoreError
from master.store.failures import damaged, explain
from master.store.opening import connect
from master.store.queries import SQL


class Readers:
    """Opens as many as are needed at once, `most` at most, and keeps them."""

    def __init__(self, path: Path, most: int, patience: float) -> None:
        """`patience`: seconds to wait for a free reader, and for a lock."""
        self._path = path
        self._patience = patience
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextlib.contextmanager
    def moment(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment of the store, for a short read. Raises StoreError for what fails inside."""
        if not self._free.acquire(timeout=self._patience):
            raise StoreError(f"cannot read: every reader has been busy for {self._patience:g} s")
        try:
            with self._borrowed() as connection:
                connection.execute(SQL["begin_read"])
                yield connection
        except sqlite3.Error as error:
            raise explain("read", self._path, error) from error
        except (msgspec.DecodeError, ValueError, TypeError) as error:  # a row that holds what was never written
            raise damaged(self._path, error) from error
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle ones now and the others as they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        finally:
            self._give(connection)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreError("cannot read: the store is closed")
            if self._idle:
                return self._idle.pop()
        connection = connect(self._path, "ro", self._patience)
        try:
            connection.executescript(SQL["tune_reader"])
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _give(self, connection: sqlite3.Connection) -> None:
        """Back to the pool, with the moment it saw let go, so that it does not hold the write-ahead log."""
        try:
            if connection.in_transaction:
                connection.execute(SQL["rollback"])
        except sqlite3.Error:
            connection.close()
            return
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
