"""jr-master, put together: store, core, bus, control socket and the host for runner jobs; nothing is decided here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from msgspec import structs

from common import clock
from common.aio import cancelled, guarded
from common.asking import ask
from common.control_server import ControlServer
from common.daemon import Daemon
from common.errors import JrError, UsageError
from common.files import FolderLock, private_folder
from common.host.core import Host
from common.host.job import Limits
from common.host.planner import TablePlanner
from common.host.shell import HostShell
from common.ids import Jid
from common.join import Join, write_join
from common.keys import fingerprint
from common.link import Key
from common.log import limited
from common.proc.limits import most_jobs
from common.schedule.model import Check
from common.signatures import explained
from common.values import unknown
from common.version import VERSION
from common.wear import Wear
from config.load import Source
from config.paths import Paths
from config.settings import MasterSettings
from master.backing import keep_backups
from master.bus import Bus, MasterPki
from master.core.core import Terms
from master.core.retention import Retention
from master.endpoints import Doors
from master.local import Local
from master.requests import Defaults
from master.rotating import Rekeying
from master.schedules import at_work
from master.shell import Shell
from master.status import of_master
from master.store.backups import Backups
from master.verbs import Surroundings, Verbs

_log = logging.getLogger("jr.master")

PAIRS_KEPT = 30 * 86400.0
"""Seconds of the master's running time that a pair and its state stay, so that a late return is known (DESIGN 7)."""
HOUSEKEEPING = 60.0
"""Seconds between two looks at what has grown old."""
BATCH = 200
"""Pairs in one step of retention: a few milliseconds of the writer's time, so that no publish waits for long."""


class MasterDaemon(Daemon):
    """One master."""

    def __init__(self, settings: MasterSettings, paths: Paths, source: Source) -> None:
        """`source` is where the schedule comes from."""
        super().__init__("master", Wear(max_memory=settings.max_memory, max_age=settings.max_age))
        self._settings = settings
        self._paths = paths
        self._source = source

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        state = private_folder(self._paths.master_state)
        lock = FolderLock(state)
        stack.callback(lock.release)
        pki = MasterPki(state / "pki")
        backups = Backups(state / "jr.db", self._settings.backups)
        store = backups.open_store()
        stack.callback(store.close)
        settings = self._settings
        terms = Terms(master=fingerprint(pki.pair.public), key=pki.pair.public, next_key=pki.next_key,
                      return_limit=settings.return_limit,
                      lost_after=settings.lost_after, answer_grace=settings.answer_grace,
                      offline_grace=settings.offline_grace, key_overlap=settings.key_overlap)
        snapshot = store.snapshot()
        shell = Shell(store, snapshot, terms, clock.MasterClock(snapshot.latest), self.fatal)
        stack.push_async_callback(shell.close)
        local, hands = await stack.enter_async_context(self._host(shell))
        doors = Doors(shell)
        bus = Bus(settings, pki, doors, self.fatal)
        stack.callback(bus.close)
        shell.attach(bus.hub, local)
        local.restart()
        housekeeping = guarded(partial(self._keep_house, shell), "housekeeping", self.fatal)
        stack.push_async_callback(cancelled, housekeeping)
        if settings.backup_every:
            backing_up = guarded(partial(keep_backups, backups, settings.backup_every, shell.clock.now), "backups",
                                 self.fatal)
            stack.push_async_callback(cancelled, backing_up)
        rekeying = Rekeying(shell, pki, bus, self.fatal)
        around = self._surroundings(shell, hands, bus, pki)
        base = around.status
        schedules = await stack.enter_async_context(at_work(
            shell, self._source, around.defaults, around.runners, around.no_runner, self._asks, self.fatal))
        self.hung_up = schedules.shelf.reload_soon
        around = structs.replace(around, status=lambda: {**base(), "schedule_problems": len(schedules.shelf.problems)})
        verbs = Verbs(shell, around, {"master.rotate": rekeying.rotate, "schedule": schedules.verb})
        server = ControlServer(self._paths.master_socket, verbs.handle)
        await server.open()
        stack.push_async_callback(server.close)

    async def _asks(self, check: Check, jid: Jid) -> bool:
        """Ask a `should_run`: a custom runner, or a function of this host. Raises JrError."""
        # By name alone, for another process: nothing of a minion is loaded here.
        return await ask(check, jid, {"packages": ["minion.functions"], "dirs": list(self._settings.runner_dirs),
                                      "entry_points": "jr.runners"})

    @contextlib.asynccontextmanager
    async def _host(self, shell: Shell) -> AsyncIterator[tuple[Local, HostShell]]:
        """The host for runner jobs."""
        settings = self._settings
        config = {"packages": [], "dirs": list(settings.runner_dirs), "entry_points": "jr.runners",
                  "containment": settings.containment,
                  "given": {"master": ["runners.client", "connect", str(self._paths.master_socket)]}}
        host = Host(Limits(boot_id=clock.boot_id(), max_jobs=most_jobs(settings.max_jobs),
                           output_limit=settings.output_limit, return_limit=settings.return_limit,
                           left_behind=settings.left_behind),
                    TablePlanner(lambda: hands.executor.table, lambda: hands.executor.broken))
        local = Local(shell, host, self.fatal)
        hands = HostShell(host, self._paths.master_state, config, local, {}, None)
        local.hands = hands
        keeping = guarded(partial(hands.keep_house, settings.keep_jobs), "the removal of old output", self.fatal)
        try:
            await hands.open()
            yield local, hands
        finally:
            await cancelled(keeping)
            local.close()
            await hands.close()

    async def _keep_house(self, shell: Shell) -> None:
        """Let finished jobs grow old and go, in small steps between commits."""
        retention = Retention(self._settings.keep_jobs, PAIRS_KEPT)
        last = clock.boottime()
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            ran, last = clock.boottime() - last, clock.boottime()
            try:
                await shell.write(partial(shell.store.age, ran, shell.clock.now()))
                # One batch at a time: commits that wait go in between.
                while await shell.write(partial(shell.store.expire, *retention.limits(), BATCH)):
                    pass
            except JrError as error:
                limited(_log, "expire").error("%s", error, extra={"action": "expiry.failed"})

    def _surroundings(self, shell: Shell, hands: HostShell, bus: Bus, pki: MasterPki) -> Surroundings:
        settings, executor = self._settings, hands.executor
        database = self._paths.master_state / "jr.db"

        def join(token: str, address: str | None) -> str:
            host = address or (settings.bind if settings.bind not in _ANY else socket.getfqdn())
            if address is None and host.startswith("localhost") and settings.bind in _ANY:
                raise UsageError("cannot tell where minions reach this master: this host has no name but localhost; "
                                 "name its address with --address")
            return write_join(Join(master=host, port=bus.hub.port, enrol_port=bus.hub.enrol_port, key=pki.pair.public,
                                   next_key=pki.next_key, token=token))

        def status() -> dict[str, Any]:
            return {"version": VERSION, "master": fingerprint(pki.pair.public), "port": bus.hub.port,
                    "enrol_port": bus.hub.enrol_port,
                    "broken_runners": executor.broken, **of_master(shell, hands, bus.canary, database)}

        return Surroundings(
            defaults=Defaults(start_within=settings.start_within, grace=settings.grace,
                              schedule_timeout=settings.schedule_timeout, queue=settings.offline == "queue"),
            runners=lambda: executor.table, join=join,
            explain=lambda: explained(executor.table),
            no_runner=lambda name: unknown(name, executor.table, executor.broken, runner=True),
            keys=lambda: _own(pki),
            fingerprint=lambda key: fingerprint(Key(key)), status=status)


_ANY = frozenset({"0.0.0.0", "::", "*"})


def _own(pki: MasterPki) -> dict[str, str]:
    """The master's own keys, as the verb `keys` shows them."""
    found = {"key": str(pki.pair.public), "fingerprint": fingerprint(pki.pair.public)}
    if pki.next_key is not None:
        found |= {"next_key": str(pki.next_key), "next_fingerprint": fingerprint(pki.next_key)}
    return found
