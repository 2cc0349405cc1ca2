"""Opens `jr.db`: makes it whole or not at all, trusts it only after a look, brings it to this version's shape."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from common.files import sync_folder
from master.store.base import BrokenStoreError, StoreError
from master.store.failures import explain
from master.store.queries import SQL, migrations

_APPLICATION = 0x6A725354
"""`jrST`, as `create_file` writes it."""
_MAGIC = b"SQLite format 3\x00"
_SMALL = 4096
"""Pages (16 MiB) up to which every page is looked at: some 50 ms."""
_SMALL_WITH_LOG = 65_536
"""The same after a crash or a restore (256 MiB, a second or two): a log that is not this file's spoils it anywhere."""
_SMALL_DISK = 64 * 1024 * 1024
"""Bytes in all of a file system below which the log is kept shorter than usual."""


def open_writer(path: Path, patience: float) -> sqlite3.Connection:
    """The one connection that writes. Makes the file when there is none. Raises StoreError."""
    if _there(path):
        check(path, patience)
    else:
        _create(path, patience)
    try:
        disk = os.statvfs(path)
        connection = _ready(connect(path, "rw", patience), disk.f_blocks * disk.f_frsize < _SMALL_DISK)
        try:
            sync_folder(path.parent)  # the name of the log: SQLite syncs it too, and takes no notice when that fails
        except OSError:
            connection.close()
            raise
        return connection
    except OSError as error:
        raise StoreError(f"cannot open: {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise explain("open", path, error) from error


def check(path: Path, patience: float, *, whole: bool = False) -> None:
    """Look through a file that is there, and change nothing of it but a mode that is too wide.

    `whole` looks at every page, however many there are. Raises StoreError, and BrokenStoreError when it is damaged.
    """
    _check_file(path)
    _check_content(path, patience, whole)


def companions(path: Path) -> tuple[Path, ...]:
    """What SQLite keeps beside a database while it is open, and after a crash: the index of the log, and the log."""
    return path.with_name(f"{path.name}-shm"), _log_of(path), path.with_name(f"{path.name}-journal")


def connect(path: Path, mode: str, patience: float) -> sqlite3.Connection:
    """A plain connection, `ro` or `rw`, that waits `patience` seconds for a lock. Raises sqlite3.Error."""
    # Transactions are begun and ended by name. Whoever shares a connection between threads holds a lock around it.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=patience, isolation_level=None,
                           check_same_thread=False)


def number(connection: sqlite3.Connection, query: str) -> int:
    """The one number that a query answers. Raises sqlite3.Error."""
    value: int = connection.execute(SQL[query]).fetchone()[0]
    return value


def _there(path: Path) -> bool:
    """Raises StoreError when it cannot be known, or only the log of a file is there."""
    try:
        path.lstat()
    except FileNotFoundError:
        if _log_of(path).exists():
            raise BrokenStoreError(f"cannot open: {path} is missing but {_log_of(path).name} is there; restore it "
                                   "from a backup, or move the rest away to begin anew") from None
        return False
    except OSError as error:
        raise StoreError(f"cannot open: {path}: {error.strerror}") from error
    return True


def _log_of(path: Path) -> Path:
    """The write-ahead log beside a file. SQLite removes it at a clean end."""
    return path.with_name(f"{path.name}-wal")


def _check_file(path: Path) -> None:
    """A regular file of ours alone, with the header of a database. A mode that lets others in is put right."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"cannot open: {path} is not a regular file")
            if status.st_uid != os.geteuid():
                raise StoreError(f"cannot open: {path} belongs to uid {status.st_uid}, and this process runs as "
                                 f"uid {os.geteuid()}")
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(file.fileno(), 0o600)
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"cannot open: {path}: {error.strerror}") from error
    if head != _MAGIC:
        raise BrokenStoreError(f"cannot open: {path}: the file is no database, or is damaged; restore it from a backup")


def _check_content(path: Path, patience: float, whole: bool) -> None:
    """Look through a connection that cannot write, so that what is refused stays as it was found."""
    log = _log_of(path).exists() and _log_of(path).stat().st_size > 0
    try:
        with contextlib.closing(connect(path, "ro", patience)) as connection:
            _check_kind(connection, path)
            whole = whole or number(connection, "page_count") <= (_SMALL_WITH_LOG if log else _SMALL)
            fault = connection.execute(SQL["check_whole" if whole else "check_minion"]).fetchone()[0]
            if number(connection, "version"):
                connection.execute(SQL["check_tables"]).fetchone()
    except sqlite3.Error as error:
        raise explain("open", path, error) from error
    if fault != "ok":
        raise BrokenStoreError(f"cannot open: {path}: the file is damaged; restore it from a backup ({_line(fault)})")


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    if number(connection, "application") != _APPLICATION:
        raise StoreError(f"cannot open: {path} is a database of another program")
    version, newest = number(connection, "version"), len(migrations())
    if version > newest:
        raise StoreError(f"cannot open: {path} was written by a newer jr (version {version} of its tables; this one "
                         f"knows {newest})")


def _create(path: Path, patience: float) -> None:
    """Built beside and renamed, so that a file of this name is never an empty one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        for left in (beside, *companions(beside)):
            left.unlink(missing_ok=True)
        os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(connect(beside, "rw", patience)) as connection:
            connection.executescript(SQL["create_file"])
            _migrate(connection)
            # Now and not after the renaming: a crash in the switch leaves a journal that only a writer can clear up.
            _use_log(connection)
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot open: {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise explain("open", path, error) from error


def _ready(connection: sqlite3.Connection, small_disk: bool) -> sqlite3.Connection:
    """Tune it, bring the tables to this version, prove that it can write."""
    try:
        _use_log(connection)
        connection.executescript(SQL["tune_writer"])
        if small_disk:
            connection.executescript(SQL["tune_for_small_disk"])
        _migrate(connection)
        connection.execute(SQL["begin_write"])
        connection.execute(SQL["rollback"])
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    answer = connection.execute(SQL["use_log"]).fetchone()[0]
    if answer != "wal":
        raise sqlite3.OperationalError(f"the file system cannot keep a write-ahead log (it stays {answer})")


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that are missing, each in a transaction of its own."""
    for script in migrations()[number(connection, "version"):]:
        connection.executescript(script)


def _line(text: object) -> str:
    """SQLite's words on a fault, as one line of bearable length."""
    return " ".join(str(text).split())[:200]
