"""Who spoke when on the line to the master, and the pings that prove that both sides live. Pure, in boot time."""

from __future__ import annotations

QUIET = 15.0
"""Seconds without a word from the master after which the agent pings (DESIGN 5)."""
TELL = 60.0
"""Seconds after which it pings on a busy line too: the master is told how this host does, and the time is compared."""
GONE = 45.0
"""Seconds of silence after which the line counts as dead: three silent periods."""


class Pulse:
    """Of one line after the other."""

    def __init__(self) -> None:
        self._heard = self._said = self._pinged = 0.0
        self._pings = 0

    def opened(self, now: float) -> None:
        """A new line is there."""
        self._heard = self._said = now

    def compared(self, now: float) -> None:
        """The greeting told what a ping tells: the next one that is due for that is a while away."""
        self._pinged = now

    def heard(self, now: float) -> None:
        """The master spoke."""
        self._heard = now

    def said(self, now: float) -> None:
        """Something was sent: the master knows that this side lives."""
        self._said = now

    def is_dead(self, now: float) -> bool:
        """Whether the master has been silent for too long."""
        return now - self._heard >= GONE

    def due(self) -> float:
        """When the next ping is."""
        return min(min(self._heard, self._said) + QUIET, self._pinged + TELL)

    def ping(self, now: float) -> int:
        """One goes out; its number, which the answer repeats."""
        self._pings += 1
        self._said = self._pinged = now
        return self._pings

    def asked(self, now: float) -> float:
        """When to look again after a ping."""
        return min(now + QUIET, self._heard + GONE)
