"""What time it is at the master, from what it answers to questions. Pure.

Master time never steps, and neither does boot time: what was compared once holds until the next boot (DESIGN 5).
"""

from __future__ import annotations

from common.host.job import Now


class MasterTime:
    """The master's clock, seen from here."""

    def __init__(self) -> None:
        self._asked: tuple[int, float] | None = None
        """The question that is open: its number, and when it left."""
        self._most: float | None = None
        self._between: tuple[float, float] | None = None

    def ask(self, question: int, now: Now) -> None:
        """A question leaves; whoever asks again waits for no earlier answer."""
        self._asked = question, now.boot

    def told(self, question: int, time: float, now: Now) -> None:
        """Master time was `time` at some moment since the question left: at most that plus all that passed since."""
        if self._asked is None or self._asked[0] != question:
            return
        asked, self._asked = self._asked[1], None
        self._most = time - asked
        half = (now.boot - asked) / 2
        self._between = time + half - now.boot, half

    def latest(self, now: Now) -> float:
        """The latest that master time can be, in epoch seconds; this host's wall clock before the first answer."""
        return now.wall if self._most is None else now.boot + self._most

    def offset(self, now: Now) -> tuple[float, float] | None:
        """By how many seconds this host's wall clock is ahead, and how uncertain that is; None before an answer."""
        if self._between is None:
            return None
        ahead, uncertain = self._between
        return now.wall - (now.boot + ahead), uncertain
