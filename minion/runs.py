"""A minion's hands for its scheduler: the journal, jobs of this host, and the questions of `should_run`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from msgspec import Raw, structs

from common import clock
from common.codec import pack
from common.errors import JrError
from common.host.jobs import Jobs
from common.host.shell import HostShell
from common.ids import Jid, mint
from common.log import limited
from common.messages import JobFields
from common.schedule.engine import splay
from common.schedule.model import Begin, Entry, Occurrence, Step
from common.schedule.writing import start_within
from common.secrets import hide
from common.states import TERMINAL, State
from config.settings import MinionSettings
from minion.asking import Asker
from minion.journal import Journal, Unended

T = TypeVar("T")
_log = logging.getLogger("jr.minion.schedule")

USER = "schedule"
"""The user of a job that nobody typed."""


class Left(NamedTuple):
    """What became of the runs that an earlier start of the agent left."""

    running: list[Occurrence]
    ended: dict[Jid, State]
    """Of those that run no more; they count as running until that is told. One whose return is gone is lost: a return
    stays until the journal has the end, so it was damaged, or somebody took it away, and nobody saw how it ended."""
    unbegun: list[Occurrence]


class Runs:
    """See `common.schedule.driver.Hands`."""

    def __init__(self, settings: MinionSettings, journal: Journal, changed: Callable[[], None]) -> None:
        """`changed` is told when there are new verdicts in the journal."""
        self._minion = settings.id
        self._grace = settings.grace
        self._timeout = settings.schedule_timeout or None
        self._journal = journal
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, "journal")
        self._begun: list[Jid] = []
        self._last: Jid | None = None
        self._hands: HostShell | None = None
        self._held: Jobs | None = None
        self._asker: Asker | None = None

    def open(self, hands: HostShell, held: Jobs, asker: Asker, last: Jid | None) -> None:
        """Where jobs run, and what is held of them; `last` is the greatest jid of a run so far."""
        self._hands = hands
        self._held = held
        self._asker = asker
        self._last = last

    async def close(self) -> None:
        """Let go of the journal."""
        await self.disk(self._journal.close)
        self._thread.shutdown()

    def mint(self, at: float) -> Jid:
        """A jid for a run: no other job of this host has it."""
        self._last = mint(at, self._last, self._minion)
        return self._last

    async def disk(self, call: Callable[[], T]) -> T:
        """Do something with the journal, on its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # see `Hands`

    async def commit(self, step: Step, begins: Sequence[Begin]) -> None:
        """See `Hands`. On a full disk nothing is decided, though the journal may have room left: its jobs have none."""
        if self._shell.queue.short is not None and begins:
            raise JrError(self._shell.queue.short)
        begun, self._begun = self._begun, []
        try:
            await self.disk(partial(self._journal.write, step, begun))
        except JrError:
            self._begun = begun + self._begun
            raise
        self._shell.noted(step.ended)
        if step.occurrences:
            self._changed()

    async def begin(self, begin: Begin) -> None:
        """See `Hands`."""
        entry, jid = begin.entry, begin.occurrence.jid
        within = start_within(begin, clock.wall())
        if jid is None or within <= 0:
            raise JrError("its time to start passed before it could start")
        timeout = self._timeout if entry.timeout is None else entry.timeout
        clear = JobFields(function=entry.function, args=Raw(pack(entry.args)), kwargs=Raw(pack(entry.kwargs)),
                          user=USER, schedule=entry.name, timeout=timeout, grace=self._grace,
                          metadata=entry.metadata, left_behind=entry.left_behind)
        fields, secrets = hide(clear, marked=entry.secret)
        await self._shell.desk.run(jid, fields, secrets, within)
        self._begun.append(jid)

    async def end(self, jid: Jid, reason: str) -> None:
        """See `Hands`."""
        await self._shell.desk.stop(jid, "kill", 9, self._grace, f"{USER}: {reason}"[:200])

    async def ask(self, entry: Entry) -> bool:
        """See `Hands`."""
        assert entry.should_run is not None  # the engine asks for no other
        assert self._asker is not None
        return await self._asker.ask(entry.should_run, self.mint(clock.wall()))

    # a start of the agent

    def left(self, unended: Iterable[Unended], ended: Mapping[Jid, State]) -> Left:
        """Sort the runs of which the engine does not know the end, by what the host holds of them.

        `ended` are ends that were told since the start of the agent; the host may hold nothing of them any more.
        """
        left = Left([], {}, [])
        assert self._held is not None
        unended = list(unended)
        held, seen = self._held.states(), self._held.seen
        left.running.extend(self._unknown({one.occurrence.jid for one in unended}))
        for occurrence, begun in unended:
            jid = occurrence.jid
            if jid is None:
                continue
            state = ended.get(jid) or held.get(jid)
            if state is not None:
                left.running.append(occurrence)
                if state in TERMINAL:
                    left.ended[jid] = state
            elif begun or seen(jid):
                limited(_log, f"lost {jid}").error(
                    "cannot tell how %s, a run of %s, ended: its return is gone; it is lost, and followed up as such",
                    jid, occurrence.schedule, extra={"action": "schedule.lost", "jid": jid})
                left.running.append(occurrence)
                left.ended[jid] = State.LOST
            else:
                left.unbegun.append(occurrence)
        return left

    def _unknown(self, known: Collection[Jid | None]) -> list[Occurrence]:
        """Runs that go on and stand in no journal: it was damaged, or an agent of an older version began them."""
        assert self._held is not None
        records = [job.record for job in self._held.jobs.values() if job.local and job.state not in TERMINAL]
        return [Occurrence(schedule=record.schedule, planned=record.accepted, verdict="ran", at=record.accepted,
                           jid=record.jid)
                for record in records if record.schedule is not None and record.jid not in known]

    async def settle(self, left: Left, entries: Mapping[str, Entry], broken: Container[str], held: Step) -> list[Begin]:
        """Put the runs whose entry is gone, or `broken`, before they began into the journal; those that are to begin.

        `held` carries the hold as it is. Raises JrError.
        """
        orphans = [structs.replace(one, verdict="failed_to_start", reason="the agent ended before it began, and its "
                                   f"entry {'cannot be used' if one.schedule in broken else 'is gone'}")
                   for one in left.unbegun if one.schedule not in entries]
        if orphans:
            await self.disk(partial(self._journal.write, structs.replace(held, occurrences=tuple(orphans))))
        return [self._again(entries[one.schedule], one) for one in left.unbegun if one.schedule in entries]

    def others(self, left: Left) -> list[Jid]:
        """Jobs of this host that are no runs, or whose end is in the journal already: nothing follows from it."""
        assert self._held is not None
        runs = {one.jid for one in left.running}
        return [jid for jid in self._held.unnoted if jid not in runs]

    def _again(self, entry: Entry, one: Occurrence) -> Begin:
        """The same decision once more; its deadline counts from when it was due, which only a plan tells."""
        if entry.start_deadline is None:
            return Begin(entry=entry, occurrence=one)
        planned = one.cause == "plan" and one.attempt == 0
        due = one.planned + splay.offset(str(self._minion), entry.name, entry.splay) if planned else one.at
        return Begin(entry=entry, occurrence=one, until=due + entry.start_deadline)

    @property
    def _shell(self) -> HostShell:
        assert self._hands is not None  # nothing is asked of it before it is open
        return self._hands
