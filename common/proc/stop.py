"""What was asked of a running job, and what is to be done next. Pure: it is told the time and signals nothing."""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass

SWEEP_SECONDS = 10.0
"""How long KILL is repeated before what still lives is reported as a survivor: it sits in the kernel."""
ROUND_SECONDS = 0.05
"""Between two rounds of KILL, should no dead child wake us earlier."""


class Why(enum.Enum):
    """Why a tree is ended. It decides the state of the job."""

    STOPPED = "killed"
    TIMED_OUT = "timed_out"
    SWEPT = "swept"
    """The job ended by itself, and what it left behind is removed: its state stays what it was."""


class Step(enum.Enum):
    """What the supervisor does now."""

    NOTHING = "nothing"
    TERM = "term"
    KILL = "kill"
    GIVE_UP = "give up"
    """Whatever lives now cannot be killed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One reason to end the tree."""

    why: Why
    grace: float | None
    """Seconds between TERM and KILL; None is KILL at once."""
    by: str | None = None
    at: float | None = None
    """Epoch seconds at which the request became durable."""
    reason: str | None = None

    @property
    def number(self) -> int:
        """The signal that was asked for."""
        return signal.SIGKILL if self.grace is None else signal.SIGTERM


class Stopping:
    """The end of a tree: TERM, grace, KILL until it is empty. The first reason wins; a later KILL only hurries it."""

    def __init__(self) -> None:
        self.first: Ask | None = None
        self.began: float | None = None
        """Boot time of the first signal."""
        self._kill_at: float | None = None
        self._round_at: float | None = None
        self._give_up_at: float | None = None

    def ask(self, ask: Ask, now: float) -> Step:
        """Take a reason in; the step it leads to at once."""
        if self.first is None:
            self.first, self.began = ask, now
            if ask.grace is not None:
                self._kill_at = now + max(0.0, ask.grace)
                return Step.TERM
        if ask.grace is None and self._give_up_at is None:
            return self._kill(now)
        return Step.NOTHING

    def tick(self, now: float) -> Step:
        """The step that time alone leads to."""
        if self._give_up_at is not None:
            if now >= self._give_up_at:
                return Step.GIVE_UP
            return self._round(now)
        if self._kill_at is not None and now >= self._kill_at:
            return self._kill(now)
        return Step.NOTHING

    def next(self) -> float | None:
        """When `tick` has something to say; None when it never will."""
        return self._kill_at if self._give_up_at is None else self._round_at

    def _kill(self, now: float) -> Step:
        self._give_up_at = now + SWEEP_SECONDS
        self._round_at = now + ROUND_SECONDS
        return Step.KILL

    def _round(self, now: float) -> Step:
        if self._round_at is None or now < self._round_at:
            return Step.NOTHING
        self._round_at = now + ROUND_SECONDS
        return Step.KILL


def read_ask(request: dict[str, object]) -> Ask:
    """A stop request of the file, `term` or `kill`. Raises ValueError or TypeError for anything else."""
    grace, at = request["grace"], request["at"]
    if not isinstance(grace, (int, float)) or not isinstance(at, (int, float)):
        raise TypeError("grace and at are numbers")
    return Ask(why=Why.STOPPED, grace=None if request["how"] == "kill" else float(grace), by=str(request["by"]),
               at=float(at))
