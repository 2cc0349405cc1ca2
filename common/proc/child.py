"""Forks a payload that waits at its gate, with its pipes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from common.proc import payload
from common.proc.watch import Running

EVERY_SIGNAL = signal.valid_signals()
"""Asked once: it takes as long as twenty system calls, and each fork needs it."""


def fork(record: dict[str, Any], table: Mapping[str, Callable[..., Any]], surplus: Iterable[int]) -> Running:
    """The payload of a job, in a process group of its own, waiting at its gate.

    `surplus` are descriptors of the supervisor that the payload closes. Raises OSError, and leaves nothing, when the
    host gives no more processes or descriptors.
    """
    with contextlib.ExitStack() as undo:
        pipes = [_pipe(undo) for _ in range(4)]
        (out, out_end), (err, err_end), (result, result_end), (gate_end, gate) = pipes
        old = signal.pthread_sigmask(signal.SIG_BLOCK, EVERY_SIGNAL)
        try:
            pid = os.fork()
            if pid == 0:
                mine = payload.Wires(out_end, err_end, result_end, gate_end, (out, err, result, gate, *surplus))
                payload.run(record, table, mine)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        undo.callback(_abandon, pid)
        pidfd = os.pidfd_open(pid)
        # Before the gate opens, so that a signal to the group can never come too early.
        os.setpgid(pid, pid)
        undo.pop_all()
    for fd in (out_end, err_end, result_end, gate_end):
        os.close(fd)
    for fd in (out, err, result):
        os.set_blocking(fd, False)
    return Running(pid=pid, pidfd=pidfd, out=out, err=err, result=result, gate=gate)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for fd in ends:
        undo.callback(os.close, fd)
    return ends


def _abandon(pid: int) -> None:
    """The payload still waits at its gate and is our child, so its pid is its own."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
