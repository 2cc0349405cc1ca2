"""Supervisors forked from the test itself, so that a test can make single system calls of theirs fail or kill them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from common.ids import Jid
from common.proc import supervisor
from common.proc.layout import Layout
from common.proc.supervisor import Setup
from tests.process.functions import plain, run

TABLE: dict[str, Callable[..., Any]] = {"run.shell": run.shell, "plain.echo": plain.echo, "plain.sleep": plain.sleep}


def fork_supervisor(layout: Layout, jid: Jid, spoil: Callable[[], None] = lambda: None) -> int:
    """Fork a supervisor that runs `spoil` first; its pid, which the caller waits for."""
    pid = os.fork()
    if pid == 0:
        spoil()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        supervisor.main(Setup(layout, TABLE, None), jid, ())
    return pid


def die_at(names: tuple[str, ...], count: int, *, after: bool) -> Callable[[], None]:
    """A spoiler: SIGKILL at the `count`-th call of any of these functions of `os`, before or after it is done."""
    def spoil() -> None:
        me, calls = os.getpid(), [0]

        def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                if os.getpid() != me:  # the payload, a fork of ours
                    return real(*args, **kwargs)
                calls[0] += 1
                if calls[0] == count and not after:
                    os.kill(me, signal.SIGKILL)
                result = real(*args, **kwargs)
                if calls[0] == count and after and os.getpid() == me:  # a fork comes back twice
                    os.kill(me, signal.SIGKILL)
                return result
            return call

        for name in names:
            setattr(os, name, wrapped(getattr(os, name)))
    return spoil


def fail_at(name: str, count: int, error: OSError) -> Callable[[], None]:
    """A spoiler: the `count`-th call of a function of `os` raises."""
    def spoil() -> None:
        real, calls = getattr(os, name), [0]

        def call(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == count:
                raise error
            return real(*args, **kwargs)

        setattr(os, name, call)
    return spoil
