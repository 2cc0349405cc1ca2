"""Files that survive a pulled plug, and are read only when they are what they should be. # S01"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common import files
from common.errors import JrError, UsageError
from common.files import FolderLock


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_durable(path, b"one")
    files.write_durable(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    files.write_durable(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_durable(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_data_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def told_fsync(fd: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def told_rename(old: Path, new: Path) -> None:
        steps.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "rename", told_rename)
    files.write_durable(tmp_path / "file", b"data")
    assert steps == ["sync file", "rename", "sync folder"]
    steps.clear()
    files.create_exclusive(tmp_path / "claim", b"data")
    assert steps == ["sync file", "sync folder"]
    steps.clear()
    files.remove_durable(tmp_path / "claim")
    assert steps == ["sync folder"]


def test_a_claim_is_made_once(tmp_path: Path) -> None:  # P2
    path = tmp_path / "claim"
    assert files.create_exclusive(path, b"first")
    assert not files.create_exclusive(path, b"second")
    assert path.read_bytes() == b"first"
    with pytest.raises(FileNotFoundError):
        files.create_exclusive(tmp_path / "no folder" / "claim")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert not files.create_exclusive(tmp_path / "link")
    files.write_durable(tmp_path / "link", b"new")  # the link is replaced, what it led to is not
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    files.remove_durable(path)
    files.remove_durable(path)
    assert names(tmp_path) == []


def test_only_regular_files_within_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_regular(path, 5) == b"12345"
    with pytest.raises(ValueError, match="has 5 bytes, more than the 4 that are allowed"):
        files.read_regular(path, 4)
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "none", 5)


def test_odd_files_neither_block_nor_mislead(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    before = os.listdir("/proc/self/fd")
    for name in ("pipe", "folder", "link", "socket"):
        with pytest.raises(ValueError, match="is not a regular file"):
            files.read_regular(tmp_path / name, 100_000)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ValueError, match="is not a regular file"):
        files.read_regular(Path("/dev/null"), 100)


def test_a_private_folder_is_made_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert files.private_folder(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    path.chmod(0o755)
    files.private_folder(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_that_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(JrError, match=r"^cannot use .*file: File exists$"):
        files.private_folder(tmp_path / "file")
    with pytest.raises(UsageError, match=r"^cannot use .*link: it is not a folder$"):
        files.private_folder(tmp_path / "link")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(UsageError, match=r"belongs to uid \d+, and this process runs as uid 4711$"):
        files.private_folder(tmp_path)


def test_one_daemon_owns_a_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    second = [sys.executable, "-c", "import sys; from pathlib import Path; from common.files import FolderLock\n"
              "FolderLock(Path(sys.argv[1]))", str(tmp_path)]
    refused = subprocess.run(second, capture_output=True, text=True, timeout=60, check=False)
    assert f"cannot use {tmp_path}: another process runs on it already" in refused.stderr
    lock.release()
    assert subprocess.run(second, capture_output=True, timeout=60, check=False).returncode == 0
