"""A file that holds nothing but space: on a full disk even a deletion needs some, and this gives it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

LOG = logging.getLogger("jr.store")

MOST = 8 * 1024 * 1024
"""Bytes; twice what the write-ahead log grows to before it is folded back."""
_PART = 8
"""On a small disk the ballast takes one part in so many, not more."""
_LEAST = 64 * 1024
"""Bytes below which it would not be worth a file."""


class Ballast:
    """Kept beside the database. Losing it harms nothing but the next purge on a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> bool:
        """Make sure that it is there, as large as there is room for; False, with a warning, when there is none."""
        try:
            status = os.statvfs(self._path.parent)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                size = _grow(fd, min(MOST, status.f_blocks * status.f_frsize // _PART))
            finally:
                os.close(fd)
        except OSError as error:
            LOG.warning("cannot set space aside at %s: %s", self._path, error.strerror,
                        extra={"action": "ballast.failed"})
            return False
        if not size:
            LOG.warning("cannot set space aside at %s: the disk is full", self._path,
                        extra={"action": "ballast.failed"})
        return size > 0

    def release(self) -> None:
        """Give its space to whoever needs it now."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _grow(fd: int, wanted: int) -> int:
    """Make the file as large as can be had, by halves; its size. Raises OSError for anything but want of room."""
    held = os.fstat(fd).st_size
    while held < wanted >= _LEAST:
        try:
            os.posix_fallocate(fd, 0, wanted)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(fd, held)
            wanted //= 2
        else:
            return wanted
    return held
