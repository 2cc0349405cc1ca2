"""Jobs on a fleet whose daemons are killed at random: all of them, again and again, while the jobs are under way.

`--seed` fixes what is killed in which order and what the jobs are; the moments differ, since the machine is real.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import threading
from typing import NamedTuple

from common import clock
from common.control import Connection
from common.errors import JrError
from tests.chaos.jobs import Book, Verdict, Work
from tests.chaos.members import Member, Members, members

MINIONS = 4
LONGEST = 3.0
"""Seconds of the longest job."""
RETRY = 0.05
"""Seconds between two looks for a master that is away."""


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--jobs", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2.5, help="how long the storm lasts (default 2.5)")


def run(options: argparse.Namespace) -> int:
    """Run the storm, and say what became of every job."""
    outcome = storm(options.jobs, options.seed, options.minutes * 60)
    print(outcome.report(), flush=True)
    return 0 if outcome.good else 1


class Outcome(NamedTuple):
    """What a storm did, and what became of the jobs."""

    verdict: Verdict
    printed: int
    unknown: int
    kills: dict[str, int]
    settled: float
    """Seconds from the last fault until everything was complete."""
    left: list[str]
    """Files of jobs that were still held when the time was over."""

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return self.verdict.good and not self.left

    def report(self) -> str:
        """For people; the last line is the counts."""
        kills = ", ".join(f"{count} of {kind}" for kind, count in self.kills.items())
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.verdict.states.items()))
        lines = [self.verdict.details(), *(f"left over: {path}" for path in self.left),
                 f"{self.printed} jobs accepted, {self.unknown} answers cut off; {sum(self.kills.values())} kills: "
                 f"{kills}",
                 f"pairs: {states}; {len(self.verdict.wrong)} with a wrong end; complete {self.settled:.1f} s after "
                 "the last kill", self.verdict.line()]
        return "\n".join(line for line in lines if line)


class Killer(threading.Thread):
    """Kills daemons and spawners at random moments and starts the daemons again, until it is told to stop."""

    def __init__(self, fleet: Members, rng: random.Random) -> None:
        super().__init__(name="killer")
        self.kills = {"the master": 0, "agents": 0, "spawners": 0}
        self.failed: BaseException | None = None
        self._fleet = fleet
        self._rng = rng
        self._over = threading.Event()

    def run(self) -> None:
        """Kill, wait a little, bring up, wait a little."""
        try:
            while not self._over.wait(self._rng.uniform(0.1, 1.2)):
                for member in self._rng.sample(self._fleet.all, self._rng.choice((1, 1, 2))):
                    self._strike(member)
                self._over.wait(self._rng.uniform(0.0, 0.5))
                for member in self._fleet.all:
                    member.start()
        except BaseException as error:  # told to whoever waits for this thread
            self.failed = error

    def stop(self) -> None:
        """No more kills. Raises what went wrong in the thread."""
        self._over.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def _strike(self, member: Member) -> None:
        if self._rng.random() < 0.15 and (spawner := member.spawner()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(spawner, signal.SIGKILL)
                self.kills["spawners"] += 1
        elif member.end(signal.SIGKILL):
            self.kills["the master" if member is self._fleet.master else "agents"] += 1


def storm(jobs: int, seed: int, seconds: float) -> Outcome:
    """So many jobs, spread over so many seconds, in a storm of kills; then peace, and the count."""
    rng = random.Random(seed)
    with members(MINIONS) as fleet:
        book = Book(fleet)
        killer = Killer(fleet, random.Random(rng.random()))
        killer.start()
        try:
            _publish(fleet, book, rng, jobs, seconds)
        finally:
            killer.stop()
        return conclude(fleet, book, killer.kills)


def conclude(fleet: Members, book: Book, kills: dict[str, int]) -> Outcome:
    """After the last fault: bring all up, wait for the end of everything, and count."""
    fleet.up()
    start = clock.boottime()
    with contextlib.suppress(AssertionError):  # what is not over by then is counted
        book.settle()
    settled = clock.boottime() - start
    left = [str(path) for path in book.held()]
    return Outcome(book.judge(), len(book.printed), book.unknown, kills, settled, left)


def _publish(fleet: Members, book: Book, rng: random.Random, jobs: int, seconds: float) -> None:
    """Ask for jobs until so many jids were told, at an even pace, for minions that are there at that moment."""
    begin = clock.boottime()
    number = 0
    pause = threading.Event()
    connection: Connection | None = None
    while len(book.printed) < jobs:
        pause.wait(max(0.0, begin + seconds * len(book.printed) / jobs - clock.boottime()))
        try:
            if connection is None:
                connection = fleet.connection()
            present = sorted(name for name, seen in connection.ask("presence")["minions"].items() if seen["up"])
            if not present:
                pause.wait(RETRY)
                continue
            number += 1
            book.publish(connection, _work(rng, number, present))
        except JrError:
            if connection is not None:
                connection.close()
            connection = None
            pause.wait(RETRY)
    if connection is not None:
        connection.close()


def _work(rng: random.Random, number: int, present: list[str]) -> Work:
    chosen = rng.sample(present, rng.choice((1, 1, 1, len(present))))
    return Work(number, ",".join(sorted(chosen)), rng.choice((0.0, rng.uniform(0, LONGEST))), rng.choice((0, 0, 0, 3)))
