"""Work that may crash, exit, hang or start threads, done in a forked child with an end. Callers have one thread."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from common import clock

_CHUNK = 65536
_LIMIT = 1024 * 1024
"""Bytes of an answer."""


class TrialError(Exception):
    """The work did not end well; the text says how, as a clause: "it does not end within 10 seconds"."""


def trial(work: Callable[[], Any], seconds: float) -> Any:
    """What `work` returns (plain data), when a forked child ran it to its end within `seconds`.

    The child and all that stayed in its session are gone afterwards. Raises TrialError when the work raised, exited,
    crashed, hung, or left threads or processes behind; OSError when nothing can be forked.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(work, writer)
    os.close(writer)
    try:
        answer = _listen(reader, pid, clock.boottime() + seconds)
    finally:
        os.close(reader)
        status = _end(pid)
    if answer is None:
        raise TrialError(f"it does not end within {seconds:g} seconds")
    return _result(answer, status)


def _child(work: Callable[[], Any], writer: int) -> NoReturn:
    """Run the work and write one line of JSON. Nothing of the parent's may run in here, so it ends by `_exit`."""
    me = os.getpid()
    try:
        os.setsid()
        _silence()
        answer = _attempt(work)
        if os.getpid() == me:  # and not a fork that the work made
            with open(writer, "wb") as pipe:
                pipe.write(json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def _attempt(work: Callable[[], Any]) -> dict[str, Any]:
    threads = _threads()
    try:
        value = work()
        answer = {"value": value} if (left := _left(threads)) is None else {"error": left}
    except SystemExit as error:
        answer = {"error": f"it exits ({error.code})"}
    except BaseException as error:  # whatever foreign code raises is the answer we are here for
        answer = {"error": one_line(error)}
    return answer


def one_line(error: BaseException) -> str:
    """An exception in one line: `ValueError: what it says`."""
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _left(threads: int) -> str | None:
    """What the work left running, as a clause."""
    if _threads() > threads:
        return "it starts a thread"
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
        return "it starts a process"
    return None


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _listen(reader: int, pid: int, deadline: float) -> bytes | None:
    """The child's line; what there is of it when the child ended early; None at the deadline."""
    child = os.pidfd_open(pid)
    os.set_blocking(reader, False)
    answer = b""
    try:
        while (left := deadline - clock.boottime()) > 0:
            ready = _ready([reader, child], left)
            data = _read(reader)
            answer += data
            if answer.endswith(b"\n") or (child in ready and not data) or len(answer) > _LIMIT:
                return answer
            if reader in ready and not data:  # closed; only the end of the child can follow
                return answer if _ready([child], left) else None
    finally:
        os.close(child)
    return None


def _ready(fds: list[int], seconds: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(max(0, seconds) * 1000)]


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, _CHUNK)
    except BlockingIOError:
        return b""


def _end(pid: int) -> int:
    """End the child and its session; its exit code, negative for a signal of its own.

    Until it is reaped its pid cannot be anybody else's, so the group is killed first.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _result(answer: bytes, status: int) -> Any:
    try:
        result = json.loads(answer)
    except ValueError:
        how = f"crashes with signal {-status}" if status < 0 else f"exits ({status})"
        raise TrialError(f"it {how}") from None
    if "error" in result:
        raise TrialError(result["error"])
    return result["value"]
