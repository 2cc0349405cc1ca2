"""strace as a source of faults: it kills a process, fails or slows a call, at the n-th call of a kind.

The calls are counted for each thread of each process that is watched, from the moment of `watching` on.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.proc import processes

STRACE = shutil.which("strace")
SECONDS = 30.0
"""strace that needs longer to attach hangs."""
DYING_SECONDS = 5.0
"""How long it may take to see off what it watches."""
_MARKS = ("+++ killed by SIGKILL", "(INJECTED)", "(DELAYED)")
"""What strace says of a call or a process that a fault has hit."""


class Watch:
    """What became of one watch."""

    def __init__(self) -> None:
        self.hits = 0
        """How many processes or calls the fault has hit; known when the watch is over."""


def unusable() -> str | None:
    """Why faults cannot be made here: no strace, or this user may watch no processes. None when they can."""
    if STRACE is None:
        return "strace is not installed"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        with watching(sleeper.pid, "fsync", "error=EIO:when=1"):
            return None
    except AssertionError as error:
        return f"strace may not watch processes here: {error}"
    finally:
        sleeper.kill()
        sleeper.wait()


@contextlib.contextmanager
def watching(pid: int, calls: str, fault: str, *, files: Sequence[Path] = ()) -> Iterator[Watch]:
    """Inject a fault into calls of a process, of all its threads, and of what it forks but not of what it executes.

    `calls` is a list as strace reads it: `write,fsync`. `fault`: `signal=SIGKILL:when=3`, `error=EIO:when=2+`. With
    `files` only calls about these are hit, and counted.
    """
    assert STRACE is not None
    folder = Path(tempfile.mkdtemp(prefix="jr-strace-"))
    log = folder / "log"
    words = [STRACE, "-f", "-b", "execve", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}",
             "-e", f"inject={calls}:{fault}", "-e", "signal=KILL"]
    words += [word for path in files for word in ("-P", str(path))]
    watch = Watch()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _attached(process, pid)
        yield watch
    finally:
        _let_go(process, pid)
        if log.exists():
            lines = log.read_text("utf-8", "replace").splitlines()
            watch.hits = sum(any(mark in line for mark in _MARKS) for line in lines)
        shutil.rmtree(folder)


def _attached(process: subprocess.Popen[bytes], pid: int) -> None:
    """Wait until strace has all threads. Raises AssertionError when it cannot."""
    assert process.stderr is not None
    seen = b""
    while b"attached" not in seen:
        assert select.select([process.stderr], [], [], SECONDS)[0], "strace does not attach"
        read = os.read(process.stderr.fileno(), 4096)
        seen += read
        assert read, f"cannot watch {pid}: {seen.decode()}"


def _let_go(process: subprocess.Popen[bytes], pid: int) -> None:
    """Have strace leave what still lives.

    While what it watches is about to die it must not be interrupted: it might wait for ever. It ends then by itself.
    """
    assert process.stderr is not None
    process.stderr.close()
    seen = processes.look(pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if seen is None or seen.state in processes.DEAD:
            process.wait(DYING_SECONDS)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(DYING_SECONDS)
    process.kill()  # it hangs now and then when threads die beside each other; at its end the kernel lets all go
    process.wait()
