"""Lists of jobs from SQLite: along the index that promises the fewest jobs, and never further than a bounded bite."""

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from common.ids import Jid
from master.store import rows
from master.store.base import Filter, Listed, Page
from master.store.filters import fits, window
from master.store.queries import SQL
from master.store.reads import counts
from master.store.rows import Row, pack_jid

BITE = 8000
"""Jobs that one page looks at, at most: some 50 ms."""
_TASTE = 1000
"""Jids by which two streams are compared: the one that reaches further back with as many is the sparser."""
_PAIRS_PER_JOB = 100
"""Pairs of an open job that cost about as much to count as one more job to look at."""
_FUNCTIONS = 200
"""Names that a function glob may match and still be read along the index of functions."""
_ABOVE_ALL = b"\xff"


class _Stream(Struct, frozen=True):
    """Keys of jobs, newest first, between bounds: what a filter's part is read along."""

    query: str
    given: tuple[dict[str, str | int], ...]
    """One set of parameters for each value that the part allows; their streams are merged."""

    def keys(self, connection: sqlite3.Connection, before: bytes, floor: bytes, count: int) -> list[bytes]:
        """The newest `count` keys below `before` and not below `floor`."""
        bounds = {"before": before, "floor": floor, "count": count}
        found = (connection.execute(SQL[self.query], {**given, **bounds}).fetchall() for given in self.given)
        merged = heapq.merge(*found, reverse=True)
        return [key for (key,) in itertools.islice(merged, count)]


def page(connection: sqlite3.Connection, wanted: Filter, limit: int, before: Jid | None) -> Page:
    """At most `limit` jobs, newest first."""
    floor, top = _bounds(wanted, before)
    stream = _best(connection, _streams(connection, wanted), top, floor)
    found: list[Listed] = []
    looked = _Looked()
    for row in _candidates(connection, stream, top, floor, limit + 1):
        if looked.cost >= BITE:
            return Page(found, looked.last)
        listed = _judge(connection, wanted, row, looked)
        if listed is not None and len(found) == limit:
            return Page(found, found[-1].job.jid)
        if listed is not None:
            found.append(listed)
    return Page(found, None)


class _Looked:
    """How much a page has cost so far, in jobs looked at, and the last of them."""

    cost: int = 0
    last: Jid | None = None


def _bounds(wanted: Filter, before: Jid | None) -> tuple[bytes, bytes]:
    """The least key, and the key to stay below."""
    since, until = window(wanted)
    return _key(since), min(_key(until), _ABOVE_ALL if before is None else _key(before))


def _key(text: str) -> bytes:
    """Of a jid, or of a bound, which may lie above all jids."""
    return pack_jid(text) if text[0].isdigit() else _ABOVE_ALL


def _streams(connection: sqlite3.Connection, wanted: Filter) -> list[_Stream]:
    """One for each part of the filter that has an index."""
    streams: list[_Stream] = []
    if wanted.function is not None:
        names = _functions(connection, wanted.function)
        if names is not None:
            streams.append(_Stream("list_function", tuple({"function": name} for name in names)))
    if wanted.user is not None:
        streams.append(_Stream("list_user", ({"user": wanted.user},)))
    if wanted.schedule is not None:
        streams.append(_Stream("list_schedule", ({"schedule": wanted.schedule},)))
    if wanted.minion is not None:
        streams.append(_Stream("list_minion", ({"minion": str(wanted.minion)},)))
    if wanted.state is not None:
        streams.append(_Stream("list_state", ({"state": rows.state_number(wanted.state)},)))
    streams += [_Stream("list_metadata", ({"name": name, "value": value},)) for name, value in wanted.metadata.items()]
    return streams or [_Stream("list_all", ({},))]


def _functions(connection: sqlite3.Connection, glob: str) -> list[str] | None:
    """The stored function names that match; None when there are too many names to be worth it."""
    if not any(sign in glob for sign in "*?["):
        return [glob]
    names: list[str] = []
    name: str | None = ""
    for _ in range(_FUNCTIONS):
        name = connection.execute(SQL["next_function"], {"after": name}).fetchone()[0]
        if name is None:
            return names
        if fnmatchcase(name, glob):
            names.append(name)
    return None


def _best(connection: sqlite3.Connection, streams: list[_Stream], top: bytes, floor: bytes) -> _Stream:
    """The stream with the fewest jobs, as far as a taste of each can tell."""
    if len(streams) == 1:
        return streams[0]
    reached: list[bytes] = []
    for stream in streams:
        taste = stream.keys(connection, top, floor, _TASTE)
        reached.append(taste[-1] if len(taste) == _TASTE else b"")
    return streams[reached.index(min(reached))]


def _candidates(connection: sqlite3.Connection, stream: _Stream, top: bytes, floor: bytes, chunk: int) -> Iterator[Row]:
    """The jobs of a stream, in chunks that grow: a page that matches at once reads no more than itself."""
    while True:
        keys = stream.keys(connection, top, floor, chunk)
        for key in keys:
            row = connection.execute(SQL["job"], (key,)).fetchone()
            if row is not None:
                yield row
        if len(keys) < chunk:
            return
        top, chunk = keys[-1], min(2 * chunk, _TASTE)


def _judge(connection: sqlite3.Connection, wanted: Filter, row: Row, looked: _Looked) -> Listed | None:
    """The job in `row`, when it passes every part of the filter."""
    job = rows.job_from_row(row)
    looked.cost += 1
    looked.last = job.jid
    if not fits(wanted, job):
        return None
    if wanted.minion is not None and not _is_there(connection, wanted, row):
        return None
    counted = counts(connection, row)
    if job.done is None:
        looked.cost += rows.pairs_from_row(row) // _PAIRS_PER_JOB
    return None if wanted.state is not None and wanted.state not in counted else Listed(job, counted)


def _is_there(connection: sqlite3.Connection, wanted: Filter, row: Row) -> bool:
    """Whether the job was sent to the minion that is wanted, and is there in the state that is wanted."""
    found = connection.execute(SQL["pair_state"], (row[0], wanted.minion)).fetchone()
    return found is not None and (wanted.state is None or found[0] == rows.state_number(wanted.state))
