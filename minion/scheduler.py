"""The schedule of a minion: its files, its journal, its jobs and its master put together. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from common import clock
from common.aio import cancelled, guarded
from common.errors import JrError
from common.host.jobs import Jobs
from common.host.shell import HostShell
from common.ids import Jid
from common.log import limited
from common.messages import Message, Return
from common.schedule.ahead.known import Known
from common.schedule.desk import Desk
from common.schedule.driver import Scheduler as Driver
from common.schedule.driver import moment
from common.schedule.engine.engine import Engine
from common.schedule.entries.layers import Change
from common.schedule.model import Step
from common.schedule.writing import ROOM_AGAIN
from common.states import State
from config.settings import MinionSettings
from config.shelf import Shelf
from minion.asking import Asker
from minion.courier import Courier
from minion.journal import LEAST, Journal
from minion.runs import Runs

_log = logging.getLogger("jr.minion.schedule")

TIDY = 600.0
"""Seconds between two looks at which verdicts have grown old."""


class Surroundings(NamedTuple):
    """What a schedule needs of its agent."""

    hands: HostShell
    held: Jobs
    asker: Asker
    send: Callable[[Message], None]
    """Says something to the master, if it is there."""
    fatal: Callable[[str], None]


class Opened(NamedTuple):
    """A schedule at work."""

    driver: Driver
    desk: Desk


class Scheduler:
    """Issues the jobs of this minion's entries, whether its master is there or not, and tells the master of each."""

    def __init__(self, settings: MinionSettings, journal: Journal, shelf: Shelf | None) -> None:
        """`shelf` has the entries; without it there are none, and `open` is never called."""
        self._settings = settings
        self._shelf = shelf
        self._zone = clock.local_zone()
        self._journal = journal
        self._runs = Runs(settings, self._journal, self._more)
        self._courier: Courier | None = None
        self._connected = False
        self._opened: Opened | None = None
        self._early: dict[Jid, State] = {}
        """Runs that ended before the schedule was at work."""
        self._tasks: list[asyncio.Task[None]] = []
        self._why = "no agent runs on this host"

    # the daemon's

    async def open(self, around: Surroundings) -> None:
        """Begin to issue jobs: now, or as soon as the journal can be used."""
        self._courier = Courier(partial(self._runs.disk, self._journal.page), self._journal.noted, around.send)
        self._courier.open()
        if self._connected:
            self._courier.connected()
        if not await self._try(around):
            self._tasks.append(guarded(partial(self._try_again, around), "the start of the schedule", around.fatal))
        self._tasks.append(guarded(self._keep_house, "the removal of old verdicts", around.fatal))

    async def close(self) -> None:
        """Issue nothing any more; what runs goes on."""
        for task in self._tasks:
            await cancelled(task)
        if self._opened is not None:
            await self._opened.driver.close()
        if self._courier is not None:
            await self._courier.close()
        await self._runs.close()

    def ended(self, message: Return) -> None:
        """A job of this host ended; perhaps it was a run."""
        if message.job.schedule is None or not message.jid.suffix:
            return  # the master may have a schedule too
        if self._opened is None:
            self._early[message.jid] = message.state
        else:
            self._opened.driver.ended(message.jid, message.state)

    def reload(self) -> None:
        """Read the files now: SIGHUP."""
        if self._shelf is not None:
            self._shelf.reload_soon()

    @property
    def problems(self) -> list[str]:
        """What the files say that cannot be used, a line each."""
        return [] if self._shelf is None else self._shelf.problems

    # what the link tells

    def connected(self) -> None:
        """The master is there."""
        self._connected = True
        if self._courier is not None:
            self._courier.connected()

    def disconnected(self) -> None:
        """It is not."""
        self._connected = False
        if self._courier is not None:
            self._courier.disconnected()

    def noted(self, place: int) -> None:
        """It has the verdicts up to this place of the journal."""
        if self._courier is not None:
            self._courier.noted(place)

    @property
    def desk(self) -> Desk:
        """For those who ask and change. Raises JrError that says why nobody can for now."""
        if self._opened is None:
            raise JrError(f"cannot use the schedule: {self._why}")
        return self._opened.desk

    def known(self) -> Known:
        """What names of entries and periods mean, by what is at work or, with no agent, by what the files say."""
        if self._shelf is None:
            return Known({}, {}, self._zone)
        broken = {name: line for name, line in self._shelf.told if name}
        return Known(self._shelf.entries, self._shelf.periods, self._zone, self._shelf.written, broken)

    # inside

    async def _try(self, around: Surroundings) -> bool:
        try:
            await self._begin(around)
        except JrError as error:
            self._why = str(error)
            limited(_log, "open").error("cannot open the schedule, and try again: %s", error,
                                        extra={"action": "schedule.short"})
            return False
        return True

    async def _try_again(self, around: Surroundings) -> None:
        while True:
            await asyncio.sleep(ROOM_AGAIN)
            if await self._try(around):
                return

    async def _begin(self, around: Surroundings) -> None:
        kept = await self._runs.disk(self._journal.load)
        shelf = self._shelf
        assert shelf is not None
        shelf.book.take(kept.changes)
        self._runs.open(around.hands, around.held, around.asker, kept.last)
        left = self._runs.left(kept.unended, self._early)
        again = await self._runs.settle(left, shelf.entries, shelf.broken, Step(hold=kept.hold))
        engine = Engine(str(self._settings.id), self._zone, self._runs.mint, kept.standings, kept.hold, moment())
        driver = Driver(engine, self._runs)
        driver.open(shelf.entries, shelf.periods, left.running, again, broken=shelf.broken, fatal=around.fatal)
        self._opened = Opened(driver, Desk(shelf, engine, driver))
        for jid, state in {**left.ended, **self._early}.items():
            driver.ended(jid, state)
        self._early.clear()
        around.hands.noted(self._runs.others(left))
        self._tasks.append(shelf.open(self._keep, driver.load, around.fatal))

    async def _keep(self, changes: Sequence[Change]) -> None:
        """Make changes durable. Raises JrError."""
        if self._opened is not None:
            self._opened.driver.check()
        try:
            await self._runs.disk(partial(self._journal.change, changes))
        except JrError as error:
            raise JrError(f"cannot keep the change of the schedule: {error}") from error

    async def _keep_house(self) -> None:
        while True:
            keep = self._settings.keep_jobs
            try:
                await self._runs.disk(partial(self._journal.tidy, clock.wall() - max(keep, LEAST) if keep else 0.0))
            except JrError as error:
                limited(_log, "tidy").error("cannot remove old verdicts, and try again later: %s", error,
                                            extra={"action": "journal.untidy"})
            await asyncio.sleep(TIDY)

    def _more(self) -> None:
        if self._courier is not None:
            self._courier.more()
