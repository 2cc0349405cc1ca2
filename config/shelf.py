"""The schedule of a daemon: its files, what was changed of it at run time, and the scheduler that is told of both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Container, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from common import clock
from common.aio import guarded
from common.errors import JrError, UsageError
from common.log import limited
from common.schedule.entries.book import Book
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import Change, Parse
from common.schedule.model import Entry
from common.schedule.times.periods import Period
from common.text import escape, nearest
from config.load import Source
from config.schedules import ENTRIES_LIMIT, Reader, Reading, problem_at

SETTLED = 31 * 86_400.0
"""Seconds for which an entry is good that plans nothing any more: some of its last runs may lack a verdict."""

AGAIN = 5.0
"""Seconds until the scheduler is told again what it could not be told."""

Keep = Callable[[Sequence[Change]], Awaitable[None]]
"""Makes changes durable; one that is `nothing` is forgotten. Raises JrError."""
Apply = Callable[[Mapping[str, Entry], Mapping[str, Period], Container[str]], Awaitable[None]]
"""Has the scheduler go by these entries and periods from now on; the last are names of entries that cannot be used for
now. Raises JrError."""
Unfit = Callable[[Entry], str]
"""Why a daemon can never run an entry that makes sense by itself; empty when it can."""

_log = logging.getLogger("jr.schedule")
P = ParamSpec("P")
T = TypeVar("T")


def _whole(
    verb: Callable[Concatenate[Shelf, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Shelf, P], Coroutine[Any, Any, T]]:
    """A verb that comes to its end also when whoever asked for it hangs up meanwhile: what is in the journal must hold
    here, and the next verb must not begin beside it. Nobody is kept from giving up before its turn.
    """
    @wraps(verb)
    async def done(shelf: Shelf, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await shelf.turn(partial(verb, shelf, *args, **kwargs))

    return done


class _AllBut:
    """All names but these."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name not in self._names


class Shelf:
    """Where the entries of a daemon stand."""

    def __init__(
        self, reader: Reader, parse: Parse, changes: Iterable[Change] = (), zone: tzinfo = UTC,
    ) -> None:
        """Reads the files at once. `changes` are those that were kept, `zone` is the host's."""
        self._reader = reader
        self._reading = reader.read()
        self.book = Book(parse, changes, ENTRIES_LIMIT, zone)
        self.book.load(self._reading.files)
        self._keep: Keep | None = None
        self._apply: Apply | None = None
        self._order = asyncio.Lock()
        self._doing: asyncio.Future[Any] | None = None
        """The verb that was begun last."""
        self._asked = asyncio.Event()
        self._told: set[str] = set()
        self._behind = False
        """Whether the scheduler goes by other entries than these, since it could not be told."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The entries that hold."""
        return self.book.entries

    @property
    def broken(self) -> Container[str]:
        """The names of those that cannot be used for now; any may be one while something cannot be read."""
        if self._reading.blind:
            return _AllBut(frozenset(self.book.hidden))
        return frozenset(each.name for each in self.book.broken)

    @property
    def periods(self) -> Mapping[str, Period]:
        """The periods that can be used."""
        return self._reading.periods

    @property
    def written(self) -> Mapping[str, Any]:
        """The same, as they are written."""
        return self._reading.written

    @property
    def period_origins(self) -> Mapping[str, str]:
        """Where each of them stands."""
        return self._reading.origins

    @property
    def problems(self) -> list[str]:
        """One line for each thing that cannot be used, with file and line; the rest goes on."""
        return [line for _, line in self.told]

    @property
    def told(self) -> list[tuple[str | None, str]]:
        """The same, each after the name of the entry that it is about: None for none, empty for a period."""
        return [*((self._reading.about.get(line), line) for line in self._reading.problems),
                *((each.name, problem_at(each.origin, each.problem)) for each in self.book.broken)]

    @property
    def others(self) -> Sequence[str]:
        """The problems that no entry of the book has."""
        return self._reading.problems

    @property
    def warnings(self) -> Sequence[str]:
        """What can be used, and should not be so."""
        return [*self._reading.warnings, *self._dangling()]

    def _dangling(self) -> Iterator[str]:
        placed, broken = self.book.placed, self.broken
        for name, each in placed.items():
            for key, follows in (("then", each.entry.then), ("on_failure", each.entry.on_failure)):
                for missing in (one.entry for one in follows if one.entry not in placed and one.entry not in broken):
                    yield (f"{each.origin}: schedule '{name}': {key} names '{escape(missing)}', which is not there"
                           f"{nearest(missing, placed)}")

    def open(self, keep: Keep, apply: Apply, fatal: Callable[[str], None]) -> asyncio.Task[None]:
        """Say in the log what is wrong, and watch the files from now on; the task is to be cancelled at the end."""
        self._keep, self._apply = keep, apply
        self._say()
        return guarded(self._watch, "the watch over the files of the schedule", fatal)

    def reload_soon(self) -> None:
        """Read the files now, without waiting for it: SIGHUP."""
        self._asked.set()

    # verbs

    @_whole
    async def change(self, make: Callable[[Book], list[Change]]) -> list[Change]:
        """Make changes, such as `lambda book: book.add(...)`; they are durable and hold when this comes back.

        Raises JrError, and then nothing has changed. What is durable is not refused any more: a scheduler that cannot
        be told begins nothing, and goes by it as soon as it can.
        """
        changes = make(self.book)
        if changes:
            await self._commit(changes)
            await self._tell()
        return changes

    @_whole
    async def reload(self, *, forget: bool = False) -> Reading:
        """Read the files now; `forget` gives up what was changed at run time since the last save.

        Raises JrError, and then nothing has changed. What the files say is not refused: see `change`.
        """
        if forget:
            await self._commit(self.book.forget())
        reading = await self._read()
        await self._take(reading)
        return reading

    @_whole
    async def save(self) -> Path:
        """Write all changes into the file of saved changes, and give them up here.

        Raises JrError, and then that file says what it said, and the changes are kept here.
        """
        # What was edited in that file and not seen yet must not be written over.
        await asyncio.to_thread(self.book.load, (await self._read()).files)
        path = await asyncio.to_thread(self._reader.save, self.book.saved())
        # A crash here leaves the changes in both places, which makes the same entries.
        reading = await self._read()
        await asyncio.to_thread(self.book.load, reading.files)
        try:
            await self._commit(self.book.forget())
        except JrError:
            await asyncio.to_thread(self._reader.unsave)
            raise
        await asyncio.to_thread(self._reader.kept)
        await self._take(reading)
        return path

    async def _read(self) -> Reading:
        """What the files say now. The reader tells it once: whatever fails afterwards, the scheduler must learn it."""
        self._behind = True
        return await asyncio.to_thread(self._reader.read)

    async def turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a verb's work once no other goes on."""
        await self._order.acquire()
        doing = self._doing = asyncio.ensure_future(self._do(work()))
        return await asyncio.shield(doing)

    async def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            self._order.release()
            if self._behind:
                self._asked.set()  # the watch tells the scheduler again

    # files

    async def _watch(self) -> None:
        try:
            while True:
                await self._due()
                async with self._order:
                    await self._look()
        finally:
            if self._doing is not None:
                self._doing.cancel()  # the daemon ends

    async def _due(self) -> None:
        """Wait until somebody asks for the files to be read, or the next look at them is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN if self._behind else self._reader.wait):
                await self._asked.wait()

    async def _look(self) -> None:
        asked = self._asked.is_set()
        self._asked.clear()
        reading = await asyncio.to_thread(self._reader.read if asked else self._reader.look)
        if reading is not None:
            await self._take(reading)
        elif self._behind:
            await self._tell()

    async def _take(self, reading: Reading) -> None:
        # Ten thousand entries take half a second to make; whoever looks meanwhile sees those that held before.
        await asyncio.to_thread(self.book.load, reading.files)
        self._reading = reading
        self._say()
        await self._tell()

    async def _commit(self, changes: Sequence[Change]) -> None:
        assert self._keep is not None
        await self._keep(changes)
        self.book.take(changes)

    async def _tell(self) -> None:
        """Have the scheduler go by what holds: now, or as soon as it can be told."""
        assert self._apply is not None
        self._behind = True
        try:
            await self._apply(self.entries, self.periods, self.broken)
        except JrError as error:
            limited(_log, "behind").error("%s; it is tried again", error, extra={"action": "schedule.behind"})
        else:
            self._behind = False

    def _say(self) -> None:
        """Log what is there, and each problem that was not told before."""
        problems = self.problems
        _log.info("the schedule has %d entries, and %d problems", len(self.entries), len(problems),
                  extra={"action": "schedule.loaded"})
        for line in problems:
            if line not in self._told:
                _log.error("%s", line, extra={"action": "schedule.broken"})
        for line in self.warnings:
            if line not in self._told:
                _log.warning("%s", line, extra={"action": "schedule.open"})
        self._told = {*problems, *self.warnings}


def _fit(entry: Entry) -> str:
    return ""


def shelf_of(source: Source, changes: Iterable[Change] = (), *, master: bool = False, unfit: Unfit = _fit) -> Shelf:
    """The shelf of this host's minion, or of its master; reads the files."""
    zone = clock.local_zone()
    return Shelf(Reader(source, zone), partial(_parse, master=master, unfit=unfit, zone=zone), changes, zone)


def _parse(name: str, fields: Mapping[str, Any], *, master: bool, unfit: Unfit, zone: tzinfo) -> Entry:
    after = datetime.fromtimestamp(clock.wall() - SETTLED, UTC)
    entry = parse_entry(name, fields, master=master, zone=zone, after=after)
    if reason := unfit(entry):
        raise UsageError(f"cannot use the schedule '{name}': {reason}")
    return entry


class Review(NamedTuple):
    """What the files say, for `--check-config`."""

    lines: list[str]
    """One for each entry and period that can be used, with its origin."""
    problems: list[str]
    warnings: Sequence[str]


def review(source: Source, *, master: bool = False, unfit: Unfit = _fit) -> Review:
    """Read the files, and nothing else."""
    shelf = shelf_of(source, master=master, unfit=unfit)
    placed = shelf.book.placed.items()
    lines = [f"schedule {name}: {each.entry!r}  ({each.origin})" for name, each in placed]
    lines += [f"period {name}  ({origin})" for name, origin in shelf.period_origins.items()]
    return Review(lines, shelf.problems, shelf.warnings)
