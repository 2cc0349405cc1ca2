"""Copies of the database: whole while it is written to, few, and never in the place of anything unless asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from common.errors import JrError
from master import backing
from master.store.backups import Backups
from master.store.base import BrokenStoreError, Filter, StoreError
from master.store.opening import companions
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, job, over
from tests.lib.wait import until

EVERYTHING = Filter()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store with ten jobs."""
    path = tmp_path / "jr.db"
    fill(path, 0, 10)
    return path


def fill(path: Path, start: int, end: int) -> None:
    store = SqliteStore(path)
    for number in range(start, end):
        store.apply(over(job(number), ["a", "b"]), NOON + number)
    store.close()


def known(path: Path) -> int:
    """How many jobs a database knows, as the master reads it."""
    store = SqliteStore(path)
    try:
        return len(store.page(EVERYTHING, 1000).jobs)
    finally:
        store.close()


def spoil(path: Path) -> None:
    """What a dying disk does to a file."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def test_a_copy_is_whole_private_and_numbered(path: Path) -> None:  # R-B29
    backups = Backups(path, 2)
    made = backups.make(NOON)
    assert made.path.name == "000001-20260528T202640Z.db"
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(backups.folder.stat().st_mode) == 0o700
    assert [file.name for file in backups.folder.iterdir()] == [made.path.name]
    assert known(made.path) == 10


def test_the_newest_are_kept_whatever_the_clock_has_done(path: Path) -> None:  # R-B31
    backups = Backups(path, 2)
    for at in (NOON, NOON + 10 * 365 * 86400, NOON - 86400):
        backups.make(at)
    assert [backup.number for backup in backups.all()] == [2, 3]
    newest = backups.newest()
    assert newest is not None
    assert newest.path.name == "000003-20260527T202640Z.db"


def test_a_copy_while_the_database_is_written_to_is_one_moment_of_it(path: Path) -> None:
    over_now = threading.Event()
    written = 10

    def write() -> None:
        nonlocal written
        store = SqliteStore(path)
        while not over_now.is_set():
            store.apply(over(job(written), ["a", "b"]), NOON + written)
            written += 1
        store.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until(lambda: written > 20, what="the database is written to")
        before = written
        made = Backups(path, 3).make(NOON)
        after = written
        until(lambda: written > after, what="commits go on")
    finally:
        over_now.set()
        thread.join()
    assert before <= known(made.path) <= after + 1
    assert known(path) == written


def test_a_damaged_database_is_not_copied_over_a_good_copy(path: Path) -> None:
    backups = Backups(path, 1)
    good = backups.make(NOON)
    spoil(path)
    with pytest.raises(StoreError, match="damaged"):
        backups.make(NOON + 1)
    assert [backup.path for backup in backups.all()] == [good.path]
    assert [file.name for file in backups.folder.iterdir()] == [good.path.name]


def test_a_damaged_database_is_refused_and_the_copy_is_named(path: Path) -> None:  # R-B29
    backups = Backups(path, 1)
    good = backups.make(NOON)
    spoil(path)
    with pytest.raises(BrokenStoreError, match=f"jr-master --restore puts {good.path} of 2026-05-28 20:26:40 UTC"):
        backups.open_store()


def test_a_missing_database_is_never_shown_as_an_empty_one(path: Path) -> None:  # R-B29
    backups = Backups(path, 1)
    backups.make(NOON)
    path.unlink()
    with pytest.raises(BrokenStoreError, match=f"{path} is missing, and there are backups of it"):
        backups.open_store()
    assert not path.exists()


def test_the_first_start_makes_the_database(tmp_path: Path) -> None:
    Backups(tmp_path / "jr.db", 1).open_store().close()
    assert known(tmp_path / "jr.db") == 0


def test_what_a_killed_copy_left_goes_with_the_next_one(path: Path) -> None:
    backups = Backups(path, 2)
    backups.make(NOON)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".{ended.pid}.new", f".{ended.pid}.new-journal", f".{os.getppid()}.new"):
        (backups.folder / name).write_bytes(b"half")
    backups.make(NOON + 1)
    left = sorted(file.name for file in backups.folder.iterdir() if file.name.startswith("."))
    assert left == [f".{os.getppid()}.new"]


def test_a_restore_sets_aside_what_was_there_with_its_log(path: Path) -> None:  # R-B29
    backups = Backups(path, 1)
    good = backups.make(NOON)
    fill(path, 10, 12)
    left = {file: os.urandom(100) for file in companions(path)}
    for file, data in left.items():
        file.write_bytes(data)
    spoiled = path.read_bytes()

    aside = backups.restore(good.path, NOON + 5)

    assert aside == path.with_name("replaced-20260528T202645Z")
    assert (aside / "jr.db").read_bytes() == spoiled
    assert {path.with_name(file.name): file.read_bytes() for file in aside.iterdir() if file.name != "jr.db"} == left
    assert known(path) == 10
    assert known(good.path) == 10
    assert backups.restore(good.path, NOON + 5) == path.with_name("replaced-20260528T202645Z-2")


def test_a_restore_that_fails_changes_nothing(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    backups = Backups(path, 1)
    copy = tmp_path / "copy.db"
    copy.write_bytes(backups.make(NOON).path.read_bytes())
    spoil(copy)
    for bad in (copy, tmp_path / "none.db", tmp_path):
        with pytest.raises(StoreError):
            backups.restore(bad, NOON)
        assert path.read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if "replaced" in file.name or "restored" in file.name]


def test_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # R-A20
    backups = Backups(path, 1)
    real = os.statvfs

    class Full:
        f_bavail = 0
        f_frsize = 4096

    monkeypatch.setattr(os, "statvfs", lambda folder: Full if folder == backups.folder else real(folder))
    with pytest.raises(StoreError, match="0 MiB are free"):
        backups.make(NOON)
    assert list(backups.folder.iterdir()) == []


def test_a_daemon_makes_them_again_and_again_and_lives_with_failures(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(backing, "SETTLE", 0.0)
    backups = Backups(path, 2)
    tried: list[float] = []

    def make(now: float) -> object:
        tried.append(now)
        if len(tried) == 2:
            raise JrError("cannot back up: the disk is full")
        return Backups.make(backups, now)

    monkeypatch.setattr(backups, "make", make)

    async def scene() -> None:
        keeping = asyncio.create_task(backing.keep_backups(backups, 0.01, lambda: NOON))
        while len(tried) < 4:
            assert not keeping.done()
            await asyncio.sleep(0.01)  # the copies are made by another thread
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping

    asyncio.run(scene())
    assert "cannot back up: the disk is full" in caplog.text
    assert [backup.number for backup in backups.all()][-1] >= 2
