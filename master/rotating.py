"""The verbs that replace keys: ask minions for new ones, and wait for what comes of it."""

from __future__ import annotations

import asyncio

from common.control_server import Body, Caller, Reply
from common.errors import UsageError
from common.ids import MinionId
from common.requests import checked
from master.core.effects import KeyChanged
from master.core.keys import Keyring
from master.events import Watch
from master.requests import RotateRequest
from master.shell import Shell

ANSWER = 20.0
"""Seconds to wait for minions that make a key and connect anew: well under one, but for a busy host."""
AWAY = "not connected"
SILENT = "no answer yet"
DONE = "rotated"


class Rotating:
    """The verb `keys.rotate`."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def rotate(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Ask minions for new keys; says of each what became of it. Raises UsageError, NotFoundError."""
        request = checked(body, RotateRequest)
        if request.all == (request.ids is not None):
            raise UsageError("cannot rotate keys: name minion ids, or say --all")
        core = self._shell.core
        found: dict[MinionId, str] = {}
        with self._shell.watchers.watch(None) as watch:
            asked = {minion: core.rotation.ask(minion) for minion in request.ids or _members(core.keys)}
            for minion, effects in asked.items():
                found[minion] = SILENT if effects else AWAY
                self._shell.apply(effects)
            await _outcomes(watch, found)
        return {"minions": {str(minion): outcome for minion, outcome in found.items()}}


def _members(keys: Keyring) -> list[MinionId]:
    """All that have a key to replace: not those in quarantine."""
    return sorted(minion for minion in keys.fleet() if keys.accepted(minion) is not None)


async def _outcomes(watch: Watch, found: dict[MinionId, str]) -> None:
    """Replace what nobody has answered yet by what each minion did, for as long as that is worth waiting for."""
    try:
        async with asyncio.timeout(ANSWER):
            while SILENT in found.values():
                event = await watch.next()
                if isinstance(event, KeyChanged) and event.minion in found and event.state != "offered":
                    found[event.minion] = event.state
    except TimeoutError:
        return
