"""How the master does, in figures: what is connected, open and waiting, and what its disk has left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from common import clock
from common.canary import Canary
from common.errors import JrError
from common.host.shell import HostShell
from common.ids import MASTER
from common.sequencer import BOUND
from master.core import recalls
from master.core.core import OPEN_MOST, Core
from master.core.keys import PENDING_LIMIT
from master.core.presence import Presence
from master.records import Minion
from master.shell import Shell


def of_master(shell: Shell, hands: HostShell, canary: Canary, database: Path) -> dict[str, Any]:
    """The master's own figures. Reads the sizes of files and nothing of what is in them."""
    core = shell.core
    rows = core.keys.rows()
    return {
        "accepted": sum(row.state == "accepted" for row in rows), "connected": len(set(core.fleet.up()) - {MASTER}),
        "open_jobs": len(core.ledger.jobs), "open_pairs": core.ledger.open_pairs(),
        "unanswered_stops": sum(len(stops) for opened in core.ledger.jobs.values() for stops in opened.stops.values()),
        "disk": _disk(database),
        "queues": _queues(core, shell, hands, rows),
        "canary_proved": None if canary.proved is None else clock.boottime() - canary.proved,
        "containment": hands.executor.containment,
    }


def of_minion(row: Minion, presence: Presence | None, now: float) -> dict[str, Any]:
    """What is known of one minion: whether it is there, and what it said last of how it does."""
    told: dict[str, Any] = {
        "up": presence is not None, "since": presence.since if presence else None,
        "last_seen": presence.heard if presence else row.last_seen, "version": row.version, "start": row.start,
        "connection": row.connection}
    if presence is not None:
        told["connection_age"] = max(0.0, now - presence.since)
        if presence.load is not None:
            told["load"] = {"age": max(0.0, now - presence.told), "running": 0, "queued": 0, "spool": 0,
                            **to_builtins(presence.load)}
    return told


def _queues(core: Core, shell: Shell, hands: HostShell, rows: list[Minion]) -> dict[str, dict[str, int]]:
    """What waits in each queue, with its bound."""
    waiting = {
        "effects": (shell.queued, BOUND), "effects of runner jobs": (hands.queue.waiting, BOUND),
        "words that wait for the store": (core.words.waiting, recalls.MOST),
        "open jobs": (len(core.ledger.jobs), OPEN_MOST),
        "pending keys": (sum(row.state == "pending" for row in rows), PENDING_LIMIT),
    }
    return {name: {"waiting": length, "bound": bound} for name, (length, bound) in waiting.items()}


def _disk(database: Path) -> dict[str, Any]:
    """Bytes of the database with its log, of the ballast beside it, and what the file system has left."""
    names = (database.name, f"{database.name}-wal")
    try:
        free = os.statvfs(database.parent)
        return {"database": sum(_size(database.with_name(name)) for name in names),
                "ballast": _size(database.with_name(f"{database.name}.ballast")),
                "free": free.f_bavail * free.f_frsize}
    except OSError as error:
        raise JrError(f"cannot look at {database}: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
