"""Drives the schedule engine on a minion: one timer, and a job of its own for every run that is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from common import clock
from common.codec import pack
from common.errors import JrError
from common.host.shell import HostShell
from common.ids import Jid, MinionId, mint
from common.messages import JobFields
from common.schedule.layers import Change
from common.schedule.model import Entry
from common.schedule.old_engine import Due, Engine
from common.schedule.periods import Period
from common.secrets import hide
from common.values import ArgumentsError

_log = logging.getLogger("jr.minion.schedule")

USER = "schedule"
"""The user of a job that nobody typed."""


class Scheduler:
    """Issues the jobs of this minion's entries, whether its master is there or not."""

    def __init__(self, entries: Mapping[str, Entry], minion: MinionId, grace: float) -> None:
        self._engine = Engine(entries, clock.wall(), clock.local_zone())
        self._minion = minion
        self._grace = grace
        self._last: Jid | None = None
        self._runs: dict[Jid, str] = {}
        self._hands: HostShell | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, hands: HostShell) -> None:
        """Begin to issue jobs."""
        self._hands = hands
        self._arm()

    def close(self) -> None:
        """Issue nothing any more; what runs goes on."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    async def load(self, entries: Mapping[str, Entry], periods: Mapping[str, Period]) -> None:
        """These are the entries from now on; those that did not change keep their state."""
        self._engine.load(entries, clock.wall())
        if self._timer is not None:
            self._timer.cancel()
        self._arm()

    async def keep(self, changes: Sequence[Change]) -> None:
        """Keep what was changed at run time."""
        raise JrError("cannot keep changes of the schedule: edit its files")

    def adopted(self, jid: Jid, name: str) -> None:
        """A run of an earlier start of the agent goes on: the next one waits for it."""
        self._runs[jid] = name
        self._engine.running(name)

    def ended(self, jid: Jid) -> None:
        """A job of this host ended; if it was a run of an entry, the next one may start."""
        name = self._runs.pop(jid, None)
        if name is not None:
            self._engine.ended(name)

    def describe(self) -> list[dict[str, Any]]:
        """Every entry, with its next run."""
        return self._engine.describe()

    def _arm(self) -> None:
        wait = self._engine.wait(clock.wall())
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        for due in self._engine.due(clock.wall()):
            self._engine.running(due.name)
            task = asyncio.get_running_loop().create_task(self._begin(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._arm()

    async def _begin(self, due: Due) -> None:
        entry = self._engine.entry(due.name)
        jid = self._last = mint(clock.wall(), self._last, self._minion)
        clear = JobFields(function=entry.function, args=Raw(pack(entry.args)), kwargs=Raw(pack(entry.kwargs)),
                          user=USER, schedule=due.name, timeout=entry.timeout, grace=self._grace,
                          metadata=entry.metadata)
        self._runs[jid] = due.name
        try:
            if self._hands is not None:
                fields, secrets = hide(clear, marked=entry.secret)
                await self._hands.desk.run(jid, fields, secrets)
        except JrError as error:
            del self._runs[jid]
            self._engine.ended(due.name)
            # Whoever reads the log is not meant to read what entries give their functions.
            reason = error.plain if isinstance(error, ArgumentsError) else error
            _log.error("cannot run %s: %s", due.name, reason, extra={"action": "schedule.failed", "jid": jid})
