"""After the last fault: how long until everything is complete, what became of all jobs, and what was left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from common import clock
from common.control import Connection
from tests.chaos.jobs import SETTLE_SECONDS, Book, Verdict, Work
from tests.chaos.members import Members
from tests.lib.wait import until

GONE_SECONDS = 20.0
"""How long the last processes of a job, and connections of daemons that are dead, may take to go."""
PAGE = 500
SEEN = {"succeeded", "failed"}


class Healed(NamedTuple):
    """What was found when all was over."""

    verdict: Verdict
    seconds: float
    """From the last fault until no job was open and no host held anything."""
    left: list[str]
    """Records, returns and processes that nobody needs any more and that are still there."""

    @property
    def good(self) -> bool:
        """Whether every job ran once, to its own end, and nothing is left: for faults that touch no job."""
        return self.verdict.good and self.verdict.states.keys() <= SEEN and not self.left

    @property
    def true(self) -> bool:
        """The same for faults that a master may notice: what it knew it could not deliver may be `undelivered`."""
        return self.verdict.good and self.verdict.states.keys() <= {*SEEN, "undelivered"} and not self.left

    def report(self) -> str:
        """For people; the last line is the counts."""
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.verdict.states.items()))
        lines = [self.verdict.details(), *(f"left over: {one}" for one in self.left),
                 f"pairs: {states}; {len(self.verdict.wrong)} with a wrong end; complete {self.seconds:.1f} s after "
                 "the last fault", self.verdict.line()]
        return "\n".join(line for line in lines if line)


def begin(fleet: Members, book: Book, works: list[Work]) -> list[str]:
    """Ask for these jobs of m1, and wait until each is on its disk; their jids."""
    proc = fleet.minions[0].state / "proc"
    jids = []
    with fleet.connection() as connection:
        for work in works:
            jid = str(book.publish(connection, work))
            accepted = partial(_accepted, book, work, proc / f"{jid}.json")
            until(accepted, GONE_SECONDS, f"{jid} is accepted")
            jids.append(jid)
    return jids


def _accepted(book: Book, work: Work, record: Path) -> bool:
    return record.exists() or bool(book.marks(work.number, work.target))


def pause(seconds: float) -> None:
    """Let time pass while the fleet is at work: a fault lasts, or a beat is kept."""
    end = clock.boottime() + seconds
    until(lambda: clock.boottime() >= end, max(seconds, 0.0) + GONE_SECONDS)


def heal(fleet: Members, book: Book, since: float | None = None) -> Healed:
    """Bring all up, and wait: what is not over after the two minutes of P9 is counted as left over.

    `since` is the boot time of the last fault, if that is not now.
    """
    start = clock.boottime() if since is None else since
    fleet.up()
    with contextlib.suppress(AssertionError):
        until(book.settled, SETTLE_SECONDS, "the end of all jobs")
    seconds = clock.boottime() - start
    with contextlib.suppress(AssertionError):
        until(lambda: not fleet.strays(), GONE_SECONDS, "the end of all processes")
    left = [str(path) for path in book.held()] + [f"{pid} {line}" for pid, line in fleet.strays().items()]
    return Healed(book.judge(), seconds, left)


def listed(connection: Connection, **wanted: Any) -> Iterator[dict[str, Any]]:
    """All jobs that the master lists for a filter, page by page."""
    cursor = None
    while True:
        page = connection.ask("jobs", limit=PAGE, cursor=cursor, filter=wanted)
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return


def ended_pairs(connection: Connection, jid: str) -> list[dict[str, Any]]:
    """What the master says of the pairs of a job."""
    return [item["pair"] for item in connection.stream("watch", None, jid=jid, follow=False)
            if item.get("event") == "pair"]
