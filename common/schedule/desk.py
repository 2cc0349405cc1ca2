"""What users may ask of a schedule at run time: one implementation for minions, by functions, and for the master.

Every change is durable before it is answered. Answers are plain data; times in them are epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from common import clock
from common.durations import parse_duration
from common.errors import UsageError
from common.schedule import looks
from common.schedule.driver import Scheduler
from common.schedule.entries.book import Book
from common.schedule.entries.layers import Change
from common.schedule.looks import Engine, Looks
from common.schedule.model import Occurrence

Pending = Literal["run", "drop"]
_EARLIEST, _LATEST = 1e8, 1e11
"""Numbers between which one is a time: `20260102` is a date."""


class Shelf(looks.Shelf, Protocol):
    """What changes the entries, beside where they stand."""

    @property
    def problems(self) -> list[str]: ...

    async def change(self, make: Callable[[Book], list[Change]]) -> list[Change]: ...
    async def reload(self, *, forget: bool = False) -> object: ...
    async def save(self) -> Path: ...


class Desk:
    """The verbs. Each raises JrError: NotFoundError for an entry that is not there, UsageError for what makes no sense.
    """

    def __init__(self, shelf: Shelf, engine: Engine, scheduler: Scheduler) -> None:
        self.looks = Looks(shelf, engine)
        self._shelf = shelf
        self._scheduler = scheduler

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
        return {**self.looks.changed(name), "done": bool(changes)}

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
        self.looks.usable(name)
        return told(name, await self._scheduler.run(name, by, force=force))

    async def skip(self, name: str, planned: str | float | None = None) -> dict[str, Any]:
        """Do not run at that planned time, or at the next one."""
        self.looks.usable(name)
        await self._scheduler.skip(name, None if planned is None else when("planned", planned))
        return self.looks.show(name)

    async def postpone(self, name: str, to: str | float, planned: str | float | None = None) -> dict[str, Any]:
        """Run at `to` what is planned at that time, or next."""
        self.looks.usable(name)
        await self._scheduler.postpone(name, None if planned is None else when("planned", planned), when("to", to))
        return self.looks.show(name)

    async def resume(self, name: str) -> dict[str, Any]:
        """Let an entry go on that paused itself after failures."""
        self.looks.usable(name)
        await self._scheduler.resume(name)
        return self.looks.show(name)

    async def hold(self, by: str) -> dict[str, Any]:
        """Begin nothing of the schedule until `release`."""
        await self._scheduler.hold(by)
        return self.looks.held()

    async def release(self, pending: str = "run") -> dict[str, Any]:
        """Let all go on; runs that came due meanwhile are begun now (`run`), or as if they had just run (`drop`)."""
        if pending not in get_args(Pending):
            raise UsageError(f"cannot release the schedule: pending is run or drop, not {pending[:40]!r}")
        await self._scheduler.release(pending)
        return self.looks.held()

    async def run_pending(self) -> dict[str, Any]:
        """Run what came due while all is held, each entry once; what is not due is left alone, and the hold goes on."""
        return {"runs": [told(run.schedule, run) for run in await self._scheduler.run_pending()]}


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
