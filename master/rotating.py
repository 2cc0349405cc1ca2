"""The verbs that replace keys: ask minions for new ones, and change the master's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.control_server import Body, Caller, Reply
from common.errors import JrError, UsageError
from common.evidence import names
from common.ids import MinionId
from common.keys import fingerprint
from common.requests import checked
from master.bus import Bus, MasterPki
from master.core.effects import Event, KeyChanged, MinionDown
from master.core.keys import Keyring
from master.events import Watch
from master.requests import RekeyRequest, RotateRequest
from master.shell import Shell

ANSWER = 20.0
"""Seconds to wait for minions that make a key and connect anew: well under one, but for a busy host."""
AWAY = "not connected"
SILENT = "no answer yet"
OFFERED = "offered"
DONE = "rotated"


NAMES = 10
"""Minion ids in an error line."""
CONFIRMING = 5.0
"""Seconds to wait for connected minions to confirm the master's next key."""


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
            asked = {minion: core.rotation.ask(minion, self._shell.clock.now())
                     for minion in request.ids or _members(core.keys)}
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
            while {SILENT, OFFERED} & set(found.values()):
                _hear(await watch.next(), found)
    except TimeoutError:
        return


def _hear(event: Event, found: dict[MinionId, str]) -> None:
    if isinstance(event, KeyChanged) and found.get(event.minion) in (SILENT, OFFERED):
        found[event.minion] = event.state
    elif isinstance(event, MinionDown) and found.get(event.minion) == SILENT:
        found[event.minion] = AWAY


class Rekeying:
    """The verb `master.rotate`."""

    def __init__(self, shell: Shell, pki: MasterPki, bus: Bus, fatal: Callable[[str], None]) -> None:
        self._shell = shell
        self._pki = pki
        self._bus = bus
        self._fatal = fatal

    async def rotate(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Begin to replace the master's key, or go on; with `finish` change over. Raises UsageError, JrError."""
        request = checked(body, RekeyRequest)
        if request.finish:
            return await self._finish(force=request.force)
        with self._shell.watchers.watch(None) as watch:
            await self._shell.write(self._pki.prepare)
            self._shell.change_terms(next_key=self._pki.next_key)
            await self._confirmed(watch)
        return self._state(finished=False)

    async def _finish(self, *, force: bool) -> Body:
        if self._pki.next_key is None:
            raise UsageError("cannot finish: the master has no next key; begin with jr-key rotate-master")
        missing = self._shell.core.rotation.missing()
        if missing and not force:
            raise UsageError(f"cannot finish: the next key is not confirmed by {names(missing, NAMES)}; "
                             "wait for them, or say --force and give each a new join string")
        await self._shell.write(self._pki.take_up)
        self._change_over()
        return self._state(finished=True, missing=missing)

    def _change_over(self) -> None:
        """From the old key to the new one, without a pause in which anything else happens."""
        key = self._pki.pair.public
        self._shell.change_terms(master=fingerprint(key), key=key, next_key=None)
        try:
            self._bus.rekey()
        except JrError as error:
            self._fatal(str(error))
            raise
        self._shell.ways.rebind(self._bus.hub)

    async def _confirmed(self, watch: Watch) -> None:
        """Wait until all who are connected have confirmed, for as long as that is worth waiting for."""
        core = self._shell.core
        try:
            async with asyncio.timeout(CONFIRMING):
                while set(core.rotation.missing()) & set(core.fleet.up()):
                    await watch.next()
        except TimeoutError:
            return

    def _state(self, *, finished: bool, missing: list[MinionId] | None = None) -> Body:
        core = self._shell.core
        left = core.rotation.missing() if missing is None else missing
        key = self._pki.pair.public if finished else self._pki.next_key or self._pki.pair.public
        return {"fingerprint": fingerprint(key), "key": str(key), "finished": finished,
                "missing": [str(minion) for minion in left]}
