"""What inline functions see of the agent they run in: `common.functions.Agent`, made real."""

from __future__ import annotations

from typing import Any

from common.functions import How, StopAnswer, Table
from common.host.core import Host
from common.host.shell import HostShell
from common.ids import Jid, MinionId
from common.proc.loader import Loaded
from common.proc.record import JobRecord
from common.version import VERSION
from minion.core.agent import Agent as Core
from minion.scheduler import Scheduler


class Handle:
    """One agent, as its own functions may use it."""

    hands: HostShell

    def __init__(self, minion: MinionId, host: Host, core: Core, scheduler: Scheduler, facts: dict[str, Any],
                 loaded: Loaded) -> None:
        self._minion = minion
        self._host = host
        self._core = core
        self._scheduler = scheduler
        self._facts = facts
        self._loaded = loaded

    @property
    def id(self) -> MinionId:
        """See `Agent`."""
        return self._minion

    async def jobs(self) -> list[JobRecord]:
        """See `Agent`: the proc directory is the truth, whatever memory holds."""
        records, _ = await self.hands.disk(self.hands.folders.records)
        return records

    async def stop(self, jid: Jid, how: How, signal: int, grace: float, by: str) -> StopAnswer:
        """See `Agent`."""
        return await self.hands.desk.stop(jid, how, signal, grace, by)

    def functions(self) -> Table:
        """See `Agent`."""
        return {**self.hands.executor.table, **self._loaded.table}

    def schedules(self) -> list[dict[str, Any]]:
        """See `Agent`."""
        return self._scheduler.describe()

    def status(self) -> dict[str, Any]:
        """See `Agent`."""
        return {"id": str(self._minion), "version": VERSION, "connection": str(self._core.stage.value),
                "why": self._core.why, "containment": self.hands.executor.containment,
                "broken": self.hands.executor.broken, **self._host.figures()}

    def facts(self) -> dict[str, Any]:
        """See `Agent`."""
        return self._facts
