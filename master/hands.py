"""The hands of the master's own scheduler: verdict, job and ledger of a run are one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Raw, structs

from common import clock
from common.codec import pack
from common.errors import JrError, NotFoundError
from common.ids import MASTER, Jid
from common.messages import STOP_SIGNALS, JobFields
from common.packed import packed, unpacked
from common.schedule.entries.layers import Change
from common.schedule.model import BEGUN, Begin, Check, Entry, Hold, Occurrence, Standing, Step
from common.schedule.writing import start_within
from common.secrets import hide
from common.states import TERMINAL, State
from common.targets import parse
from common.values import ArgumentsError
from master.core import effects as do
from master.core.wishes import StopWish, Wish
from master.records import Keep, PutOccurrences
from master.requests import Defaults
from master.room import check_room
from master.shell import Shell
from master.store.base import Store

USER = "schedule"
"""The user of a job that nobody typed."""
_WHY = 1_000
"""Reasons that are kept for those who asked for a run."""
_ROOT = ""
"""The name of the one hold there may be."""


class MasterHands:
    """Implements `common.schedule.driver.Hands`."""

    def __init__(self, shell: Shell, defaults: Defaults, runners: Callable[[], Iterable[str]],
                 no_runner: Callable[[str], str], asked: Callable[[Check, Jid], Awaitable[bool]]) -> None:
        """`runners` are the names of custom runners, `no_runner` the line for one that is not there; `asked` asks a
        `should_run`."""
        self._shell = shell
        self._defaults = defaults
        self._runners = runners
        self._no_runner = no_runner
        self._asked = asked
        self._failed: dict[Jid, str] = {}
        """Why runs have no job, until the engine is told."""
        self._why: dict[Jid, str] = {}
        self._hold: Hold | None = None
        self.open: set[Jid] = set()
        """The runs whose end the engine is to be told: all other jobs of the master are none of its business."""

    def mint(self, at: float) -> Jid:
        """A jid for a run, in master time: the wall clock may step."""
        return self._shell.core.wishes.mint(self._shell.clock.now())

    def kept(self, hold: Hold | None, runs: Iterable[Occurrence]) -> None:
        """This is what the store has: the hold, and the runs whose end the engine does not know."""
        self._hold = hold
        self.open = {run.jid for run in runs if run.jid is not None}

    async def commit(self, step: Step, begins: Sequence[Begin]) -> None:
        """See `Hands`. A run that can have no job is stored as what it is, and `begin` says why."""
        jobs: list[do.Effect] = []
        failed: dict[Jid, str] = {}
        for begin in begins:
            jid = _jid_of(begin)
            try:
                jobs += self._launched(begin, jid)
            except JrError as error:
                # Whoever reads the verdict is not meant to read what entries give their functions.
                failed[jid] = error.plain if isinstance(error, ArgumentsError) else str(error)
        runs = [_told(one, failed) for one in step.occurrences]
        saves: list[do.Effect] = [do.Save(PutOccurrences(MASTER, runs))] if runs else []
        saves += [do.Save(Keep("run", one.jid, packed(one))) for one in runs
                  if one.jid is not None and one.verdict in BEGUN]
        saves += [do.Save(Keep("run", jid, None)) for jid in step.ended]
        saves += [do.Save(Keep("standing", one.name, packed(one))) for one in step.standings]
        saves += [do.Save(Keep("standing", name, None)) for name in step.dropped]
        if step.hold != self._hold:
            saves.append(do.Save(Keep("hold", _ROOT, None if step.hold is None else packed(step.hold))))
        # Before the commit: a job for nobody who is there is done as soon as it is saved.
        self.open |= {one.jid for one in runs if one.jid is not None and one.verdict in BEGUN}
        await self._shell.committed([*saves, *jobs])
        self._hold = step.hold
        self.open -= set(step.ended)
        self._failed |= failed
        self._why |= failed
        for jid in list(self._why)[:-_WHY]:
            del self._why[jid]

    def why_not(self, jid: str | None) -> str | None:
        """Why a run that was decided lately got no job; None when it has one."""
        return None if jid is None else self._why.get(Jid(jid))

    def _launched(self, begin: Begin, jid: Jid) -> list[do.Effect]:
        """What makes the job of a run. Raises JrError when there can be none."""
        entry, now = begin.entry, self._shell.clock.now()
        check_room(self._shell)
        timeout = (self._defaults.schedule_timeout or None) if entry.timeout is None else entry.timeout
        clear = JobFields(function=entry.function, args=Raw(pack(entry.args)), kwargs=Raw(pack(entry.kwargs)),
                          user=USER, schedule=entry.name, timeout=timeout, grace=self._defaults.grace,
                          left_behind=entry.left_behind)
        fields, hidden = hide(clear, marked=entry.secret)
        within = self._defaults.start_within
        if begin.until is not None:
            within = min(within, start_within(begin, clock.wall()))
            if within <= 0:
                raise JrError("its time to start passed before it could start")
        wish = Wish(fields=fields, secrets=hidden, target=entry.target or MASTER,
                    target_type=entry.target_type if entry.target is not None else "runner", start_within=within,
                    queue=self._defaults.queue and entry.target is not None, metadata=entry.metadata)
        if entry.target is not None:
            return self._shell.core.wishes.publish(wish, parse(entry.target_type, entry.target), now, jid)[1]
        if entry.function not in set(self._runners()):
            raise NotFoundError(self._no_runner(entry.function))
        return self._shell.core.wishes.run(wish, now, jid)[1]

    async def begin(self, begin: Begin) -> None:
        """See `Hands`: the job was made with the verdict, or cannot be."""
        reason = self._failed.pop(_jid_of(begin), None)
        if reason is not None:
            raise JrError(reason)

    async def end(self, jid: Jid, reason: str) -> None:
        """See `Hands`."""
        wish = StopWish(stop=secrets.token_hex(8), jid=jid, how="term", signal=STOP_SIGNALS["term"],
                        grace=self._defaults.grace, by=f"{USER}: {reason}"[:200])
        _, effects = self._shell.core.wishes.stop(wish, self._shell.clock.now())
        await self._shell.committed(effects)

    async def ask(self, entry: Entry) -> bool:
        """See `Hands`."""
        return entry.should_run is None or await self._asked(entry.should_run, self.mint(0.0))

    async def keep(self, changes: Sequence[Change]) -> None:
        """Make changes of entries durable; one that is nothing is forgotten. Raises JrError."""
        await self._shell.committed([do.Save(Keep("change", one.name, None if one.nothing else packed(one)))
                                     for one in changes])


def standings(store: Store) -> dict[str, Standing]:
    """Where the master's own entries stand, by name. Raises StoreError."""
    return {name: unpacked(body, Standing) for name, body in store.kept("standing").items()}


def hold(store: Store) -> Hold | None:
    """The hold of the master's own schedule. Raises StoreError."""
    body = store.kept("hold").get(_ROOT)
    return None if body is None else unpacked(body, Hold)


def changes(store: Store) -> list[Change]:
    """What was changed of the master's own entries at run time. Raises StoreError."""
    return [unpacked(body, Change) for body in store.kept("change").values()]


def unended(store: Store) -> list[Occurrence]:
    """The runs of an earlier start of the master whose end its engine was not told. Raises StoreError."""
    return [unpacked(body, Occurrence) for body in store.kept("run").values()]


def state_of(counts: dict[State, int]) -> State:
    """How a whole job ended: as all its pairs did, and failed where they differ, or one is open.

    Killed where somebody stopped it and no pair failed: those that had succeeded, or that never got it, must not make a
    failure of it, which would be tried again.
    """
    states = {state for state, number in counts.items() if number}
    if State.KILLED in states and states <= {State.KILLED, State.SUCCEEDED, State.UNDELIVERED}:
        return State.KILLED
    only = states.pop() if len(states) == 1 else State.FAILED
    return only if only in TERMINAL else State.FAILED


def _jid_of(begin: Begin) -> Jid:
    jid = begin.occurrence.jid
    assert jid is not None, "the engine gives a run that begins its jid"
    return jid


def _told(run: Occurrence, failed: dict[Jid, str]) -> Occurrence:
    """The run as it is stored: one that can have no job did not begin."""
    if run.jid is None or run.jid not in failed or run.verdict not in BEGUN:
        return run
    return structs.replace(run, verdict="failed_to_start", reason=failed[run.jid])
