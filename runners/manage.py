"""The runners `manage.*`: which minions are there. Asks the master, never the fleet."""

from __future__ import annotations

from typing import Any

from runners.api import Master, Report


def up(master: Master) -> Report:
    """List the minions that are connected.

    jr-run manage.up
    """
    return Report("names", _split(master.presence())["up"])


def down(master: Master) -> Report:
    """List the minions that are not connected.

    jr-run manage.down
    """
    return Report("names", _split(master.presence())["down"])


def status(master: Master) -> Report:
    """Show every minion: whether it is up, since when, its version, and how its host does as it said last.

    A minion says it every 15 s, every minute when it is busy; `told` is how long ago that was. `clock` is by how much
    its clock is ahead of the master's, or behind.

    jr-run manage.status
    jr-run manage.status -o json
    """
    return Report("presence", master.presence())


def master(master: Master) -> Report:
    """Show how the master does: what is connected, open and unanswered, its disk, its queues and their bounds.

    jr-run manage.master
    """
    return Report("value", master.status())


def _split(minions: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The ids by `up` and `down`, in order."""
    return {
        "up": sorted(minion for minion, presence in minions.items() if presence["up"]),
        "down": sorted(minion for minion, presence in minions.items() if not presence["up"]),
    }
