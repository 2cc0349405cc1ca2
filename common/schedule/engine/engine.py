"""The scheduler as a pure machine: it is told what happened and the time, and says what is to be done.

Every planned run gets exactly one verdict. `planner.py` says which planned times have come, `gate.py` whether a run
may begin; here is what is asked of them, and when. All times come from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from datetime import tzinfo
from typing import Any, Literal

from common.errors import NotFoundError
from common.ids import Jid
from common.schedule.engine import verbs, view
from common.schedule.engine.board import Board, Changes
from common.schedule.engine.ends import Ends
from common.schedule.engine.gate import Gate
from common.schedule.engine.loading import Loading, Slices
from common.schedule.engine.planner import Planner
from common.schedule.engine.slot import Run, Slot
from common.schedule.engine.undo import Mark
from common.schedule.model import Ask, Decision, Entry, Hold, Key, Moment, Occurrence, Standing, Waiting
from common.schedule.times.periods import Period
from common.states import State

LONGEST_SLEEP = 60.0
"""Seconds after which the engine wants to be asked again where anything follows the wall clock, which may be set."""


class Engine:
    """All entries of one host. Nothing here waits; what it decides counts once the journal holds it."""

    def __init__(
        self, who: str, zone: tzinfo, mint: Callable[[float], Jid], standings: Mapping[str, Standing],
        hold: Hold | None, now: Moment,
    ) -> None:
        """`who` is the host's id, by which it is spread over splays; `mint` makes jids; the rest is the journal's."""
        self._board = Board(mint, hold, now)
        self._gate = Gate(self._board)
        self._planner = Planner(self._board, self._gate)
        self._ends = Ends(self._board, self._planner)
        self._loading = Loading(who, zone, standings, self._board, self._gate, self._planner, self._ends)

    @property
    def held(self) -> Hold | None:
        """The hold of all entries, if there is one."""
        return self._board.held

    # the driver's

    def adopt(self, occurrence: Occurrence) -> None:
        """A run that began before this start of the scheduler goes on; said before the first `load`."""
        if occurrence.jid is not None:
            run = Run(occurrence, occurrence.jid, 0.0)
            self._board.enter(run)

    def load(self, entries: Mapping[str, Entry], periods: Mapping[str, Period], now: Moment,
             broken: Container[str] = ()) -> Slices:
        """These are the entries from now on. Those whose planned times did not change keep all their state.

        Of the others those in `broken` cannot be used for now, and keep theirs until they can; the rest are deleted.
        """
        self._board.notice(now)
        return (yield from self._loading.load(entries, periods, now, broken))

    def wait(self, now: Moment) -> float | None:
        """Seconds until `due` must be called again; None when nothing is planned."""
        if self._board.stepped(now):
            return 0.0
        at = self._board.next()
        if at is None:
            return None
        wait = max(0.0, at - now.wall)
        return min(wait, LONGEST_SLEEP) if self._board.follows_wall else wait

    def due(self, now: Moment) -> list[Decision]:
        """What has come: the runs to begin and the verdicts of those that do not."""
        out: list[Decision] = []
        self._board.notice(now)
        for slot in self._board.due(now):
            self._planner.look(slot, now, out)
        return out

    def answered(self, key: Key, yes: bool, now: Moment, reason: str = "") -> list[Decision]:
        """What an entry's `should_run` said; an answer that nobody waits for is no error."""
        out: list[Decision] = []
        self._board.notice(now)
        slot = self._board.slots.get(key.schedule)
        one = slot.asked.pop(key, None) if slot is not None else None
        if slot is not None and one is not None:
            # A clock that was set may have moved it meanwhile.
            one = next((other for other in slot.waiting if slot.key_of(other) == key), one)
            self._gate.answered(slot, one, yes, reason, now, out)
            self._planner.look(slot, now, out)
        return out

    def failed(self, key: Key, reason: str, now: Moment) -> list[Decision]:
        """A run that was to begin could not: that is its verdict, and it counts as a failure."""
        out: list[Decision] = []
        self._board.notice(now)
        run = next((run for run in self._board.runs_of(key.schedule).values() if run.occurrence.key == key), None)
        if run is not None:
            self._board.failed(run, reason, now, out)
            self._ends.over(run, State.FAILED, now, out)
        return out

    def ended(self, jid: Jid, state: State, now: Moment) -> list[Decision]:
        """A run is over; a jid that is none of them is no error."""
        out: list[Decision] = []
        self._board.notice(now)
        run = self._board.run(jid)
        if run is not None:
            self._ends.note(run, state, now)
            self._ends.over(run, state, now, out)
        return out

    def changed(self) -> Changes:
        """The standings that changed since this was asked last, and the names of those to be forgotten."""
        return self._board.changed()

    def mark(self) -> Mark:
        """Where all stands now, for a verb that is not to count when the journal does not take it."""
        return Mark(self._board)

    # verbs; each raises NotFoundError and UsageError, and changes nothing then

    def run(self, name: str, by: str, now: Moment, force: bool = False) -> list[Decision]:
        """Run an entry now, outside its plan and windows; `force`: also when it is disabled, paused or held."""
        slot = self._named(name, "run", now)
        if not force:
            verbs.check_may_run(slot, self._board.held)
        out: list[Decision] = []
        planned = slot.new_time(now.wall)
        self._board.touch(slot)
        self._gate.enter(slot, Waiting(planned=planned, due=now.wall, cause="by_hand", by=by, force=force), now, out)
        self._planner.look(slot, now, out)
        return out

    def skip(self, name: str, planned: float | None, now: Moment) -> list[Decision]:
        """Do not run at that planned time; None: at the next one."""
        slot = self._named(name, "skip a run of", now)
        out: list[Decision] = []
        verbs.skip(self._board, self._gate, slot, planned, now, out)
        self._planner.look(slot, now, out)
        return out

    def postpone(self, name: str, planned: float | None, to: float, now: Moment) -> list[Decision]:
        """Run at `to` what is planned at that time; None: the next run."""
        slot = self._named(name, "postpone a run of", now)
        out: list[Decision] = []
        verbs.postpone(self._board, slot, planned, to, now)
        self._planner.look(slot, now, out)
        return out

    def resume(self, name: str, now: Moment) -> list[Decision]:
        """Let an entry go on that paused itself after failures, or begin to count its `max_runs` again."""
        slot = self._named(name, "resume", now)
        out: list[Decision] = []
        verbs.resume(self._board, slot, now)
        self._planner.rest(slot, now)
        self._planner.look(slot, now, out)
        return out

    def hold(self, by: str, now: Moment) -> list[Decision]:
        """Nothing begins until `release`. What comes due is kept: of each entry the last planned run."""
        if self._board.held is None:
            self._board.held = Hold(since=now.wall, by=by)
        return []

    def run_pending(self, now: Moment) -> list[Decision]:
        """What came due while all is held begins, each entry once; the hold goes on."""
        hold = self._board.held
        out = [*self.due(now), *self.release(now, "run")]
        self._board.held = hold
        for one in out:
            if isinstance(one, Ask):
                self._board.slots[one.key.schedule].let.add(one.key)
        return out

    def release(self, now: Moment, pending: Literal["run", "drop"]) -> list[Decision]:
        """Let all go on. What came due begins now, or (`drop`) never: then intervals count from now."""
        out: list[Decision] = []
        self._board.notice(now)
        if self._board.held is None:
            return out
        for slot in self._board.due(now):
            self._planner.look(slot, now, out)
        self._board.held = None
        for slot in self._board.slots.values():
            if slot.waiting:
                self._board.change(slot)
                if pending == "drop":
                    verbs.drop(self._gate, slot, now, out)
                self._planner.look(slot, now, out)
        return out

    # to be shown

    def view(self, now: Moment) -> list[dict[str, Any]]:
        """Every entry as plain data: its fields, what is next, what was last."""
        return [view.described(slot, self._board.held, now.wall) for slot in self._board.slots.values()]

    def view_one(self, name: str, now: Moment) -> dict[str, Any] | None:
        """One entry, as in `view`; None when there is none."""
        slot = self._board.slots.get(name)
        return None if slot is None else view.described(slot, self._board.held, now.wall)

    def upcoming(self, name: str, count: int, now: Moment) -> list[float]:
        """When the entry runs next, splay and windows counted; fewer than `count` when there are no more."""
        return view.upcoming(self._named(name, "show the next runs of", now), count, now.wall)

    def _named(self, name: str, verb: str, now: Moment) -> Slot:
        self._board.notice(now)
        slot = self._board.slots.get(name)
        if slot is None:
            raise NotFoundError(f"cannot {verb} the schedule '{name}': there is no such schedule")
        return self._board.change(slot)
