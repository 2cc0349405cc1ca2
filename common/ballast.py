"""A file that holds nothing but space: on a full disk even a deletion or a kill needs some, and this gives it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from common.files import ROOM, SHORT
from common.log import limited

LOG = logging.getLogger("jr.ballast")

MOST = 8 * 1024 * 1024
"""Bytes; twice what the master's write-ahead log grows to before it is folded back."""
_PART = 8
"""On a small disk the ballast takes one part in so many, not more."""
_LEAST = 64 * 1024
"""Bytes below which it would not be worth a file."""


class Ballast:
    """Kept beside what it is for. Losing it harms nothing but what a full disk cannot do without it."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        """`most` is its size in bytes where the disk is large enough."""
        self._path = path
        self._most = most

    def keep(self) -> bool:
        """Make sure that it is there, as large as there is room for; whether that is all that it should be.

        It warns when there is no room at all. There is none, which is all that it should be, on a disk that is too
        small to take a part of, and on one that cannot set space aside at all.
        """
        try:
            status = os.statvfs(self._path.parent)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                wanted = min(self._most, status.f_blocks * status.f_frsize // _PART)
                size = _grow(fd, wanted)
            finally:
                os.close(fd)
        except OSError as error:
            self._warn(str(error.strerror))
            return error.errno not in SHORT
        if not size and wanted >= _LEAST:
            self._warn("the disk is full")
        return size >= wanted or wanted < _LEAST

    def release(self) -> bool:
        """Give its space to whoever needs it now; whether there was any."""
        try:
            held = self._path.lstat().st_size > 0
            self._path.unlink()
        except OSError:
            return False
        return held

    def _warn(self, why: str) -> None:
        limited(LOG, str(self._path)).warning("cannot set space aside at %s: %s", self._path, why,
                                              extra={"action": "ballast.failed"})


def _grow(fd: int, wanted: int) -> int:
    """Make the file as large as can be had, by halves; its size. Raises OSError for anything but want of room."""
    held = os.fstat(fd).st_size
    while held < wanted >= _LEAST:
        try:
            os.posix_fallocate(fd, 0, wanted)
        except OSError as error:
            if error.errno not in ROOM:
                raise
            os.ftruncate(fd, held)
            wanted //= 2
        else:
            return wanted
    return held
