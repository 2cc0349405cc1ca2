"""The schedule of a simulated minion: the real one, all of it, on a journal in memory and the clocks of its machine."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Raw

from common.errors import JrError
from common.host import effects as host_do
from common.host.desk import Desk
from common.ids import Jid
from common.messages import NO_SECRETS, JobFields, Return
from common.schedule.desk import Desk as Verbs
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import Filed, Files
from common.schedule.model import Entry, Step
from common.sequencer import Then
from config.schedules import Reading
from config.settings import MinionSettings
from config.shelf import Shelf
from minion.journal import _TABLES, Journal, JournalError, Kept
from minion.scheduler import Scheduler, Surroundings
from tests.sim.loop import Loop

if TYPE_CHECKING:
    from tests.sim.minion import SimMinion

_ALL = "SELECT seq, body FROM occurrence WHERE seq > ? AND seq <= ?"
_parse = partial(parse_entry, zone=UTC)


class Entries:
    """The files of a schedule, and its journal: what its host keeps on disk. A `config.schedules.Reader` of itself."""

    wait = None
    """Whoever changes a file has the agent look at it: `SIGHUP`."""

    def __init__(self) -> None:
        self.written: Mapping[str, Mapping[str, Any]] = {}
        self.entries: dict[str, Entry] = {}
        """What they mean."""
        self.journal = sqlite3.connect(":memory:", isolation_level=None)
        self.is_new = True
        weakref.finalize(self, self.journal.close)

    def write(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        """Somebody edits the files. Raises UsageError."""
        self.entries = {name: _parse(name, fields) for name, fields in written.items()}
        self.written = written

    def read(self) -> Reading:
        """What the files say now."""
        entries = {name: Filed(fields, "a file") for name, fields in self.written.items()}
        return Reading(Files(entries, {}, ()), {}, (), ())

    look = read


class SimJournal(Journal):
    """The journal, its file in memory: what was committed survives all but the host, and a full disk takes nothing."""

    def __init__(self, minion: SimMinion, files: Entries) -> None:
        super().__init__(Path("/none"))
        self._minion = minion
        self._files = files
        self._verdicts = minion.world.truth.verdicts

    def load(self) -> Kept:
        return self._load()

    def write(self, step: Step, begun: Iterable[Jid] = ()) -> None:
        minion = self._minion
        if minion.machine.refuses():
            raise JournalError("No space left on device")
        if minion.fail_commits:
            minion.fail_commits -= 1
            raise JournalError("disk I/O error")
        super().write(step, begun)
        self._verdicts.decides(minion, step)

    def noted(self, place: int) -> None:
        self._verdicts.noted(self._minion, self.after(self._noted, place))
        super().noted(place)

    def after(self, place: int, last: int) -> list[bytes]:
        """The verdicts behind one place, up to another one, packed."""
        return [body for _, body in self._files.journal.execute(_ALL, (place, last))]

    def close(self) -> None:
        self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._files.journal
            if self._files.is_new:
                self._files.is_new = False
                self._connection.executescript(_TABLES)
        return self._connection


class _Desk(Desk):
    """Where the jobs of runs begin; what begins is looked at."""

    minion: SimMinion

    async def run(self, jid: Jid, fields: JobFields, secrets: Raw = NO_SECRETS, within: float = 0.0) -> Any:
        self.minion.world.truth.verdicts.begins(self.minion, jid)
        self.minion.world.truth.begins(jid, self.minion, within)
        return await super().run(jid, fields, secrets, within)


class Hands:
    """As much of a `HostShell` as a schedule asks for."""

    def __init__(self, minion: SimMinion, loop: Loop) -> None:
        assert minion.host is not None
        self._minion = minion
        self._host = minion.host
        self._loop = loop
        self.desk = _Desk(self._host, self._committed)
        self.desk.minion = minion
        self.queue = self

    @property
    def short(self) -> str | None:
        """Why nothing can be written for now."""
        return "No space left on device" if self._minion.is_short else None

    def noted(self, jids: Iterable[Jid]) -> None:
        """See `HostShell`."""
        self._submit(self._host.noted(jids))

    async def _committed(self, effects: Sequence[Any]) -> None:
        waiter: Any = self._loop.create_future()
        self._submit([*effects, Then(waiter, host_do.about(effects[0]) if effects else None)])
        await waiter

    def _submit(self, effects: Sequence[Any]) -> None:
        if self._minion.host is self._host:  # else its process has died
            self._minion.submit(effects)


class Schedule:
    """The schedule of one life of an agent."""

    def __init__(self, minion: SimMinion, files: Entries) -> None:
        machine = minion.machine
        self._minion = minion
        self._loop = Loop(minion, lambda: machine.now().wall, lambda: machine.now().boot)
        with self._loop.inside():
            self._shelf = Shelf(cast(Any, files), _parse)
            self.journal = SimJournal(minion, files)
            self._scheduler = Scheduler(MinionSettings(id=minion.id, keep_jobs=0.0), self.journal, self._shelf)
            self.hands = Hands(minion, self._loop)

    def open(self) -> None:
        """Begin: see `MinionDaemon`."""
        minion = self._minion
        assert minion.host is not None
        around = Surroundings(cast(Any, self.hands), minion.host.held, cast(Any, None), minion.say, self._fatal)
        self._loop.run(lambda: self._scheduler.open(around))

    def close(self) -> None:
        """Its process is gone."""
        self._loop.close()

    def read_files(self) -> None:
        """SIGHUP."""
        with self._loop.inside():
            self._scheduler.reload()

    def ended(self, message: Return) -> None:
        """A job of this host ended."""
        with self._loop.inside():
            self._scheduler.ended(message)

    def ask(self, verb: Callable[[Verbs], Coroutine[Any, Any, Any]]) -> None:
        """Somebody on this host, who lives with being refused, changes something."""
        async def asked() -> None:
            with contextlib.suppress(JrError):
                await verb(self._scheduler.desk)
        self._loop.run(asked)

    def connected(self, is_so: bool) -> None:
        """The master is there from now on, or not."""
        (self._scheduler.connected if is_so else self._scheduler.disconnected)()

    def noted(self, place: int) -> None:
        """The master has all verdicts up to there."""
        self._scheduler.noted(place)

    def _fatal(self, reason: str) -> None:
        self._loop.fault(reason, None)
