"""jr-minion: the line to the master, the host that runs jobs, schedules, the local control socket; decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path

from common.aio import cancelled, guarded
from common.ballast import Ballast
from common.control_server import ControlServer
from common.daemon import Daemon
from common.errors import JrError
from common.files import ROOM, FolderLock, private_folder
from common.host.queue import ROOM_AGAIN
from common.host.writer import BALLAST, BALLAST_FILE
from common.log import limited
from common.wear import Wear
from config.load import Source
from config.paths import Paths
from config.settings import MinionSettings
from config.shelf import shelf_of
from minion.assembly import assemble
from minion.calls import Calls
from minion.core.keychain import Keychain
from minion.link import Link
from minion.pki import Pki
from minion.scheduler import Surroundings
from minion.starts import Starts
from minion.where import Where, where


class MinionDaemon(Daemon):
    """One minion's agent."""

    def __init__(self, settings: MinionSettings, paths: Paths, source: Source) -> None:
        """`source` is where the schedule comes from."""
        super().__init__("minion", Wear(max_memory=settings.max_memory, max_age=settings.max_age))
        self._settings = settings
        self._paths = paths
        self._source = source

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self._settings
        state = private_folder(self._paths.minion_state)
        lock = FolderLock(state)
        stack.callback(lock.release)
        pki = Pki(state)
        master = where(settings, state)
        starts = Starts(state)
        link = Link(master, pki, starts, self.fatal)
        token = None if master is None else master.token
        parts = assemble(settings, state, await self._count_start(state, starts), token, link, _keychain(pki, master),
                         shelf_of(self._source))
        stack.push_async_callback(parts.hands.close)
        link.open(parts)
        stack.callback(link.close)
        await parts.hands.open()
        keeping = guarded(partial(parts.hands.keep_house, settings.keep_jobs), "the removal of old output", self.fatal)
        stack.push_async_callback(cancelled, keeping)
        server = ControlServer(self._paths.minion_socket, Calls(settings.id, parts.hands, settings.grace).handle)
        await server.open()
        stack.push_async_callback(server.close)
        link.start()
        stack.push_async_callback(parts.scheduler.close)
        await parts.scheduler.open(Surroundings(parts.hands, parts.host.held, parts.asker, link.send, self.fatal))
        self.hung_up = parts.scheduler.reload

    async def _count_start(self, state: Path, starts: Starts) -> int:
        """See `Starts.count`; on a full disk it takes what is set aside, or waits for room. Raises JrError."""
        ballast = Ballast(state / BALLAST_FILE, BALLAST)
        while True:
            try:
                return starts.count()
            except JrError as error:
                if not (isinstance(error.__cause__, OSError) and error.__cause__.errno in ROOM):
                    raise
                limited(self._log, "start").error("%s; waiting for room", error, extra={"action": "disk.short"})
            if not ballast.release():
                await asyncio.sleep(ROOM_AGAIN)


def _keychain(pki: Pki, master: Where | None) -> Keychain | None:
    """The keys to begin with; None when there is nobody to connect to. Raises UsageError."""
    if master is None:
        return None
    return Keychain(pki.own.public, None if pki.spare is None else pki.spare.public, pki.masters(master.keys))
