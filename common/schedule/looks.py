"""What a schedule shows of its entries: what each is, where it stands, when it runs next. It changes nothing.

Answers are plain data; times in them are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Protocol

from common import clock
from common.errors import NotFoundError, UsageError
from common.schedule import driver
from common.schedule.driver import breathe, moment
from common.schedule.entries.book import Book
from common.schedule.entries.layers import Broken
from common.schedule.model import Moment
from common.text import nearest

NEXT_LIMIT = 1_000
"""Planned times in one answer."""
_STATUS = frozenset({"name", "broken", "status", "why", "enabled", "next", "running", "waiting", "paused", "runs",
                     "failures"})
_BY_WALL = ("at", "cron", "calendar", "once", "start", "end", "anchor")
"""Fields that name times of the wall clock."""
_AT_ONCE = 50
"""Entries that are looked at before others have the loop: some 10 ms."""


class Engine(driver.Engine, Protocol):
    """What is asked of the engine beside what drives it."""

    def view_one(self, name: str, now: Moment) -> dict[str, Any] | None: ...
    def upcoming(self, name: str, count: int, now: Moment) -> list[float]: ...


class Shelf(Protocol):
    """Where the entries stand (`config.shelf`)."""

    @property
    def book(self) -> Book: ...
    @property
    def others(self) -> Sequence[str]: ...


class Looks:
    """What can be seen. Raises NotFoundError for an entry that is not there, UsageError for what makes no sense."""

    def __init__(self, shelf: Shelf, engine: Engine) -> None:
        self._shelf = shelf
        self._engine = engine

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

    def changed(self, name: str) -> dict[str, Any]:
        """One entry right after a change; of one that the scheduler could not be told of yet, what the book says."""
        placed = self._shelf.book.placed.get(name)
        is_behind = placed is not None and self._engine.view_one(name, moment()) is None
        return {"name": name, **_origin(placed)} if is_behind else self.show(name)

    def usable(self, name: str) -> None:
        """Raises for an entry that is not there, or cannot be used, with its reason."""
        row = self.show(name)
        if "broken" in row:
            raise UsageError(str(row["broken"]))

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
