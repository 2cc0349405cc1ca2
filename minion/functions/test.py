"""Functions to try the way to a minion and back with."""

from __future__ import annotations

import time
from typing import Any

from common.functions import Failed, inline


@inline(reads=True)
def ping() -> bool:
    """True: the minion's agent is there and answers. It starts no process.

    Example: jr '*' test.ping
    """
    return True


def echo(value: Any) -> Any:
    """What it was given, from a process of its own. It shows how typed text is understood.

    Example: jr '*' test.echo '{ports: [80, 443]}'
    """
    return value


def sleep(seconds: float) -> float:
    """Sleep, and return how many seconds that were to be.

    Example: jr '*' test.sleep 30
    """
    if seconds < 0:
        raise Failed(f"cannot sleep {seconds} seconds: it is less than none")
    time.sleep(seconds)
    return seconds


def fail(message: str = "asked to fail") -> None:
    """Fail with a message.

    Example: jr '*' test.fail 'out of coffee'
    """
    raise Failed(message)
