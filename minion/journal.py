"""What a minion's schedule must not forget: the verdict of each planned run, where each entry stands, what was changed
at run time. One SQLite file, `schedule.db`; all calls belong on one thread. Decides nothing.

The file is made with the first thing to keep, and SQLite is loaded with it: most minions have no schedule.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from common.errors import JrError
from common.files import sync_folder
from common.ids import Jid
from common.messages import OCCURRENCES_PAGE
from common.packed import packed, unpacked
from common.schedule.entries.layers import Change
from common.schedule.model import BEGUN, Hold, Occurrence, Standing, Step

if TYPE_CHECKING:
    import sqlite3

FILE = "schedule.db"
_VERSION = 1
OPEN_LIMIT = 10_000
"""Runs that may go on over a restart: as many as a host holds jobs."""
KEPT = 50_000
"""Verdicts that the master has noted, at most: some 10 MB."""
UNTOLD = 200_000
"""Verdicts that wait for the master, at most: some 40 MB. An entry that runs each minute makes as many in 20 weeks."""
LEAST = 7 * 86_400.0
"""Seconds that a noted verdict is kept at least."""
_LAST = 2**62
"""A place behind all others."""
_TIDY = 1_000
"""Rows that one transaction removes: the next one is not held up for long."""
_PATIENCE = 5.0
"""Seconds to wait for somebody who reads the file beside us."""
_log = logging.getLogger("jr.minion.journal")
T = TypeVar("T", bound=msgspec.Struct)

_TUNE = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 64;
PRAGMA journal_size_limit = 262144;
PRAGMA cache_size = -256;
PRAGMA temp_store = MEMORY;
"""
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE occurrence (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which the master is told
    schedule TEXT NOT NULL, planned REAL NOT NULL, attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    jid TEXT,
    begun INTEGER NOT NULL DEFAULT 0,       -- the host is known to have taken the job
    ended INTEGER NOT NULL,                 -- the engine knows its end, or there is none to come
    body BLOB NOT NULL,
    UNIQUE (schedule, planned, attempt));
CREATE INDEX occurrence_open ON occurrence (jid) WHERE ended = 0;
CREATE TABLE standing (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE change (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE mark (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;  -- hold, noted
PRAGMA user_version = 1;
COMMIT;
"""
_PUT = """INSERT OR REPLACE INTO occurrence (schedule, planned, attempt, at, jid, ended, body)
          VALUES (?, ?, ?, ?, ?, ?, ?)"""
_PAGE = "SELECT seq, body FROM occurrence WHERE seq > ? ORDER BY seq LIMIT ?"
_OPEN = "SELECT begun, body FROM occurrence WHERE ended = 0 ORDER BY seq LIMIT ?"
_PUT_STANDING = "INSERT OR REPLACE INTO standing VALUES (?, ?)"
_PUT_CHANGE = "INSERT OR REPLACE INTO change VALUES (?, ?)"
_PUT_MARK = "INSERT OR REPLACE INTO mark VALUES (?, ?)"
_COUNT_NOTED = "SELECT count(*) FROM occurrence WHERE seq <= ?"
_COUNT_UNTOLD = "SELECT count(*) FROM occurrence WHERE seq > ?"
_OLD = """DELETE FROM occurrence WHERE seq IN (
          SELECT seq FROM occurrence WHERE seq <= ? AND ended = 1 AND at < ? ORDER BY seq LIMIT ?)"""
_SURPLUS = """DELETE FROM occurrence WHERE seq IN (
              SELECT seq FROM occurrence WHERE seq > ? AND seq <= ? AND ended = 1 ORDER BY seq LIMIT ?)"""


class JournalError(JrError):
    """The journal cannot be written for now; nothing of what was asked for is in it."""


class Unended(NamedTuple):
    """A run of which the engine does not know the end."""

    occurrence: Occurrence
    begun: bool
    """Whether the host is known to have taken its job; when it is not, it may have all the same."""


class Kept(NamedTuple):
    """What an earlier start of the agent left."""

    standings: dict[str, Standing]
    hold: Hold | None
    changes: list[Change]
    unended: list[Unended]
    last: Jid | None
    """The greatest jid of a run."""


class Journal:
    """The file. Every method may raise JournalError, and writes all or nothing."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._aside = state / "quarantine"
        self._connection: sqlite3.Connection | None = None
        # What must go on when the file is damaged while it is in use: it is small, and written into the new one.
        self._standings: dict[str, bytes] = {}
        self._changes: dict[str, bytes] = {}
        self._hold: bytes | None = None
        self._loaded = False
        """Whether what must go on is in memory."""
        self._noted = 0
        self._told = 0
        """The greatest place that a page ended with."""

    def load(self) -> Kept:
        """What is kept. A damaged file is moved aside, with a line in the log, and a new one is begun."""
        if not self._path.exists() and not _log_of(self._path).exists():
            self._loaded = True
            return Kept({}, None, [], [], None)
        try:
            return self._load()
        except (msgspec.MsgspecError, ValueError) as error:
            self._replace(f"it holds what this version cannot read: {error}")
            return self._load()

    def write(self, step: Step, begun: Iterable[Jid] = ()) -> None:
        """Make a step durable; `begun` are runs whose jobs the host has taken since."""
        def work(connection: sqlite3.Connection) -> None:
            for one in step.occurrences:
                ended = one.jid is None or one.verdict not in BEGUN
                connection.execute(_PUT, (one.schedule, one.planned, one.attempt, one.at, one.jid, ended, packed(one)))
            connection.executemany("UPDATE occurrence SET begun = 1 WHERE jid = ?", [(jid,) for jid in begun])
            connection.executemany("UPDATE occurrence SET ended = 1 WHERE jid = ?", [(jid,) for jid in step.ended])
            connection.executemany(_PUT_STANDING, standings.items())
            connection.executemany("DELETE FROM standing WHERE name = ?", [(name,) for name in step.dropped])
            connection.executemany(_PUT_MARK, (("hold", hold), ("noted", self._noted)))

        standings = {one.name: packed(one) for one in step.standings}
        hold = None if step.hold is None else packed(step.hold)
        self._transact(work)
        self._standings |= standings
        for name in step.dropped:
            self._standings.pop(name, None)
        self._hold = hold

    def change(self, changes: Iterable[Change]) -> None:
        """Keep what was changed at run time: the last change of each name, and nothing where nothing is changed."""
        bodies = {change.name: None if change.nothing else packed(change) for change in changes}
        kept = {name: body for name, body in bodies.items() if body is not None}

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM change WHERE name = ?", [(name,) for name in bodies])
            connection.executemany(_PUT_CHANGE, kept.items())

        self._transact(work)
        self._changes = {name: body for name, body in {**self._changes, **bodies}.items() if body is not None}

    def page(self) -> tuple[int, list[Occurrence]]:
        """The oldest verdicts that the master has not noted, and the place of the last of them; 0 when there are none.
        """
        if self._connection is None and not self._path.exists():
            return 0, []
        rows = self._transact(lambda connection: connection.execute(_PAGE, (self._noted, OCCURRENCES_PAGE)).fetchall())
        self._told = max(self._told, rows[-1][0] if rows else 0)
        return (rows[-1][0] if rows else 0), [unpacked(body, Occurrence) for _, body in rows]

    def noted(self, place: int) -> None:
        """The master has all up to this place. It becomes durable with the next step: until then they are told twice.
        """
        self._noted = max(self._noted, place)

    def tidy(self, before: float) -> None:
        """Remove what the master has noted and was decided `before`, epoch seconds, and what is too much.

        Verdicts that wait for the master only go when they are too many, the oldest first, with a line in the log.
        """
        if self._connection is None:
            return
        while self._transact(lambda connection: connection.execute(_OLD, (self._noted, before, _TIDY)).rowcount):
            pass
        self._cut(_COUNT_NOTED, KEPT, 0, self._noted)
        if dropped := self._cut(_COUNT_UNTOLD, UNTOLD, self._noted, _LAST):
            _log.error("dropping the %d oldest verdicts of the schedule: %d wait for the master already", dropped,
                       UNTOLD, extra={"action": "journal.dropped"})

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # inside

    def _cut(self, counted: str, most: int, behind: int, up_to: int) -> int:
        """Remove the oldest between two places, as far as there are more than `most`; how many."""
        def work(connection: sqlite3.Connection) -> int:
            count: int = connection.execute(counted, (self._noted,)).fetchone()[0]
            return connection.execute(_SURPLUS, (behind, up_to, max(0, min(count - most, _TIDY)))).rowcount

        total = 0
        while cut := self._transact(work):
            total += cut
        return total

    def _load(self) -> Kept:
        def work(connection: sqlite3.Connection) -> list[list[Any]]:
            return [connection.execute(query, values).fetchall() for query, values in (
                ("SELECT name, body FROM standing", ()), ("SELECT name, body FROM change", ()),
                ("SELECT name, value FROM mark", ()), (_OPEN, (OPEN_LIMIT,)),
                ("SELECT max(jid) FROM occurrence", ()))]

        standings, changes, marks, unended, last = self._transact(work)
        mark = dict(marks)
        hold, noted = mark.get("hold"), int(mark.get("noted") or 0)
        kept = Kept({name: unpacked(body, Standing) for name, body in standings},
                    None if hold is None else unpacked(hold, Hold),
                    [unpacked(body, Change) for _, body in changes],
                    [Unended(unpacked(body, Occurrence), bool(begun)) for begun, body in unended],
                    None if last[0][0] is None else Jid(last[0][0]))
        # Only what could be read: a file that is begun anew is filled with this.
        self._standings, self._changes, self._hold, self._noted = dict(standings), dict(changes), hold, noted
        self._loaded = True
        return kept

    def _transact(self, work: Any) -> Any:
        """Do it in one transaction; in a new file when this one turns out to be damaged."""
        import sqlite3

        for last in (False, True):
            try:
                return _in_one(self._opened(), work)
            except sqlite3.DatabaseError as error:
                if _is_damage(error) and not last:
                    self._replace(str(error))
                    continue
                self._give_up()
                raise JournalError(_told(error)) from error
            except OSError as error:
                raise JournalError(str(error.strerror)) from error
        raise JournalError("it is damaged")

    def _opened(self) -> sqlite3.Connection:
        """The connection; made now, with the tables, when there is none."""
        import sqlite3

        if self._connection is not None:
            return self._connection
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            self._path.chmod(0o600)
            connection.executescript(_TUNE)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise sqlite3.DatabaseError(f"malformed for this version, which knows {_VERSION}, not {version}")
            if version == 0:
                connection.executescript(_TABLES)
                sync_folder(self._path.parent)
            elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("malformed")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _give_up(self) -> None:
        """A connection that failed is not used again: nobody knows what state it is in."""
        with contextlib.suppress(Exception):  # whatever it says of its end, it is not ours any more
            self.close()

    def _replace(self, why: str) -> None:
        """Move a damaged file aside, and begin a new one with what memory holds."""
        self._give_up()
        lost = "" if self._loaded else (", as are all changes made at run time and the hold, if there was one; entries "
                                        "count from now")
        _log.error("the schedule's journal is damaged, moved to %s, and begun anew: %s; verdicts that were not told "
                   "are lost%s", self._aside / FILE, why, lost, extra={"action": "journal.damaged"})
        try:
            self._aside.mkdir(mode=0o700, exist_ok=True)
            for suffix in ("-shm", "-wal", ""):
                path = self._path.with_name(FILE + suffix)
                if path.exists():
                    path.replace(self._aside / path.name)
            sync_folder(self._path.parent)
            _in_one(self._opened(), self._refill)
        except OSError as error:
            raise JournalError(str(error.strerror)) from error

    def _refill(self, connection: sqlite3.Connection) -> None:
        connection.executemany(_PUT_STANDING, self._standings.items())
        connection.executemany(_PUT_CHANGE, self._changes.items())
        connection.execute(_PUT_MARK, ("hold", self._hold))
        # Places never come again: the master may be about to note a page of the old file.
        self._noted = max(self._noted, self._told)
        connection.execute("INSERT INTO sqlite_sequence VALUES ('occurrence', ?)", (self._noted,))


def _in_one(connection: sqlite3.Connection, work: Any) -> Any:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the file that is wrong, and not the disk or a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return "malformed" in str(error) or "no such" in str(error) or (code is not None and code & 0xFF in (11, 26))


def _told(error: sqlite3.DatabaseError) -> str:
    """In the words of the system, where it has some."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {13: "No space left on device", 8: "Read-only file system"}.get(code, " ".join(str(error).split())[:200])


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
