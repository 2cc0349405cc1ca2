"""The mark of a job in the environment of a process that was forked and not executed.

/proc/<pid>/environ shows the memory a process was started with; what `os.environ` holds later is invisible there. So
the spawner is started with room for a jid, and each payload writes its own over it.
"""

from __future__ import annotations

import ctypes
import os

from common.proc.processes import MARK

ROOM = 37
"""Characters of the longest jid."""
BLANK = "-" * ROOM
"""What the spawner is started with."""

_library = ctypes.CDLL(None)
_library.getenv.restype = ctypes.c_void_p
_library.getenv.argtypes = [ctypes.c_char_p]


def _find() -> int | None:
    """Where the room begins in this process's memory; None when it was not started with it."""
    if os.environ.get(MARK) != BLANK:
        return None
    address: int | None = _library.getenv(MARK.encode("ascii"))
    return address


_ADDRESS = _find()


def stamp(jid: str) -> None:
    """Show `jid` in /proc/<pid>/environ of this process. Without room for it nothing happens."""
    if _ADDRESS is not None:
        ctypes.memmove(_ADDRESS, jid.encode("ascii").ljust(ROOM, b"\0")[:ROOM], ROOM)
