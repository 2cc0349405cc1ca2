"""What inline functions see of the agent they run in: `common.functions.Agent`, made real."""

from __future__ import annotations

from typing import Any

from common.choices import How
from common.functions import StopAnswer, Table
from common.host.core import Host
from common.host.desk import now
from common.host.shell import HostShell
from common.ids import Jid, MinionId
from common.proc.loader import Loaded
from common.proc.record import JobRecord
from common.schedule.ahead.known import Known
from common.schedule.desk import Desk
from common.version import VERSION
from config.settings import MinionSettings
from minion.core.agent import Agent as Core
from minion.scheduler import Scheduler


class Handle:
    """One agent, as its own functions may use it."""

    hands: HostShell

    def __init__(self, settings: MinionSettings, host: Host, core: Core, scheduler: Scheduler, facts: dict[str, Any],
                 loaded: Loaded) -> None:
        self._settings = settings
        self._host = host
        self._core = core
        self._scheduler = scheduler
        self._facts = facts
        self._loaded = loaded
        self._spawned: Table | None = None
        self._table: Table = {}

    @property
    def id(self) -> MinionId:
        """See `Agent`."""
        return self._settings.id

    async def jobs(self) -> list[JobRecord]:
        """See `Agent`: the proc directory is the truth, whatever memory holds."""
        records, _ = await self.hands.queue.disk(self.hands.folders.open_jobs)
        return records

    async def stop(self, jid: Jid, how: How, signal: int, grace: float | None, by: str) -> StopAnswer:
        """See `Agent`."""
        return await self.hands.desk.stop(jid, how, signal, self._settings.grace if grace is None else grace, by)

    def functions(self) -> Table:
        """See `Agent`."""
        # Asked for each job; the spawner's table is another one only when the spawner is.
        spawned = self.hands.executor.table
        if spawned is not self._spawned:
            self._spawned, self._table = spawned, {**spawned, **self._loaded.table}
        return self._table

    @property
    def schedule(self) -> Desk:
        """See `Agent`."""
        return self._scheduler.desk

    def known(self) -> Known:
        """See `Agent`."""
        return self._scheduler.known()

    def status(self) -> dict[str, Any]:
        """See `Agent`."""
        at = now()
        load = self._core.burden(at)
        return {"id": str(self._settings.id), "version": VERSION, "connection": str(self._core.stage.value),
                "why": self._core.why, "containment": self.hands.executor.containment,
                "broken": self.hands.executor.broken, "disk": self.hands.queue.short or "ok",
                **self._host.held.figures(), "schedule_problems": len(self._scheduler.problems),
                "max_jobs": self._settings.max_jobs, "oldest_unacked": load.oldest, "clock_offset": load.clock_offset,
                "clock_offset_uncertain": load.uncertain, "start": self._core.start,
                "connection_age": None if self._core.since is None else at.boot - self._core.since}

    def facts(self) -> dict[str, Any]:
        """See `Agent`."""
        return self._facts
