"""What became of each planned run in a simulated world: what journals and the master say of it, and what must hold.

The promise is that of DESIGN for schedules: each planned time has exactly one verdict, on its minion and on the master,
and none begins two jobs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from common.ids import Jid, MinionId
from common.packed import unpacked
from common.schedule.model import BEGUN, Entry, Key, Occurrence, Standing, Step
from common.states import TERMINAL
from master.records import PutOccurrences
from master.store.base import Mark
from master.store.filters import RunFilter
from tests.sim.machine import EPOCH

if TYPE_CHECKING:
    from tests.sim.minion import SimMinion
    from tests.sim.world import World

PAGE = 500
NEAR = 0.002
"""Seconds within which two planned times are one: milliseconds are made up, microseconds are turns of the clock."""
OVERDUE = 10.0
"""Seconds behind its planned time at which a run must have its verdict or wait, when nothing is in the way."""
Run = tuple[MinionId, Key]


class Row(Struct):
    """The planned times of an entry that come at even distances."""

    tag: tuple[float, ...]
    """Another one when the row began anew, or has other names."""
    reached: float | None
    """The last planned time that has its verdict or waits for it."""


class Verdicts:
    """All planned runs of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.given: dict[Run, Occurrence] = {}
        """As the journals have it."""
        self.runs: dict[Jid, Run] = {}
        self.started: dict[Run, Jid] = {}
        self._ever: set[tuple[MinionId, Occurrence]] = set()
        self._rows: defaultdict[MinionId, dict[str, Row]] = defaultdict(dict)
        self._waiting: dict[tuple[MinionId, str], set[Key]] = {}

    # on the minion

    def decides(self, minion: SimMinion, step: Step) -> None:
        """A step is in the journal."""
        for one in step.occurrences:
            self._gives(minion, one)
        entries = minion.files.entries
        for standing in step.standings:
            if standing.name in entries:
                self._follow(minion, entries[standing.name], standing, step.occurrences)
            waiting = {Key(standing.name, one.planned, one.attempt) for one in standing.waiting}
            self._wait(minion, standing.name, waiting)
        for name in step.dropped:
            self._wait(minion, name, set())
            self._rows[minion.id].pop(name, None)

    def _gives(self, minion: SimMinion, one: Occurrence) -> None:
        run = (minion.id, one.key)
        before = self.given.get(run)
        corrects = (before is not None and before.verdict in BEGUN and one.verdict == "failed_to_start"
                    and before.jid == one.jid)
        self._must(before is None or corrects, run, f"has two verdicts: {before} and {one}")
        began = one.jid is not None and (one.jid, minion.id) in self._world.truth.starts
        self._must(one.verdict in BEGUN or not began, run, f"is {one.verdict}, and ran")
        self._must(one.verdict not in BEGUN or one.jid is not None, run, f"is {one.verdict}, and has no job")
        self._ever.add((minion.id, one))
        self.given[run] = one
        if one.jid is not None:
            self._must(self.runs.setdefault(one.jid, run) == run, run, f"has the jid of {self.runs[one.jid]}")
            self._world.names[one.jid] = told(run)
        stretch = "" if one.last is None else f" to {round(one.last - EPOCH, 3):.10g} ({one.count})"
        self._world.say(f"{told(run)}{stretch} {one.verdict}" + (f": {one.reason}" if one.reason else ""))

    def _wait(self, minion: SimMinion, name: str, waiting: set[Key]) -> None:
        """What waited, and does no more, has its verdict."""
        for key in self._waiting.get((minion.id, name), set()) - waiting:
            self._must((minion.id, key) in self.given, (minion.id, key), "waited, and is forgotten")
        self._waiting[minion.id, name] = waiting

    def _follow(self, minion: SimMinion, entry: Entry, standing: Standing, given: Iterable[Occurrence]) -> None:
        """No planned time between two others is passed over."""
        every = period(entry)
        if every is None:
            return
        rows = self._rows[minion.id]
        row = rows.get(entry.name)
        if on_wall(entry):
            tag: tuple[float, ...] = (standing.turn,)
            if row is None or row.tag != tag:
                rows[entry.name] = Row(tag, _before(entry, every, standing.decided))
                return
        else:
            tag = (standing.lap, minion.machine.wall_ahead)
            if row is None or row.tag != tag:  # what comes with it was decided by the clock as it was
                rows[entry.name] = Row(tag, None)
                return
        if row.reached is None:
            row.reached = None if standing.planned is None else standing.planned - every
            return
        # What waited before has its name from then, which after a step of the clock is none of this row.
        waited = self._waiting.get((minion.id, entry.name), set())
        times = [(one.planned, one.planned if one.last is None else one.last) for one in given
                 if one.schedule == entry.name and one.cause == "plan" and not one.attempt and one.key not in waited]
        times += [(one.planned, one.planned) for one in standing.waiting if one.cause == "plan" and not one.attempt
                  and Key(entry.name, one.planned) not in waited]
        for first, last in sorted(times):
            if first > row.reached + NEAR:
                run = (minion.id, Key(entry.name, first))
                self._must(abs(first - row.reached - every) < NEAR, run, f"comes after {row.reached - EPOCH:g}")
                row.reached = last

    def begins(self, minion: SimMinion, jid: Jid) -> None:
        """The job of a run is asked for."""
        run = self.runs.get(jid)
        if run is None or run[0] != minion.id:
            self._world.fail(f"{minion.id} begins {jid}, which is in no journal")
        else:
            self._must(self.given[run].verdict in BEGUN, run, f"begins, and is {self.given[run].verdict}")

    def starts(self, jid: Jid) -> None:
        """Its payload is let go."""
        run = self.runs.get(jid)
        if run is not None:
            self._must(self.given[run].verdict in BEGUN, run, f"starts, and is {self.given[run].verdict}")
            self._must(self.started.setdefault(run, jid) == jid, run, f"starts two jobs: {self.started[run]}, {jid}")

    # on the master

    def stores(self, change: PutOccurrences) -> None:
        """The master makes verdicts durable."""
        for one in change.items:
            self._must((change.minion, one) in self._ever, (change.minion, one.key), f"is stored as {one.verdict}")

    def noted(self, minion: SimMinion, bodies: Iterable[bytes]) -> None:
        """A minion hears that the master has these: it does."""
        for body in bodies:
            one = unpacked(body, Occurrence)
            run = (minion.id, one.key)
            stored = self._world.master.store._runs._rows.get(run)
            self._must(stored is not None and stored.occurrence == one, run, "is noted, and not stored")

    # when all is quiet

    def check_reached(self, minion: SimMinion) -> None:
        """Everything planned up to now was dealt with."""
        for name, row in self._rows[minion.id].items():
            entry = minion.files.entries[name]
            every = period(entry)
            if row.reached is not None and every is not None:
                behind = minion.now().wall - row.reached - every - entry.splay
                self._must(behind < OVERDUE, (minion.id, Key(name, row.reached + every)), f"is {behind:g} s overdue")

    def check_told(self) -> None:
        """Both sides say the same, and what ran has an end."""
        stored = self._stored()
        for run in self.given.keys() | stored.keys():
            mine, theirs = self.given.get(run), stored.get(run)
            self._must(mine == theirs, run, f"is {mine} in the journal, and {theirs} on the master")
        for run, one in self.given.items():
            if one.verdict in BEGUN and one.jid is not None:
                state = self._world.truth.pairs.get((one.jid, run[0]))
                self._must(state in TERMINAL, run, f"is {one.verdict}, and its job is {state}")

    def _stored(self) -> dict[Run, Occurrence]:
        """All that the master lists."""
        found: dict[Run, Occurrence] = {}
        mark: Mark | None = None
        while True:
            page = self._world.master.store.runs(RunFilter(), PAGE, mark)
            found |= {(run.minion, run.occurrence.key): run.occurrence for run in page.runs}
            mark = page.next
            if mark is None:
                return found

    def _must(self, holds: bool, run: Run, what: str) -> None:
        if not holds:
            self._world.fail(f"schedule: {told(run)} {what}")


def told(run: Run) -> str:
    """What the transcript calls a planned run."""
    minion, key = run
    return f"{minion}/{key.schedule}@{round(key.planned - EPOCH, 3):.10g}" + (f"#{key.attempt}" if key.attempt else "")


def on_wall(entry: Entry) -> bool:
    """Whether its times are those of the clock on the wall."""
    return entry.cron is not None or entry.anchor is not None


def period(entry: Entry) -> float | None:
    """Seconds between two planned times, where it is always as many: of an interval, and of `*/N * * * *`."""
    if entry.cron is not None:
        return float(entry.cron.split()[0].removeprefix("*/")) * 60
    return entry.every if entry.base != "end" else None


def _before(entry: Entry, every: float, time: float | None) -> float | None:
    """The last planned time up to one."""
    if time is None:
        return None
    first = 0.0 if entry.anchor is None else datetime.fromisoformat(entry.anchor).timestamp()
    return first + (time - first) // every * every
