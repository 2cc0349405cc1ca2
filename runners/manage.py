"""The runners `manage.*`: which minions are there. Asks the master, never the fleet."""

from __future__ import annotations

from typing import Any

from runners.api import Master, Report


def up(master: Master) -> Report:
    """List the minions that are connected.

    jr-run manage.up
    """
    return Report("value", _split(master.presence())["up"])


def down(master: Master) -> Report:
    """List the minions that are not connected.

    jr-run manage.down
    """
    return Report("value", _split(master.presence())["down"])


def status(master: Master) -> Report:
    """Show every minion: whether it is up, since when, and its version.

    jr-run manage.status
    """
    return Report("presence", master.presence())


def _split(minions: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The ids by `up` and `down`, in order."""
    return {
        "up": sorted(minion for minion, presence in minions.items() if presence["up"]),
        "down": sorted(minion for minion, presence in minions.items() if not presence["up"]),
    }
