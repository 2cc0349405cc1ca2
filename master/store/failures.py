"""What went wrong in SQLite, as one line for people and one class for callers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from master.store.base import BrokenStoreError, StoreError

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another process has locked it",
    sqlite3.SQLITE_LOCKED: "another process has locked it",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the file system, the owner and the mode",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the folder, the owner and the mode",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is no database, or is damaged; restore it from a backup",
}
_FOR_GOOD = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""After these nothing more may be acknowledged: a failed fsync loses pages that a second one does not bring back."""


def reason_of(error: sqlite3.Error) -> int:
    """The primary result code; 0 for a fault of the caller, which SQLite never saw."""
    extended: int = getattr(error, "sqlite_errorcode", 0)
    # The index of the log lies in a file that is grown page by page: on a full disk that fails as input/output.
    return sqlite3.SQLITE_FULL if extended == sqlite3.SQLITE_IOERR_SHMSIZE else extended & 0xFF


def is_full(error: sqlite3.Error) -> bool:
    return reason_of(error) == sqlite3.SQLITE_FULL


def explain(verb: str, path: Path, error: Exception) -> StoreError:
    """The error to raise for `error` while trying to `verb` the database at `path`."""
    if not isinstance(error, sqlite3.Error):
        return StoreError(f"cannot {verb}: {error}")
    code = reason_of(error)
    kind = BrokenStoreError if code in _FOR_GOOD else StoreError
    told = _REASONS.get(code)
    return kind(f"cannot {verb}: {path}: {told} ({error})" if told else f"cannot {verb}: {path}: {error}")


def damaged(path: Path, error: Exception) -> BrokenStoreError:
    """A row that holds what was never written."""
    return BrokenStoreError(f"cannot read: {path}: the file is damaged; restore it from a backup ({error})")
