"""A slow disk: every sync of the agent, its supervisors and the master takes half a second longer.

All jobs are asked for at once, so that the agent's disk is busy for as many seconds as there are jobs. Meanwhile the
minion must stay connected, and every job must succeed.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, NamedTuple

from common import clock
from tests.chaos.jobs import Book, Verdict, Work
from tests.chaos.members import Members, members
from tests.chaos.strace import unusable, watching
from tests.lib.wait import until

DELAY = "delay_enter=500ms"
PER_JOB = 4.0
"""Seconds that a job may take longer on such a disk: some eight syncs, most of them beside those of other jobs."""


class Outcome(NamedTuple):
    """What became of the jobs and of the connection."""

    verdict: Verdict
    delayed: int
    """How many syncs were held up."""
    seconds: float
    silence: float
    """The longest time for which the master heard nothing of its minion."""
    broke: bool
    """Whether the connection broke."""

    @property
    def good(self) -> bool:
        """Whether all went as it should."""
        return self.verdict.good and set(self.verdict.states) == {"succeeded"} and not self.broke


class Patience:
    """Asks the master again and again whether its minion is still there."""

    def __init__(self, fleet: Members, book: Book) -> None:
        self._fleet = fleet
        self._book = book
        self._since = self._presence()["since"]
        self.silence = 0.0
        self.broke = False

    def settled(self) -> bool:
        """Whether all jobs are over; looks at the minion by the way."""
        seen = self._presence()
        self.broke = self.broke or seen["since"] != self._since
        self.silence = max(self.silence, clock.wall() - seen["last_seen"])
        return self._book.settled()

    def _presence(self) -> dict[str, Any]:
        with self._fleet.connection() as connection:
            found: dict[str, Any] = connection.ask("presence")["minions"]["m1"]
        return found


def slow(fleet: Members, jobs: int) -> Outcome:
    """So many jobs at once on a slow disk."""
    book = Book(fleet, "slow")
    agent = fleet.minions[0]
    begin = clock.boottime()
    with contextlib.ExitStack() as stack:
        watches = []
        for pid, call in ((agent.pid, "fsync"), (agent.spawner(), "fsync"), (fleet.master.pid, "fdatasync")):
            assert pid is not None
            watches.append(stack.enter_context(watching(pid, call, DELAY)))
        patience = Patience(fleet, book)
        with fleet.connection() as connection:
            for number in range(1, jobs + 1):
                book.publish(connection, Work(number, "m1", 0.0, 0))
        until(patience.settled, 60 + jobs * PER_JOB, "the end of all jobs")
    return Outcome(book.judge(), sum(watch.hits for watch in watches), clock.boottime() - begin, patience.silence,
                   patience.broke)


def options(parser: argparse.ArgumentParser) -> None:
    """What may be said on the command line."""
    parser.add_argument("--jobs", type=int, default=60, help="how many at once (default 60)")


def run(chosen: argparse.Namespace) -> int:
    """Play it, and say what was seen. 1 when a promise broke."""
    reason = unusable()
    if reason is not None:
        print(f"cannot slow the disk down: {reason}")
        return 1
    with members(1) as fleet:
        fleet.up()
        outcome = slow(fleet, chosen.jobs)
    print(outcome.verdict.details(), end="")
    print(f"slow disk: {outcome.delayed} syncs took half a second longer; {outcome.seconds:.0f} s; the connection "
          f"{'broke' if outcome.broke else 'held'}, {outcome.silence:.1f} s of silence at most; "
          f"{outcome.verdict.states['succeeded']} of {chosen.jobs} jobs succeeded")
    return 0 if outcome.good else 1
