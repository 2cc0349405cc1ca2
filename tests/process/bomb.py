"""A fork bomb that cannot hurt the machine: few processes at the lowest priority, and an end of its own.

Where it may it runs as a user who has no other process, so that the limit counts the bomb alone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path

STRANGER = 54_321
"""A uid that nobody has."""
MOST = 60
"""Processes."""
SECONDS = 20.0


def mine() -> int:
    """How many threads this user has, which is what the limit counts."""
    count = 0
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is gone meanwhile
            if path.name.isdigit() and path.stat().st_uid == os.getuid():
                count += len(list((path / "task").iterdir()))
    return count


def bound() -> None:
    """From here on this process and all below it can do little harm."""
    os.nice(19)
    if os.geteuid() == 0:
        resource.setrlimit(resource.RLIMIT_NPROC, (MOST, MOST))
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
    else:
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        resource.setrlimit(resource.RLIMIT_NPROC, (mine() + MOST, hard))


def main() -> None:
    end = time.monotonic() + SECONDS
    bound()
    first, said = os.getpid(), False
    while time.monotonic() < end:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            if os.getpid() == first and not said:
                os.write(1, b"up\n")  # it is as large as it may be: now it can be stopped
                said = True
            time.sleep(0.001)  # as many busy loops would leave the test no processor to stop them with


main()
