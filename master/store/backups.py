"""Copies of `jr.db` for the day when its disk has damaged it: made while it is written, looked through, kept in number.

A copy is a plain database under `backups/`, named `<number>-<UTC time>.db`. The number orders them, whatever the clock
has done; a copy has its name only after it was read back and found whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from common.files import private_folder, sync_file, sync_folder
from master.store.base import BrokenStoreError, StoreError
from master.store.failures import explain
from master.store.opening import check, companions, connect, number
from master.store.queries import SQL
from master.store.sqlite import SqliteStore

_NAME = re.compile(r"(?P<number>[0-9]{6})-(?P<time>[0-9]{8}T[0-9]{6})Z\.db")
_UNFINISHED = re.compile(r"\.(?P<pid>[0-9]{1,10})\.new")
_FORM = "%Y%m%dT%H%M%S"
_ROOM = 1.2
"""How much larger than the database the free space must be: the master itself must not run into a full disk for it."""
_SECRETS = 5
"""The version of the tables from which on secrets lie in one of their own."""
PATIENCE = 5.0
"""Seconds to wait for the lock of another process."""


class Backup(Struct, frozen=True):
    """One copy."""

    number: int
    at: datetime
    """By the clock of the host when it was made."""
    path: Path

    def __str__(self) -> str:
        return f"{self.path} of {self.at:%Y-%m-%d %H:%M:%S} UTC"


class Backups:
    """The copies of one database."""

    def __init__(self, source: Path, keep: int) -> None:
        """`source`: the database; the copies lie in `backups` beside it, the newest `keep` of them."""
        self._source = source
        self._keep = keep
        self.folder = source.with_name("backups")

    def all(self) -> list[Backup]:
        """Oldest first. Raises StoreError when the folder cannot be read."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot look for backups: {self.folder}: {error.strerror}") from error
        return [_parsed(self.folder / name, match) for name in names if (match := _NAME.fullmatch(name))]

    def newest(self) -> Backup | None:
        """The one made last. Raises StoreError."""
        found = self.all()
        return found[-1] if found else None

    def open_store(self) -> SqliteStore:
        """The store, unless it is damaged or gone. Raises StoreError, which names the backup that may replace it."""
        newest = self.newest()
        if newest is not None and not self._source.exists():
            raise BrokenStoreError(f"cannot open: {self._source} is missing, and there are backups of it: jr-master "
                                   f"--restore puts {newest} in its place; to begin anew move {self.folder} away")
        try:
            return SqliteStore(self._source)
        except BrokenStoreError as error:
            if newest is None:
                raise
            raise BrokenStoreError(f"{error}; jr-master --restore puts {newest} in its place") from error

    def make(self, now: float) -> Backup:
        """Copy the database as it is at this moment, whoever writes to it; `now` is epoch seconds, for the name.

        Takes as long as the file takes to read and write, and holds up no commit. Raises StoreError, and then
        no copy is lost.
        """
        private_folder(self.folder)
        self._sweep()
        former = self.newest()
        at = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
        number = former.number + 1 if former else 1
        path = self.folder / f"{number:06}-{at.strftime(_FORM)}Z.db"
        beside = self.folder / f".{os.getpid()}.new"
        try:
            _check_room(self._source, self.folder)
            _copy(self._source, beside)
            sync_file(beside)
            beside.rename(path)
            sync_folder(self.folder)
            self._thin()
        except OSError as error:
            raise StoreError(f"cannot back up: {self.folder}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):  # what made it fail is told, and not that it cannot be tidied either
                _remove(beside)
        return Backup(number, at, path)

    def restore(self, backup: Path, now: float) -> Path | None:
        """Put a copy in the place of the database, which is set aside in a folder of its own: that folder, if any.

        The caller holds the lock of the state folder. Raises StoreError. A crash leaves the old database, or none in
        its place, which a master refuses to start on.
        """
        check(backup, PATIENCE, whole=True)
        beside = self._source.with_name(f".{self._source.name}.restored")
        try:
            _copy(backup, beside)
            sync_file(beside)
            aside = self._set_aside(now)
            beside.rename(self._source)
            sync_folder(self._source.parent)
        except OSError as error:
            raise StoreError(f"cannot restore: {self._source}: {error.strerror}") from error
        finally:
            _remove(beside)
        return aside

    def _sweep(self) -> None:
        """Remove what a copy that was killed has left: it may be as large as the database."""
        for name in os.listdir(self.folder):
            match = _UNFINISHED.match(name)
            if match and not Path(f"/proc/{match['pid']}").exists():
                _remove(self.folder / f".{match['pid']}.new")

    def _set_aside(self, now: float) -> Path | None:
        there = [path for path in (self._source, *companions(self._source)) if os.path.lexists(path)]
        if not there:
            return None
        stem = f"replaced-{datetime.fromtimestamp(now, UTC).strftime(_FORM)}Z"
        taken = sum(name.startswith(stem) for name in os.listdir(self._source.parent))
        aside = self._source.with_name(f"{stem}-{taken + 1}" if taken else stem)
        aside.mkdir(0o700)
        # The database goes first: a log without its database is refused at a start, but a database without its log
        # would pass for an older one.
        for path in there:
            path.rename(aside / path.name)
        sync_folder(aside)
        # The old log must be gone for good before another database has its name: it would be taken for that one's.
        sync_folder(aside.parent)
        return aside

    def _thin(self) -> None:
        for old in self.all()[:-self._keep]:
            _remove(old.path)


def _parsed(path: Path, match: re.Match[str]) -> Backup:
    try:
        at = datetime.strptime(match["time"], _FORM).replace(tzinfo=UTC)
    except ValueError:
        at = datetime.fromtimestamp(0, UTC)  # a name that no clock made; its number still orders it
    return Backup(int(match["number"]), at, path)


def _check_room(source: Path, folder: Path) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    size = sum(path.stat().st_size for path in (source, *companions(source)) if path.exists())
    if free < size * _ROOM:
        raise StoreError(f"cannot back up: {folder}: {free // 2**20} MiB are free, and the database has "
                         f"{size // 2**20} MiB")


def _copy(source: Path, target: Path) -> None:
    """One moment of `source` as a whole new file, looked through, without the secrets. Raises StoreError, OSError."""
    _remove(target)
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(connect(source, "ro", PATIENCE)) as reader, \
                contextlib.closing(connect(target, "rw", PATIENCE)) as writer:
            # All pages in one read: page by page, every commit in between would make it begin anew.
            reader.backup(writer, pages=-1)
            if number(writer, "version") >= _SECRETS:
                writer.executescript(SQL["forget_secrets"])
    except sqlite3.Error as error:
        raise explain("copy", source, error) from error
    check(target, PATIENCE, whole=True)
    for path in companions(target):
        path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for each in (path, *companions(path)):
        with contextlib.suppress(FileNotFoundError):
            each.unlink()
