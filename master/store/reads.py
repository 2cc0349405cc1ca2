"""Single jobs, their pairs and the snapshot, from SQLite. Each read sees one moment, through a borrowed connection."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from msgspec import Raw, structs

from common.ids import Jid, MinionId
from common.messages import NO_SECRETS
from common.states import State
from master.records import Job, Pair, Snapshot
from master.store import rows
from master.store.base import UnknownJobError
from master.store.queries import SQL
from master.store.readers import Readers
from master.store.rows import Row, pack_jid

PAGE_PAIRS = 500
PAGE_BYTES = 2 * 1024 * 1024
"""A page of pairs ends at whichever comes first. One pair may hold 768 KiB."""


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    """All that is open."""
    meta = dict(connection.execute(SQL["meta"]))
    secrets = {rows.unpack_jid(key): Raw(packed) for key, packed in connection.execute(SQL["secrets"])}
    jobs = [rows.job_from_row(row) for row in connection.execute(SQL["open_jobs"])]
    return Snapshot(
        last_jid=None if meta["minted"] is None else Jid(meta["minted"]),
        jobs=[structs.replace(job, secrets=secrets.get(job.jid, NO_SECRETS)) for job in jobs],
        pairs=[rows.bare_from_row(row) for row in connection.execute(SQL["open_pairs"])],
        stops=[rows.stop_from_row(row) for row in connection.execute(SQL["stops"])],
        minions=[rows.minion_from_row(row) for row in connection.execute(SQL["minions"])],
        tokens=[rows.token_from_row(row) for row in connection.execute(SQL["tokens"])],
        latest=meta["latest"],
    )


def job(connection: sqlite3.Connection, jid: Jid) -> Job:
    """Raises UnknownJobError."""
    row = connection.execute(SQL["job"], (pack_jid(jid),)).fetchone()
    if row is None:
        raise UnknownJobError(f"cannot find job {jid}: no such job is stored")
    return rows.job_from_row(row)


def counts(connection: sqlite3.Connection, row: Row) -> dict[State, int]:
    """Of the job in `row`: as they were stored when it was done, else counted now."""
    stored = rows.counts_from_row(row)
    if stored is not None:
        return stored
    return rows.states_from_rows(connection.execute(SQL["count_states"], (row[0],)).fetchall())


def pairs(readers: Readers, jid: Jid, minions: Sequence[MinionId] | None, values: bool) -> Iterator[Pair]:
    """By minion id. No connection is held while the caller looks at a pair, however long that takes."""
    if minions is None:
        return _all_pairs(readers, jid, values)
    return _named_pairs(readers, jid, sorted(set(minions)), values)


def _all_pairs(readers: Readers, jid: Jid, values: bool) -> Iterator[Pair]:
    query = SQL["pairs" if values else "bare_pairs"]
    after = ""
    while True:
        with readers.moment() as connection:
            # A cursor that is not read to its end keeps its moment, and the next borrower would see the past.
            with contextlib.closing(connection.execute(query, (pack_jid(jid), after))) as found:
                page, more = _page(found)
        yield from page
        if not more:
            return
        after = page[-1].minion


def _named_pairs(readers: Readers, jid: Jid, names: list[MinionId], values: bool) -> Iterator[Pair]:
    query = SQL["pair" if values else "bare_pair"]
    key = pack_jid(jid)
    while names:
        with readers.moment() as connection:
            found = (row for name in names if (row := connection.execute(query, (key, name)).fetchone()) is not None)
            page, more = _page(found)
        yield from page
        if not more:
            return
        names = [name for name in names if name > page[-1].minion]


def _page(found: Iterator[Row]) -> tuple[list[Pair], bool]:
    """Pairs up to the limit of a page, and whether there may be more."""
    page: list[Pair] = []
    size = 0
    for row in found:
        page.append(rows.pair_from_row(row) if len(row) > 6 else rows.bare_from_row(row))
        size += sum(len(blob) for blob in row[6:] if blob is not None)
        if len(page) >= PAGE_PAIRS or size >= PAGE_BYTES:
            return page, True
    return page, False
