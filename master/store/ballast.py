"""A file that holds nothing but space: on a full disk even a deletion needs some, and this gives it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

LOG = logging.getLogger("jr.store")

MOST = 8 * 1024 * 1024
"""Bytes; twice what the write-ahead log grows to before it is folded back."""
_PART = 8
"""On a small disk the ballast takes one part in so many, not more."""


class Ballast:
    """Kept beside the database. Losing it harms nothing but the next purge on a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> bool:
        """Make sure that it is there; False, with a warning, when there is no room for it."""
        if self._path.exists():
            return True
        try:
            status = os.statvfs(self._path.parent)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, min(MOST, status.f_blocks * status.f_frsize // _PART))
            finally:
                os.close(fd)
        except OSError as error:
            self.release()
            LOG.warning("cannot set space aside at %s: %s", self._path, error.strerror, extra={"action": "ballast"})
            return False
        return True

    def release(self) -> None:
        """Give its space to whoever needs it now."""
        with contextlib.suppress(OSError):
            self._path.unlink()
