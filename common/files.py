"""Files that survive a pulled plug: written beside, synced, renamed; read only when they are what they should be."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from common.errors import DeniedError, JrError, UsageError

_DURABLE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_IRREGULAR = (errno.ELOOP, errno.ENXIO)
"""How a link and a socket refuse to be opened."""
ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""How a disk says that nothing more can be put on it: somebody has to make room, and then all is well."""
SHORT = ROOM | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors of a host that is short of something: nothing was written, and the same may succeed later. After all others,
EIO first, nobody knows what lies on the disk."""


def sync_folder(folder: Path) -> None:
    """Make renames and removals inside `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make what is in a file durable; its name is its folder's matter. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durable(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Replace `path` by `data` so that a crash at any moment leaves the old file or the new one. Raises OSError.

    Without `sync` the new one is not sure to be the one that is left before `sync_folder`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(beside, _DURABLE, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    if sync:
        sync_folder(path.parent)


def create_exclusive(path: Path, data: bytes = b"", *, sync: bool = True) -> bool:
    """Create `path` durably; False when it exists already. Raises OSError, and then it is not there.

    Without `sync` it is not durable before `sync_file` and `sync_folder`.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return False
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if sync:
            sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return True


def remove_durable(path: Path) -> None:
    """Remove `path`; one that is gone already is no error. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sync_folder(path.parent)


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Never follows a link and never blocks on a pipe or device.

    Raises OSError when it cannot be read, ValueError when it is not such a file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _IRREGULAR:
            raise ValueError(f"{path} is not a regular file") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a regular file")
        if status.st_size > limit:
            raise ValueError(f"{path} has {status.st_size} bytes, more than the {limit} that are allowed")
        with open(fd, "rb", closefd=False) as file:
            return file.read(limit + 1)[:limit]
    finally:
        os.close(fd)


def private_folder(path: Path) -> Path:
    """Make sure that `path` is a folder of ours alone (0700, owned by this user, no link); returns it.

    Raises UsageError when it belongs to somebody else or is no folder, JrError when it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            raise UsageError(f"cannot use {path}: it is not a folder")
        if status.st_uid != os.geteuid():
            raise UsageError(
                f"cannot use {path}: it belongs to uid {status.st_uid}, and this process runs as uid {os.geteuid()}"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)
    except PermissionError as error:
        raise DeniedError(f"cannot use {path}: this user may not; {error.strerror}") from error
    except OSError as error:
        raise JrError(f"cannot use {path}: {error.strerror}") from error
    return path


class FolderLock:
    """The mark that one daemon owns a state folder: a second one refuses to start. The kernel frees it at death."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises UsageError when another process holds it, OSError when it cannot be tried."""
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise UsageError(f"cannot use {folder}: another process runs on it already") from error

    def release(self) -> None:
        """Let the next daemon in."""
        os.close(self._fd)
