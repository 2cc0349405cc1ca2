"""The file of a control socket: made for its owner alone, and never in place of one that somebody listens at."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from common.errors import JrError, UsageError
from common.sockets import address

_BACKLOG = 128
_PROBE_SECONDS = 2.0


def listen(path: Path) -> tuple[socket.socket, int]:
    """A socket that listens at `path`, and the inode of its file, which only this user may open.

    Missing folders are made, for this user alone. A file that a dead daemon left is replaced.
    Raises UsageError when the folder belongs to somebody else or the path is taken, JrError when it cannot listen.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _check_folder(path.parent)
        _check_free(path)
        # Linux gives the file the mode of the socket, so that it is at no moment open to others.
        os.fchmod(listener.fileno(), 0o600)
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        with address(os.fspath(beside)) as where:
            listener.bind(where)
        listener.listen(_BACKLOG)
        inode = beside.lstat().st_ino
        beside.rename(path)
    except OSError as error:
        listener.close()
        raise JrError(f"cannot listen at {path}: {error.strerror or error}") from error
    except JrError:
        listener.close()
        raise
    return listener, inode


def is_there(path: Path, inode: int) -> bool:
    """Whether the file that `listen` made still stands at its place."""
    try:
        return path.lstat().st_ino == inode
    except OSError:
        return False


def remove(path: Path, inode: int) -> None:
    """Remove the file that `listen` made; one that another daemon has put there since is left alone."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _check_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise UsageError(f"cannot listen in {folder}: it belongs to uid {status.st_uid}, not to uid {os.geteuid()}")
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise UsageError(f"cannot listen in {folder}: others may write there; its mode must be 0755 or less")


def _check_free(path: Path) -> None:
    """Raises UsageError unless there is nothing at `path`, or a socket that nobody listens at."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise UsageError(f"cannot listen at {path}: there is a file that is no socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, address(os.fspath(path)) as where:
        probe.settimeout(_PROBE_SECONDS)
        # Anything but a refusal, such as a full queue, means that somebody is there.
        if probe.connect_ex(where) not in (errno.ECONNREFUSED, errno.ENOENT):
            raise UsageError(f"cannot listen at {path}: another process listens there already")
