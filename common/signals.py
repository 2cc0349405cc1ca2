"""Signals as people write them."""

from __future__ import annotations

import signal

LAST = 64
"""The highest number of a signal on Linux."""


def signal_number(text: str) -> int:
    """The number of a signal: 15, TERM, SIGTERM and term are the same one. Raises ValueError with a clause."""
    name = text.strip().upper()
    # Cut before it is read: nothing good has more digits, and what has very many is slow to read.
    if name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= LAST:
        return int(name)
    try:
        return signal.Signals["SIG" + name.removeprefix("SIG")]
    except KeyError:
        raise ValueError(f"{text[:40]!r} is no signal; write a name such as HUP or a number") from None
