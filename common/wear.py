"""When a daemon has served long enough: it ends as if it had been told to, and its service manager starts it anew."""

from __future__ import annotations

from msgspec import Struct

from common.text import span

LOOK = 2.0
"""Seconds between two looks, and from the start to the first one: an end takes longer than a start, always."""
_MEBI = 1024 * 1024


class Wear(Struct, frozen=True, kw_only=True):
    """What a daemon may become; 0 is without a limit."""

    max_memory: int = 0
    """Bytes of its own process in memory: its jobs are other processes."""
    max_age: float = 0.0
    """Seconds since its start."""

    def worn(self, age: float, memory: int) -> str:
        """Why it should begin anew; empty while it may go on."""
        if self.max_memory and memory > self.max_memory:
            return f"it holds {memory / _MEBI:.0f} MiB of memory, above max_memory ({self.max_memory / _MEBI:.0f} MiB)"
        if self.max_age and age >= self.max_age:
            return f"it has run for {span(age)}, and max_age is {span(self.max_age)}"
        return ""

    def wait(self, age: float) -> float | None:
        """Seconds until the next look; None when nothing is to be looked at."""
        if self.max_memory:
            return LOOK if not self.max_age else min(LOOK, max(0.0, self.max_age - age))
        return max(0.0, self.max_age - age) if self.max_age else None


FOR_EVER = Wear()
