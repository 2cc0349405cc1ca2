"""The lock that tells whether a job has a supervisor. Liveness is this lock and never a pid (DESIGN 7).

A supervisor holds a POSIX record lock on the claim: it is not inherited by children, and F_GETLK names its holder.
Closing any other descriptor of the file would drop it, so a supervisor opens its claim once and never looks at it
again. An agent that cleans up takes an open-file-description lock instead, which other readers in its process cannot
drop, and which has no pid.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

_FLOCK = struct.Struct("@hhqqi")
_AGENT = -1
_HELD = (BlockingIOError, PermissionError)
"""What the two ways to say "somebody else has it" become: EAGAIN and EACCES."""


def take(claim: Path) -> int | None:
    """Take the lock as the job's supervisor: the descriptor that holds it, or None when another process has it.

    Never creates the file: a latecomer must not make a claim. Raises OSError.
    """
    fd = os.open(claim, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except _HELD:
        os.close(fd)
        return None
    return fd


@contextlib.contextmanager
def held_by_agent(claim: Path) -> Iterator[bool]:
    """Hold the lock while the block runs, to clean up after a dead supervisor; False when somebody has it.

    Raises OSError.
    """
    fd = os.open(claim, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield _take_description(fd)
    finally:
        os.close(fd)


def holder(claim: Path) -> int | None:
    """The pid of the process that holds the lock, -1 when an agent cleans up under it, None when it is free.

    Takes nothing. A claim that is not there is free. Raises OSError for other trouble. Never call it in a supervisor.
    """
    try:
        fd = os.open(claim, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(fd)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else pid


def open_holder(claim: Path) -> int | None:
    """A pidfd of the supervisor that holds the lock, or None when none does. The caller closes it.

    The lock is asked again after the pidfd is open: only then is it sure that both mean the same process.
    """
    pid = holder(claim)
    if pid is None or pid == _AGENT:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if holder(claim) != pid:
        os.close(pidfd)
        return None
    return pidfd


def wake(claim: Path) -> bool:
    """Tell the supervisor that holds the lock to read its stop requests. False when there is none."""
    pidfd = open_holder(claim)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGUSR1)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _take_description(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except _HELD:
        return False
    return True
