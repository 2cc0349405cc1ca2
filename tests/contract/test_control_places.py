"""Where a control socket lies: private, its own, and back when somebody takes it away."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from common.control import Connection
from common.control_server import Limits
from common.control_socket import listen, remove
from common.errors import JrError, UsageError
from common.sockets import address
from tests.lib.control import serving
from tests.lib.raw_control import echo
from tests.lib.wait import until

# where the socket lies


@pytest.mark.parametrize("length", [60, 100, 250])
def test_paths_longer_than_an_address(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("d" * length) / ("e" * length) / "master.sock"
    with serving(path, echo), Connection(path) as connection:
        assert connection.ask("status")["uid"] == os.geteuid()
    assert not path.exists()


def test_the_socket_is_private_and_taken_away(path: Path) -> None:
    with serving(path, echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [file.name for file in path.parent.iterdir()] == ["master.sock"]
    assert list(path.parent.iterdir()) == []


def test_a_second_server_is_refused_and_harms_nothing(path: Path) -> None:
    with serving(path, echo):
        with pytest.raises(UsageError, match="another process listens there already"), serving(path, echo):
            pass
        with Connection(path) as connection:
            assert connection.ask("status")


def test_what_a_dead_server_left_is_replaced(path: Path) -> None:
    listener, _ = listen(path)
    listener.close()
    assert path.is_socket()
    with serving(path, echo), Connection(path) as connection:
        assert connection.ask("status")


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UsageError, match="a file that is no socket"), serving(path, echo):
        pass
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no socket"), serving(path, echo):
        pass


def test_a_folder_where_others_write_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    with pytest.raises(UsageError, match="others may write there"), serving(path, echo):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(UsageError, match="belongs to uid 12345"), serving(path, echo):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JrError, match="cannot listen at"), serving(tmp_path / "file" / "master.sock", echo):
        pass


def test_only_its_own_socket_is_removed(path: Path) -> None:
    listener, inode = listen(path)
    path.rename(path.with_name("moved"))
    other, other_inode = listen(path)
    remove(path, inode)
    assert path.exists()
    remove(path, other_inode)
    remove(path, other_inode)
    assert not path.exists()
    listener.close()
    other.close()


# the file of the socket


def gone(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.with_name("beside").touch()
    path.with_name("dead").unlink(missing_ok=True)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with address(str(path.with_name("dead"))) as where:
        dead.bind(where)
    dead.close()
    path.with_name("dead").rename(path)


@pytest.mark.parametrize("harm", [gone, replaced])
def test_a_socket_that_was_removed_or_replaced_comes_back(path: Path, harm: Callable[[Path], None]) -> None:
    with serving(path, echo, Limits(look_seconds=0.05)) as server, Connection(path) as early:
        inode = path.lstat().st_ino
        harm(path)
        until(lambda: path.exists() and path.lstat().st_ino != inode and path.lstat().st_ino == server._inode,
              what="the socket is there again")
        with Connection(path) as late:
            assert late.ask("status")["uid"] == early.ask("status")["uid"] == os.geteuid()
    assert not path.exists()


def test_a_place_that_somebody_else_took_is_left_to_him(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path, echo, Limits(look_seconds=0.05)):
        path.unlink()
        other, _ = listen(path)
        with other:
            until(lambda: "another process listens there" in caplog.text, what="the daemon says so")
        until(lambda: not _refused(path), what="the socket is ours again")


def _refused(path: Path) -> bool:
    try:
        Connection(path).close()
    except JrError:
        return True
    return False
