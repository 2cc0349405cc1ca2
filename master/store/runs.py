"""Lists of planned runs from SQLite: along an index, and never further than a bounded bite."""

from __future__ import annotations

import sqlite3
from typing import Any

from common.ids import Jid
from common.states import State
from master.store import rows
from master.store.base import Mark, Run, RunFilter, RunPage
from master.store.filters import last_of, run_fits
from master.store.queries import SQL
from master.store.reads import counts
from master.store.rows import Row, pack_jid

BITE = 8000
"""Runs that one page looks at, at most."""
_CHUNK = 1000
_FIRST = Mark(float("inf"), 0)


def page(connection: sqlite3.Connection, wanted: RunFilter, limit: int, before: Mark | None) -> RunPage:
    """At most `limit` planned runs, the latest first."""
    query, given = _stream(wanted)
    place = before or (_FIRST if wanted.until is None else Mark(wanted.until, 0))
    found: list[Run] = []
    for _ in range(BITE // _CHUNK):
        bounds = {**given, "last": place.last, "id": place.id, "count": _CHUNK}
        chunk = connection.execute(SQL[query], bounds).fetchall()
        for row in chunk:
            minion, run = rows.occurrence_from_row(row)
            if not run_fits(wanted, minion, run):
                place = Mark(last_of(run), row[0])
                continue
            if len(found) == limit:
                return RunPage(found, place)
            found.append(Run(minion, run, _states(connection, run.jid)))
            place = Mark(last_of(run), row[0])
        if len(chunk) < _CHUNK:
            return RunPage(found, None)
    return RunPage(found, place)


def _stream(wanted: RunFilter) -> tuple[str, dict[str, Any]]:
    since = {"since": float("-inf") if wanted.since is None else wanted.since}
    if wanted.minion is not None:
        return "occurrences_of_minion", {**since, "minion": str(wanted.minion)}
    if wanted.schedule is not None and not any(sign in wanted.schedule for sign in "*?["):
        return "occurrences_of_schedule", {**since, "schedule": wanted.schedule}
    return "occurrences", since


def _states(connection: sqlite3.Connection, jid: Jid | None) -> dict[State, int]:
    """How the job of a run stands."""
    row: Row | None = None
    if jid is not None:
        row = connection.execute(SQL["job"], (pack_jid(jid),)).fetchone()
    return {} if row is None else counts(connection, row)
