"""What holds for all tests: the pure ones get no sockets, so that nothing in them can wait or leave the machine."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from common.log import LIMITS

# The same examples in every run, and no time limits: a machine may be slow, and a test must not fail by chance.
hypothesis.settings.register_profile("jr", deadline=None, derandomize=True)
hypothesis.settings.load_profile("jr")

# Tests write settings as an administrator would: files that others may write are refused, and have tests of their own.
os.umask(0o022)

# Tests press Ctrl-C. Whoever runs them in the background of a script lets them ignore it, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

UNIT = Path(__file__).parent / "unit"


@pytest.fixture(autouse=True)
def _own_log_limits() -> None:
    """One line a minute is meant for a daemon: a test must not be silent because the one before it has spoken."""
    LIMITS.forget()


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests and the simulated world have no network, not even loopback."""
    if UNIT not in request.path.parents and request.path.parent.name != "sim":
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a unit test opened a socket: it belongs to contract, process or e2e")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
