"""What users may ask of a schedule at run time: one implementation for minions, by functions, and for the master.

Every change is durable before it is answered. Answers are plain data; times in them are epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from common import clock
from common.durations import parse_duration
from common.errors import NotFoundError, UsageError
from common.schedule import driver
from common.schedule.driver import Scheduler, breathe, moment
from common.schedule.entries.book import Book
from common.schedule.entries.layers import Broken, Change
from common.schedule.model import Moment, Occurrence
from common.text import nearest

Pending = Literal["run", "drop"]
NEXT_LIMIT = 1_000
"""Planned times in one answer."""
_STATUS = frozenset({"name", "broken", "status", "why", "enabled", "next", "running", "waiting", "paused", "runs",
                     "failures"})
_BY_WALL = ("at", "cron", "calendar", "once", "start", "end", "anchor")
"""Fields that name times of the wall clock."""
_AT_ONCE = 50
"""Entries that are looked at before others have the loop: some 10 ms."""
_EARLIEST, _LATEST = 1e8, 1e11
"""Numbers between which one is a time: `20260102` is a date."""


class Engine(driver.Engine, Protocol):
    """What is asked of the engine beside what drives it."""

    def view_one(self, name: str, now: Moment) -> dict[str, Any] | None: ...
    def upcoming(self, name: str, count: int, now: Moment) -> list[float]: ...


class Shelf(Protocol):
    """Where the entries stand (`config.shelf`)."""

    @property
    def book(self) -> Book: ...
    @property
    def problems(self) -> list[str]: ...
    @property
    def others(self) -> Sequence[str]: ...

    async def change(self, make: Callable[[Book], list[Change]]) -> list[Change]: ...
    async def reload(self, *, forget: bool = False) -> object: ...
    async def save(self) -> Path: ...


class Desk:
    """The verbs. Each raises JrError: NotFoundError for an entry that is not there, UsageError for what makes no sense.
    """

    def __init__(self, shelf: Shelf, engine: Engine, scheduler: Scheduler) -> None:
        self._shelf = shelf
        self._engine = engine
        self._scheduler = scheduler

    # looks

    async def entries(self) -> list[dict[str, Any]]:
        """Every entry, with where it comes from, its next run and how the last one went; and those that are broken."""
        rows: list[dict[str, Any]] = []
        zone = _zone_name()
        for number, (name, placed) in enumerate(list(self._shelf.book.placed.items())):
            if number % _AT_ONCE == 0:
                await breathe()
            row = self._engine.view_one(name, moment())
            if row is not None:
                rows.append({**row, **_zone(row, zone), **_origin(placed)})
        others = [Broken("", "", problem) for problem in self._shelf.others]
        return [*rows, *map(_unusable, [*self._shelf.book.broken, *others])]

    def show(self, name: str) -> dict[str, Any]:
        """One entry, as in `entries`."""
        book = self._shelf.book
        row = self._engine.view_one(name, moment())
        if row is not None:
            return {**row, **_zone(row, _zone_name()), **_origin(book.placed.get(name))}
        broken = {each.name: each for each in book.broken}
        if name in broken:
            return _unusable(broken[name])
        names = [*book.placed, *broken]
        raise NotFoundError(f"cannot find the schedule {name[:100]!r}: there is none{nearest(name, names)}")

    def status(self, name: str) -> dict[str, Any]:
        """Where one entry stands, without what it is."""
        return {key: value for key, value in self.show(name).items() if key in _STATUS or key.startswith("last_")}

    def upcoming(self, name: str, count: int = 1) -> dict[str, Any]:
        """The next planned times of an entry."""
        if not 1 <= count <= NEXT_LIMIT:
            raise UsageError(f"cannot show {count} planned times: count must be from 1 to {NEXT_LIMIT}")
        self.show(name)
        return {"name": name, "next": self._engine.upcoming(name, count, moment())}

    def held(self) -> dict[str, Any]:
        """Whether all entries are held, since when and by whom."""
        hold = self._engine.held
        return {"held": hold is not None, **({} if hold is None else {"since": hold.since, "by": hold.by})}

    # entries

    async def add(self, name: str, fields: Mapping[str, Any], by: str) -> dict[str, Any]:
        """A new entry."""
        return await self._change(name, lambda book: book.add(name, fields, by, clock.wall()))

    async def modify(self, name: str, fields: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Change only these fields; None gives back what the file says."""
        if not fields:
            raise UsageError(f"cannot modify the schedule {name[:100]!r}: name what to change, as in every=1h")
        return await self._change(name, lambda book: book.modify(name, fields, by, clock.wall()))

    async def enable(self, name: str, enabled: bool, by: str) -> dict[str, Any]:
        """Plan runs of it, or none; that what is asked for is so already is no error."""
        return await self._change(name, lambda book: book.modify(name, {"enabled": enabled}, by, clock.wall()))

    async def delete(self, name: str, by: str) -> dict[str, Any]:
        """Delete an entry, also one of a file."""
        await self._shelf.change(lambda book: book.delete(name, by, clock.wall()))
        return {"name": name, "deleted": True}

    async def copy(self, name: str, new_name: str, by: str) -> dict[str, Any]:
        """The same entry under a second name."""
        return await self._change(new_name, lambda book: book.copy(name, new_name, by, clock.wall()))

    async def move(self, name: str, new_name: str, by: str) -> dict[str, Any]:
        """The same entry under another name."""
        return await self._change(new_name, lambda book: book.move(name, new_name, by, clock.wall()))

    async def _change(self, name: str, make: Callable[[Book], Sequence[Change]]) -> dict[str, Any]:
        changes = await self._shelf.change(lambda book: [*make(book)])
        placed = self._shelf.book.placed.get(name)
        # An entry that the scheduler could not be told of yet stands in the book alone.
        is_behind = placed is not None and self._engine.view_one(name, moment()) is None
        return {**({"name": name, **_origin(placed)} if is_behind else self.show(name)), "done": bool(changes)}

    async def save(self) -> dict[str, Any]:
        """Write what was changed at run time into a file."""
        return {"saved": str(await self._shelf.save())}

    async def reload(self, forget: bool = False) -> dict[str, Any]:
        """Read the files now; `forget` gives up what was changed at run time since the last save."""
        await self._shelf.reload(forget=forget)
        stuck = self._scheduler.stuck
        waits = {"waits": f"the scheduler goes by them as soon as its journal can be written: {stuck}"} if stuck else {}
        return {"entries": len(self._shelf.book.placed), "problems": self._shelf.problems, **waits}

    # runs

    async def run(self, name: str, by: str, force: bool = False) -> dict[str, Any]:
        """Run an entry now, whatever its trigger says; `force`: also while it is disabled, paused or held."""
        self._check(name)
        return told(name, await self._scheduler.run(name, by, force=force))

    async def skip(self, name: str, planned: str | float | None = None) -> dict[str, Any]:
        """Do not run at that planned time, or at the next one."""
        self._check(name)
        await self._scheduler.skip(name, None if planned is None else when("planned", planned))
        return self.show(name)

    async def postpone(self, name: str, to: str | float, planned: str | float | None = None) -> dict[str, Any]:
        """Run at `to` what is planned at that time, or next."""
        self._check(name)
        await self._scheduler.postpone(name, None if planned is None else when("planned", planned), when("to", to))
        return self.show(name)

    async def resume(self, name: str) -> dict[str, Any]:
        """Let an entry go on that paused itself after failures."""
        self._check(name)
        await self._scheduler.resume(name)
        return self.show(name)

    async def hold(self, by: str) -> dict[str, Any]:
        """Begin nothing of the schedule until `release`."""
        await self._scheduler.hold(by)
        return self.held()

    async def release(self, pending: str = "run") -> dict[str, Any]:
        """Let all go on; runs that came due meanwhile are begun now (`run`), or as if they had just run (`drop`)."""
        if pending not in get_args(Pending):
            raise UsageError(f"cannot release the schedule: pending is run or drop, not {pending[:40]!r}")
        await self._scheduler.release(pending)
        return self.held()

    async def run_pending(self) -> dict[str, Any]:
        """Run what came due while all is held, each entry once; what is not due is left alone, and the hold goes on."""
        return {"runs": [told(run.schedule, run) for run in await self._scheduler.run_pending()]}

    def _check(self, name: str) -> None:
        """Raises for an entry that is not there, or cannot be used, with its reason."""
        row = self.show(name)
        if "broken" in row:
            raise UsageError(str(row["broken"]))


def told(name: str, run: Occurrence | None) -> dict[str, Any]:
    """What became of a run that somebody asked for."""
    if run is None:
        return {"name": name, "verdict": None, "reason": "it waits: for another run of it, or for its should_run"}
    return {"name": name, "verdict": run.verdict, "jid": None if run.jid is None else str(run.jid),
            "planned": run.planned, **({"reason": run.reason} if run.reason else {})}


def when(what: str, given: str | float) -> float:
    """Epoch seconds of a number, an ISO time (local unless it says otherwise), or of `30m`: so long from now on.

    Raises UsageError that names `what`.
    """
    for parse in (_epoch, _iso, lambda text: clock.wall() + _length(text)):
        try:
            return parse(given)
        except (ValueError, OverflowError, TypeError):
            continue
    raise UsageError(f"cannot read {what}={str(given)[:100]}: a time is a date like 2026-01-02T03:04, epoch seconds, "
                     "or how long from now, like 2h")


def _epoch(given: str | float) -> float:
    seconds = float(given)
    if isinstance(given, bool) or not math.isfinite(seconds) or not _EARLIEST <= seconds <= _LATEST:
        raise ValueError
    return seconds


def _iso(given: str | float) -> float:
    if not isinstance(given, str):
        raise ValueError
    return datetime.fromisoformat(given).timestamp()


def _length(given: str | float) -> float:
    if not isinstance(given, str) or not given[-1:].isalpha():
        raise ValueError
    return parse_duration(given)


def _unusable(broken: Broken) -> dict[str, Any]:
    return {"name": broken.name, "origin": broken.origin, "broken": broken.problem}


def _zone(row: Mapping[str, Any], host: str | None) -> dict[str, str]:
    """The zone of the times that an entry names, where it does not name one itself."""
    named = any(row.get(key) for key in _BY_WALL) and not row.get("timezone")
    return {"zone": host} if named and host is not None else {}


def _zone_name() -> str | None:
    zone = clock.local_zone()
    return "UTC" if zone == UTC else getattr(zone, "key", None)


def _origin(placed: Any) -> dict[str, Any]:
    return {} if placed is None else {"origin": placed.origin, "changed": list(placed.changed)}
