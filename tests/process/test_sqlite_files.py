"""What the store does with the files it finds: made whole or not at all, and never trusted unseen."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from master.store.base import BrokenStoreError, Filter, StoreError
from master.store.queries import migrations
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, over, published
from tests.lib.stored import job as a_job

PAGE = 4096


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "jr.db"
    store = SqliteStore(path)
    names = [f"m{number}" for number in range(20)]
    store.apply([change for number in range(300) for change in over(a_job(number), names)], NOON)
    store.close()
    return path


@pytest.fixture
def path(sample: Path, tmp_path: Path) -> Path:
    """A store with 300 jobs, closed."""
    path = tmp_path / "jr.db"
    shutil.copy2(sample, path)
    return path


def change(path: Path, script: str) -> None:
    """What another program does to the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def refused(path: Path, patience: float = 0.05) -> str:
    """The one line of a refusal, which must leave everything as it was found."""
    before = {file.name: (file.stat().st_size, file.read_bytes()) for file in path.parent.iterdir()
              if file.is_file() and not file.name.endswith("-shm")}
    with pytest.raises(StoreError) as caught:
        SqliteStore(path, patience=patience)
    line = str(caught.value)
    assert line.startswith("cannot open: ")
    assert str(path) in line
    assert "\n" not in line
    after = {file.name: (file.stat().st_size, file.read_bytes()) for file in path.parent.iterdir()
             if file.is_file() and not file.name.endswith("-shm")}
    assert {name: after.get(name) for name in before} == before
    return line


class TestMaking:
    def test_private_from_the_first_byte(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            store = SqliteStore(tmp_path / "jr.db")
            store.apply([published(a_job(1))], NOON)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
            store.close()
        finally:
            os.umask(before)
        assert modes == dict.fromkeys(["jr.db", "jr.db-wal", "jr.db-shm", "jr.db.ballast"], 0o600)

    def test_what_a_crash_left_half_made_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / ".jr.db.new").write_bytes(b"half")
        for end in ("-journal", "-wal", "-shm"):
            (tmp_path / f".jr.db.new{end}").write_bytes(b"half")
        SqliteStore(tmp_path / "jr.db").close()
        assert sorted(file.name for file in tmp_path.iterdir()) == ["jr.db", "jr.db.ballast"]

    def test_it_has_its_log_before_it_has_its_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A crash in the switch to the log would leave a journal, and the look at the file could not get past that."""
        seen: list[bytes] = []
        rename = Path.rename

        def watched(beside: Path, path: Path) -> Path:
            seen.append(beside.read_bytes()[18:20])
            return rename(beside, path)

        monkeypatch.setattr(Path, "rename", watched)
        SqliteStore(tmp_path / "jr.db").close()
        assert seen == [b"\2\2"]  # the file format's mark of a write-ahead log

    def test_a_name_that_means_something_in_a_uri(self, tmp_path: Path) -> None:
        path = tmp_path / "a?mode=memory#b%20.db"
        store = SqliteStore(path)
        store.apply([published(a_job(1))], NOON)
        store.close()
        again = SqliteStore(path)
        assert again.job(jid(1)) == a_job(1)
        again.close()

    def test_no_folder(self, tmp_path: Path) -> None:
        assert "No such file" in refused_new(tmp_path / "missing" / "jr.db")

    def test_it_gives_back_pages_and_keeps_a_log(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)


def refused_new(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    assert not path.exists()
    return str(caught.value)


class TestOpening:
    def test_again(self, path: Path) -> None:
        store = SqliteStore(path)
        assert len(store.page(Filter(), 1000).jobs) == 300
        store.close()

    def test_a_mode_that_lets_others_in_is_put_right(self, path: Path) -> None:
        path.chmod(0o644)
        SqliteStore(path).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_somebody_elses_file(self, path: Path) -> None:
        os.chown(path, 4242, 4242)
        assert "belongs to uid 4242" in refused(path)

    def test_a_newer_version(self, path: Path) -> None:
        change(path, "PRAGMA user_version = 99")
        assert "was written by a newer jr (version 99 of its tables" in refused(path)

    def test_another_programs_database(self, tmp_path: Path) -> None:
        change(tmp_path / "jr.db", "CREATE TABLE job (jid)")
        assert "is a database of another program" in refused(tmp_path / "jr.db")

    def test_locked_by_another_process(self, path: Path) -> None:  # R-B29
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            assert "another process has locked it" in refused(path)

    def test_a_writer_that_holds_it(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "another process has locked it" in refused(path)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_last_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - PAGE)


def overwrite(page: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)
    return spoil


def spoil_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"SQLite format 4\x00")


def spoil_page_size(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\x00\x03")


def make_text(path: Path) -> None:
    path.write_text("keep_jobs: 24h\n")


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


class TestDamage:  # R-B29
    @pytest.mark.parametrize("spoil", [truncate, cut_last_page, spoil_header, spoil_page_size, make_text, make_empty,
                                       overwrite(0), overwrite(1), overwrite(2), overwrite(20), overwrite(60)])
    def test_is_refused_and_said(self, path: Path, spoil: Callable[[Path], None]) -> None:
        spoil(path)
        assert "damaged" in refused(path)

    def test_a_table_that_is_not_there(self, path: Path) -> None:
        change(path, "DROP TABLE gone")
        assert "no such table" in refused(path)

    @pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
    def test_what_is_no_file_is_never_opened(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        path = tmp_path / "jr.db"
        make(path)
        assert "cannot open" in refused(path)

    def test_a_log_without_its_file_is_not_an_empty_store(self, path: Path) -> None:
        store = SqliteStore(path)
        store.apply([published(a_job(900))], NOON)
        shutil.copy(f"{path}-wal", f"{path}-kept")
        store.close()
        path.unlink()
        Path(f"{path}-kept").rename(f"{path}-wal")
        assert "is missing but jr.db-wal is there" in refused(path)
        assert not path.exists()

    def test_another_files_log_is_noticed(self, path: Path, tmp_path: Path) -> None:
        """A backup is put back, and the log of the file that it replaced is forgotten there."""
        (tmp_path / "other").mkdir()
        shutil.copy2(path, tmp_path / "other" / "jr.db")
        for number in range(3):  # each closing folds the log back, so that the last one holds a part of the file only
            other = SqliteStore(tmp_path / "other" / "jr.db")
            other.apply(over(a_job(500 + number), [f"m{n}" for n in range(50 + 600 * (number < 2))]), NOON)
            shutil.copy(f"{tmp_path}/other/jr.db-wal", f"{path}-wal")
            other.close()
        assert "damaged" in refused(path)

    def test_found_while_reading_it_is_an_error_not_an_empty_answer(self, path: Path) -> None:
        store = SqliteStore(path)
        size = path.stat().st_size // PAGE
        for page in range(3, size):
            overwrite(page)(path)
        for read in (lambda: store.job(jid(150)), lambda: store.page(Filter(), 500),
                     lambda: list(store.pairs(jid(150)))):
            with pytest.raises(BrokenStoreError, match=r"cannot read: .*damaged"):
                read()
        every = [change for number in range(300) for change in over(a_job(number), ["new"])[1:]]
        with pytest.raises(BrokenStoreError, match=r"cannot save: .*damaged"):
            store.apply(every, NOON)
        # After that nothing is written any more, wherever it would go.
        with pytest.raises(BrokenStoreError, match="an earlier attempt failed for good"):
            store.apply([published(a_job(901))], NOON)
        with pytest.raises(BrokenStoreError):
            store.expire(0, 0, 10)
        store.close()

    @pytest.mark.parametrize("script", [
        "UPDATE ledger SET state = 77", "UPDATE ledger SET outcome = x'c1'", "UPDATE ledger SET seen = 'text'",
        "UPDATE ledger SET minion = 'NO ID ' || minion",
    ])
    def test_rows_that_hold_what_was_never_written(self, path: Path, script: str) -> None:
        change(path, script)
        store = SqliteStore(path)
        with pytest.raises(BrokenStoreError, match=r"cannot read: .*damaged"):
            list(store.pairs(jid(1)))
        store.close()


class TestMigrations:
    def test_an_older_file_is_brought_up(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next version's jr, which has one more migration."""
        newer = [*migrations(), "BEGIN IMMEDIATE;\nALTER TABLE token ADD COLUMN note TEXT;\n"
                                f"PRAGMA user_version = {len(migrations()) + 1};\nCOMMIT;"]
        monkeypatch.setattr("master.store.opening.migrations", lambda: newer)
        SqliteStore(path).close()
        monkeypatch.undo()
        assert "newer jr" in refused(path)

    def test_the_keys_of_the_first_version_still_load(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "old.db"
        monkeypatch.setattr("master.store.opening.migrations", lambda: migrations()[:1])
        SqliteStore(path).close()
        change(path, "INSERT INTO minion VALUES ('k', 'a', 'accepted', 1.0, '0.1', NULL, 4, 2, x'80')")
        monkeypatch.undo()
        store = SqliteStore(path)
        (row,) = store.snapshot().minions
        store.close()
        assert (row.id, row.start, row.boot_id, row.highest, row.strange, row.reason) == ("a", 4, "", 0, False, "")

    def test_one_that_fails_changes_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = [*migrations(), "BEGIN IMMEDIATE;\nDROP TABLE token;\nDROP TABLE unheard_of;\nCOMMIT;"]
        monkeypatch.setattr("master.store.opening.migrations", lambda: broken)
        with pytest.raises(StoreError, match=r"cannot open: .*no such table: unheard_of"):
            SqliteStore(path)
        monkeypatch.undo()
        store = SqliteStore(path)
        assert store.snapshot().tokens == []
        store.close()


def test_a_log_whose_name_is_not_durable_is_not_written_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-B33: SQLite takes no notice when the sync of its folder fails, and a power cut would take the whole log."""
    def fsync(fd: int) -> None:
        assert Path(os.readlink(f"/proc/self/fd/{fd}")) == path.parent
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="Input/output error"):
            SqliteStore(path)
    SqliteStore(path).close()
