"""Retention in SQLite, by small steps: each is one transaction that holds the writer for milliseconds."""

from __future__ import annotations

import itertools
import sqlite3

from master.store import rows
from master.store.opening import number
from master.store.queries import SQL

STEP_BYTES = 4 * 1024 * 1024
"""Bytes of values and output that one step deletes before it stops, whatever its number of pairs."""
KEPT_PAGES = 256
"""Free pages (1 MiB) that stay for the next returns instead of going back to the file system."""

_VALUED, _DROPPED = 0, 1


class Step:
    """One step: `batch` pairs and jobs at most. `run` returns how many it touched."""

    def __init__(self, connection: sqlite3.Connection, batch: int) -> None:
        self._connection = connection
        self._batch = batch
        self._left = batch
        self._bytes = STEP_BYTES

    def run(self, values_age: float, pairs_age: float) -> int:
        """Inside a transaction. Ages in seconds of running time. Raises sqlite3.Error."""
        self._drop_jobs(pairs_age)
        self._drop_values(values_age)
        self._drop_runs(pairs_age)
        return self._batch - self._left

    def _open(self) -> bool:
        return self._left > 0 and self._bytes > 0

    def _drop_jobs(self, age: float) -> None:
        while self._open() and (key := self._gone() or self._retire(age)) is not None:
            if self._sweep(key, "gone_pairs", "drop_pair"):
                self._connection.execute(SQL["clear_gone"], (key,))
                self._left -= 1

    def _gone(self) -> bytes | None:
        row = self._connection.execute(SQL["gone"]).fetchone()
        return None if row is None else row[0]

    def _retire(self, age: float) -> bytes | None:
        """Delete the oldest job that is due. It goes before its pairs: nobody is shown a job with a part of them."""
        key = self._oldest(_DROPPED, age) or self._oldest(_VALUED, age)
        if key is None:
            return None
        row = self._connection.execute(SQL["job"], (key,)).fetchone()
        self._connection.executemany(SQL["drop_state"], [(rows.state_number(state), key)
                                                         for state in rows.counts_from_row(row) or ()])
        self._connection.executemany(SQL["drop_metadata"], [(*item, key)
                                                            for item in rows.job_from_row(row).metadata.items()])
        self._connection.execute(SQL["drop_job_stops"], (key,))
        self._connection.execute(SQL["drop_job"], (key,))
        self._connection.execute(SQL["mark_gone"], (key,))
        return key

    def _drop_values(self, age: float) -> None:
        while self._open() and (key := self._oldest(_VALUED, age)) is not None:
            if self._sweep(key, "valued_pairs", "drop_values"):
                self._connection.execute(SQL["mark_dropped"], (key,))
                self._left -= 1

    def _drop_runs(self, age: float) -> None:
        """Verdicts, in the order in which they came."""
        if self._open():
            found = self._connection.execute(SQL["first_occurrences"], (self._left,)).fetchall()
            old = [(id,) for id, its_age in found if its_age >= age]
            self._connection.executemany(SQL["drop_occurrence"], old)
            self._left -= len(old)

    def _sweep(self, key: bytes, find: str, drop: str) -> bool:
        """Treat pairs of one job as far as this step may go; True when none is left."""
        found = self._connection.execute(SQL[find], (key, self._left)).fetchall()
        # The sum before a pair: one that is greater than all that is left still goes when it is the first.
        before = itertools.accumulate((size for _, size in found), initial=0)
        chosen = [(key, minion) for (minion, _), sum_before in zip(found, before, strict=False)
                  if sum_before < self._bytes]
        self._connection.executemany(SQL[drop], chosen)
        self._bytes -= sum(size for _, size in found[:len(chosen)])
        whole = len(chosen) == len(found) < self._left
        self._left -= len(chosen)
        return whole

    def _oldest(self, dropped: int, age: float) -> bytes | None:
        row = self._connection.execute(SQL["oldest_done"], {"dropped": dropped, "age": age}).fetchone()
        return None if row is None else row[0]


def give_back(connection: sqlite3.Connection) -> int:
    """Return a slice of the free pages to the file system, outside a transaction; how many. Raises sqlite3.Error."""
    free = number(connection, "free_pages")
    if free <= KEPT_PAGES:
        return 0
    # SQLite gives one page back at each step of this statement, and `execute` takes one step where no row comes.
    connection.executescript(SQL["give_back"])
    return free - number(connection, "free_pages")
