"""The only module that reads a clock. Everything else is handed the time."""

from __future__ import annotations

import functools
import os
import time
from datetime import UTC, tzinfo
from pathlib import Path


def wall() -> float:
    """Epoch seconds of the host's wall clock. It may step; use it for what people read, never to measure."""
    return time.time()


def boottime() -> float:
    """Seconds since the host booted, time asleep included. It never steps and restarts at zero with the host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot: a boottime means something only beside it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def local_zone() -> tzinfo:
    """The host's own time zone with all its rules, from TZ or /etc/localtime; UTC where neither says one."""
    # Every command reads a clock, and only daemons ask for a zone.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        path = name or "/etc/localtime"
        with Path(path).open("rb") as file:
            return ZoneInfo.from_file(file, key=_zone_name(path))
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def _zone_name(path: str) -> str | None:
    _, found, name = os.path.realpath(path).partition("zoneinfo/")
    return name if found else None


class MasterClock:
    """Master time: the wall clock at start plus the boot clock since, so that it never steps.

    A jump of the wall clock by ten years purges nothing and repeats no jid.
    """

    def __init__(self, floor: float = 0.0) -> None:
        """`floor` is the latest master time that a former run is known to have reached, in epoch seconds."""
        self._offset = max(wall(), floor) - boottime()

    def now(self) -> float:
        """Epoch seconds of master time."""
        return self._offset + boottime()
