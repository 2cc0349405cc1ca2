"""Functions that end, one way or the other, in the job's own process."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common.functions import Failed, Job


def echo(value: Any = None) -> Any:
    return value


def speak(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)


def fail(message: str) -> None:
    raise ValueError(message)


def decline(message: str, value: Any = None) -> None:
    raise Failed(message, value)


def unpackable() -> list[Any]:
    return [1, {"a": object()}]


def huge(count: int) -> str:
    return "x" * count


def leave(status: int) -> None:
    os._exit(status)


def system_exit() -> None:
    sys.exit(0)


def crash() -> None:
    ctypes.string_at(0)


def whoami(job: Job) -> list[str]:
    return [str(job.jid), job.function, job.user]


def environment() -> dict[str, str]:
    return dict(os.environ)


def sleep(seconds: float) -> str:
    time.sleep(seconds)  # the job's own work: something that lasts
    return "slept"


def forge() -> None:
    for fd in range(3, 10):
        try:
            os.write(fd, b"\xc1\xff garbage")
        except OSError:
            continue


def descriptors() -> list[str]:
    found = [path for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2 and path.exists()]
    return sorted(str(path.readlink()) for path in found)


def dispositions() -> dict[str, Any]:
    return {"ignored": signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN,
            "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}


def broken_pipe() -> str:
    left, right = socket.socketpair()
    right.close()
    try:
        left.send(b"x")
    except BrokenPipeError:
        return "BrokenPipeError"
    return "nothing"


def child_output() -> str:
    return subprocess.run(["sh", "-c", "echo $JR_JID"], capture_output=True, text=True, check=True).stdout.strip()
