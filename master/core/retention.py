"""How long what is over is kept. Pure: ages are running time of the master, which no clock can jump."""

from __future__ import annotations

from msgspec import Struct


class Retention(Struct, frozen=True):
    """Two ages, in seconds."""

    keep_jobs: float
    """How long values and outputs stay; 0 is for ever."""
    keep_pairs: float
    """How long the pair and its state stay; never shorter than its value."""

    def limits(self) -> tuple[float, float]:
        """The ages past which values go, and pairs go."""
        if self.keep_jobs == 0:
            return float("inf"), float("inf")
        return self.keep_jobs, max(self.keep_jobs, self.keep_pairs)
