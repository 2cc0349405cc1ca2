"""A timer that wakes a core: one for all it waits for, since it knows itself what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings when it was set for, or earlier. Whoever it wakes looks what is due, and sets it again.

    So it may be set after every event: a timer that rings early enough is kept, and making a new one is rare.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float | None) -> None:
        """Ring in so many seconds at the latest, at once for a moment that has passed; None is never."""
        if seconds is None:
            self.cancel()
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, seconds)
        if self._timer is not None and self._timer.when() <= when:
            return
        self.cancel()
        self._timer = loop.call_at(when, self._rings)

    def cancel(self) -> None:
        """Ring no more until it is set again. Good to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        self._ring()
