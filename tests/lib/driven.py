"""A scheduler's engine under a clock that the test drives, with a journal that survives what the test kills."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar

from common.ids import Jid, mint
from common.schedule.engine.engine import Engine
from common.schedule.model import (
    BEGUN,
    Ask,
    Begin,
    Decision,
    End,
    Entry,
    Hold,
    Judge,
    Key,
    Moment,
    Occurrence,
    Standing,
)
from common.schedule.times.periods import Period
from common.states import State

T = TypeVar("T")
T0 = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
"""A Monday."""
BOOT = 1_000.0
HOUR = 3_600.0
DAY = 86_400.0
HOURLY = {"cron": "0 * * * *"}


def entry(name: str = "e", **fields: Any) -> Entry:
    """An entry that runs `test.ping`."""
    return Entry(name=name, function="test.ping", **fields)


def at(text: str) -> float:
    """Epoch seconds of an ISO time, UTC where it names no offset."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def at_once(slices: Generator[None, None, T]) -> T:
    """All of something that the engine does in parts."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: T = end.value
            return found


class Crashed(Exception):
    """The daemon died, as the test wanted it to."""


class Host:
    """A host: two clocks, a journal, and an engine that may be killed and started again.

    Jobs run for `job_seconds` and then succeed, where that is not None; else the test says when they end.
    """

    def __init__(
        self, *entries: Entry, wall: float = T0, zone: tzinfo = UTC, periods: dict[str, Period] | None = None,
        who: str = "web1", job_seconds: float | None = 0.0,
    ) -> None:
        self.wall, self.boot, self.zone, self.who = wall, BOOT, zone, who
        self.entries = {one.name: one for one in entries}
        self.broken: set[str] = set()
        """Entries that cannot be used for now."""
        self.periods = periods or {}
        self.job_seconds = job_seconds
        self.standings: dict[str, Standing] = {}
        self.hold: Hold | None = None
        self.ledger: dict[Key, Occurrence] = {}
        self.journal: list[Occurrence] = []
        """Everything that was committed, in order."""
        self.begun: list[Occurrence] = []
        """The jobs that began, in order."""
        self.asks: list[Key] = []
        self.kills: list[Jid] = []
        self.running: dict[Jid, tuple[Occurrence, float]] = {}
        """What runs, and when it began, by the boot clock."""
        self.over: dict[Jid, tuple[Occurrence, State]] = {}
        """What ended, and no committed step says that the engine was told."""
        self.crash = ""
        """Where the daemon dies next: `decided`, before the commit, or `committed`, before any job begins."""
        self.answer: Callable[[Key], bool | None] = lambda key: True
        """What `should_run` says; None: nothing yet."""
        self._jid: Jid | None = None
        self.engine: Engine
        self.start()

    @property
    def now(self) -> Moment:
        return Moment(self.wall, self.boot)

    def start(self) -> None:
        """The daemon starts, with what the journal holds; jobs go on without it, and what it had not begun begins."""
        self.engine = Engine(self.who, self.zone, self._mint, self.standings, self.hold, self.now)
        seen = {one.jid for one in self.begun}
        again = [one for one in self.ledger.values() if one.verdict in BEGUN and one.jid not in seen]
        running = [one for one, _ in self.running.values()]
        for occurrence in [*running, *again, *(one for one, _ in self.over.values())]:
            self.engine.adopt(occurrence)
        self.do(at_once(self.engine.load(self.entries, self.periods, self.now, self.broken)))
        for occurrence in again:
            self.begin(occurrence)
        for jid, (_, state) in tuple(self.over.items()):
            self.do(self.engine.ended(jid, state, self.now), ended=jid)

    def load(self, *entries: Entry, broken: Iterable[str] = ()) -> None:
        """These are the entries from now on, but for those that cannot be used."""
        self.entries, self.broken = {one.name: one for one in entries}, set(broken)
        self.do(at_once(self.engine.load(self.entries, self.periods, self.now, self.broken)))

    def away(self, seconds: float) -> None:
        """The daemon is down so long, or the host is, and starts again."""
        self.move(seconds)
        self.start()

    def set_clock(self, by: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += by

    def move(self, seconds: float) -> None:
        """Time passes, and nobody asks the engine."""
        self.wall += seconds
        self.boot += seconds

    def stall(self, seconds: float) -> None:
        """The daemon is busy so long, and then asks."""
        self.move(seconds)
        self.tick()

    def tick(self) -> None:
        """Ask what is due, and do it."""
        self.do(self.engine.due(self.now))

    def pass_time(self, seconds: float) -> None:
        """Time passes, and the engine is asked when it wants to be."""
        end = self.boot + seconds
        while True:
            wait = self.engine.wait(self.now)
            ends = [begun + self.job_seconds for _, begun in self.running.values()] if self.job_seconds else []
            next_boot = min([*([self.boot + wait] if wait is not None else []), *ends], default=None)
            if next_boot is None or next_boot > end:
                break
            self.move(max(0.0, next_boot - self.boot))
            self._end_jobs()
            self.tick()
        self.move(end - self.boot)

    def do(self, decisions: Iterable[Decision], ended: Jid | None = None) -> list[Decision]:
        """Commit and carry out, as the driver does."""
        decisions = list(decisions)
        self._die_if("decided")
        self.commit(decisions)
        if ended is not None:
            del self.over[ended]
        self._die_if("committed")
        for decision in decisions:
            match decision:
                case Begin():
                    assert decision.until is None or decision.occurrence.at <= decision.until
                    self.begin(decision.occurrence)
                case Ask():
                    self.asks.append(decision.key)
                    answer = self.answer(decision.key)
                    if answer is not None:
                        self.do(self.engine.answered(decision.key, answer, self.now))
                case End():
                    self.kills.append(decision.jid)
        return decisions

    def commit(self, decisions: Iterable[Decision]) -> None:
        """What the journal does: everything, in one piece. A key has one verdict, but that a run failed to start."""
        for decision in decisions:
            if not isinstance(decision, Begin | Judge):
                continue
            one = decision.occurrence
            before = self.ledger.get(one.key)
            corrected = before is not None and one.verdict == "failed_to_start" and before.jid == one.jid
            assert before is None or corrected, f"two verdicts: {before} and {one}"
            self.ledger[one.key] = one
            self.journal.append(one)
        standings, dropped = at_once(self.engine.changed())
        self.standings |= {standing.name: standing for standing in standings}
        for name in dropped:
            self.standings.pop(name, None)
        self.hold = self.engine.held

    def begin(self, occurrence: Occurrence) -> None:
        """A job begins."""
        assert occurrence.jid is not None
        others = [one for one, _ in self.running.values() if one.schedule == occurrence.schedule]
        most = self.entries.get(occurrence.schedule, entry())
        assert len(others) < (most.allow if most.overlap == "allow" else 1), f"{occurrence} beside {others}"
        self.begun.append(occurrence)
        self.running[occurrence.jid] = (occurrence, self.boot)
        if self.job_seconds == 0.0:
            self.end(occurrence.jid)

    def end(self, jid: Jid | None = None, state: State = State.SUCCEEDED) -> None:
        """A job ends; by default the one that runs."""
        jid = jid or next(iter(self.running))
        self.end_unseen(jid, state)
        self.do(self.engine.ended(jid, state, self.now), ended=jid)

    def end_unseen(self, jid: Jid, state: State) -> None:
        """A job ends, and nobody tells the engine before the daemon starts again."""
        self.over[jid] = (self.running.pop(jid)[0], state)

    def told(self, name: str = "e", since: float = T0) -> list[tuple[float, str]]:
        """(planned seconds after `since`, verdict) of an entry, in order of the journal; stretches as one."""
        return [(round(one.planned - since, 3), one.verdict) for one in self.journal if one.schedule == name]

    def shown(self, name: str = "e") -> dict[str, Any]:
        """The entry as people see it."""
        return next(one for one in self.engine.view(self.now) if one["name"] == name)

    def _end_jobs(self) -> None:
        if not self.job_seconds:
            return
        for jid, (_, begun) in tuple(self.running.items()):
            if begun + self.job_seconds <= self.boot:
                self.end(jid)

    def _die_if(self, point: str) -> None:
        if self.crash == point:
            self.crash = ""
            raise Crashed

    def _mint(self, now: float) -> Jid:
        self._jid = mint(now, self._jid)
        return self._jid
