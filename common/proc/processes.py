"""Processes as /proc shows them, and signals that cannot hit a stranger: each is sent through a verified pidfd."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MARK = "JR_JID"
STATE = "JR_STATE"
"""The environment variable that carries the jid into everything a job starts."""
DEAD = frozenset("ZXx")
"""States in /proc/<pid>/stat of a process that does nothing any more, reaped or not."""
_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
_library = ctypes.CDLL(None, use_errno=True)


class Seen(NamedTuple):
    """One process at one moment. Pid and ticks together name it for as long as this boot lasts."""

    pid: int
    parent: int
    group: int
    state: str
    """One letter of /proc/<pid>/stat: D cannot be interrupted, T is stopped."""
    ticks: int
    """Field 22 of /proc/<pid>/stat: when it was created, in ticks since boot."""
    name: str


def parse_stat(pid: int, text: str) -> Seen:
    """What /proc/<pid>/stat says. The name may hold blanks and brackets, so it ends at the last one. Raises ValueError
    or IndexError for other text."""
    opened, closed = text.index("("), text.rindex(")")
    fields = text[closed + 2:].split()
    return Seen(pid=pid, parent=int(fields[1]), group=int(fields[2]), state=fields[0], ticks=int(fields[19]),
                name=text[opened + 1:closed])


def look(pid: int) -> Seen | None:
    """The process that has this pid now, dead ones that nobody reaped included; None when there is none."""
    try:
        return parse_stat(pid, Path(f"/proc/{pid}/stat").read_text("utf-8", "replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def living() -> list[Seen]:
    """Every process of the host that is not dead."""
    found = (look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [seen for seen in found if seen is not None and seen.state not in DEAD]


def below(ancestor: int, all_seen: Iterable[Seen]) -> list[Seen]:
    """Those of `all_seen` that descend from the pid `ancestor`, itself not included."""
    children: dict[int, list[Seen]] = {}
    for seen in all_seen:
        children.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    waiting = [ancestor]
    while waiting:
        for child in children.pop(waiting.pop(), ()):
            found.append(child)
            waiting.append(child.pid)
    return found


def walk(ancestor: int) -> list[int]:
    """The pids below `ancestor`, by its children and theirs: much faster than `below` on a busy host, and able to miss
    one that is born or dies meanwhile. Empty where the kernel does not keep such lists."""
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def become_subreaper() -> None:
    """From now on a descendant whose parent dies becomes our child, whatever sessions it made. Raises OSError."""
    if _library.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_alive(pid: int, ticks: int) -> bool:
    """Whether the process created at `ticks` still lives under this pid; a later one of the same pid is no such."""
    seen = look(pid)
    return seen is not None and seen.ticks == ticks and seen.state not in DEAD


def send(seen: Seen, number: int) -> bool:
    """Send a signal to the very process that was seen. False when it is gone or may not be signalled."""
    pidfd = open_verified(seen)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def open_verified(seen: Seen) -> int | None:
    """A pidfd of the very process that was seen; None when it is gone. The caller closes it."""
    try:
        pidfd = os.pidfd_open(seen.pid)
    except OSError:
        return None
    # With the pidfd open the number cannot change hands unnoticed: what /proc shows now is what the pidfd means.
    now = look(seen.pid)
    if now is None or now.ticks != seen.ticks:
        os.close(pidfd)
        return None
    return pidfd


def marked(jid: str, state: str) -> list[Seen]:
    """Every living process whose environment carries the mark of this job, as far as we may read it.

    `state` is the host's state folder: another minion of this machine may run the same job.
    """
    wanted = {f"{MARK}={jid}".encode(), f"{STATE}={state}".encode()}
    return [seen for seen in living() if wanted <= set(_environment(seen.pid).split(b"\0"))]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text("ascii").split())
    return found


def _environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""
