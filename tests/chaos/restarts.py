"""R-A2: one daemon is killed again and again at a fixed beat while jobs start, run and end, each as if nothing were.

The jobs are asked for in equal shares, each just before a kill: as soon as their records are on the minion's disk.
"""

from __future__ import annotations

import argparse
import random
import signal
from typing import NamedTuple

from common import clock
from tests.chaos.heal import GONE_SECONDS, Healed, begin, heal, pause
from tests.chaos.jobs import Book, Work
from tests.chaos.members import Members, members
from tests.lib.wait import until

CODES = (0, 0, 1, 7, 42, 255)
SPARE_FILES = 4
"""Descriptors that a daemon may have beyond those it had before: a connection that is being looked at, a reader."""


class Restarts(NamedTuple):
    """What was done, and what came of it."""

    who: str
    kills: int
    healed: Healed
    files: dict[str, tuple[int, int]]
    """Open descriptors of each daemon, before and after."""

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return self.healed.good and all(after <= before + SPARE_FILES for before, after in self.files.values())

    def report(self) -> str:
        """For people."""
        files = ", ".join(f"{name} {before} and {after}" for name, (before, after) in self.files.items())
        return f"{self.kills} kills of {self.who}; open files before and after: {files}\n{self.healed.report()}"


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--who", choices=["m1", "master"], help="who is killed (default first m1, then the master)")
    parser.add_argument("--jobs", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--longest", type=float, default=60.0, help="seconds of the longest job (default 60)")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long there are kills (default 120)")
    parser.add_argument("--beat", type=float, default=2.0, help="seconds from kill to kill (default 2)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> int:
    """Run it, and say what became of every job."""
    good = True
    for who in [options.who] if options.who else ["m1", "master"]:
        with members(1) as fleet:
            found = restarts(fleet, who, options.jobs, options.longest, options.seconds, options.beat, options.seed)
        print(found.report(), flush=True)
        good = good and found.good
    return 0 if good else 1


def restarts(fleet: Members, who: str, jobs: int, longest: float, seconds: float, beat: float = 2.0,
             seed: int = 1) -> Restarts:
    """Kill `who` each `beat` seconds for so long, under so many jobs of one second to `longest`."""
    rng = random.Random(seed)
    book = Book(fleet, f"restarts-{who}")
    begin(fleet, book, [Work(0, "m1", 0.0, 0)])  # a first job, so that all that is made once is made
    book.settle()
    before = {member.name: member.open_files() for member in fleet.all}
    works = [Work(number, "m1", rng.uniform(1.0, longest), rng.choice(CODES)) for number in range(1, jobs + 1)]
    victim = next(member for member in fleet.all if member.name == who)
    beats = max(1, int(seconds / beat))
    for left in range(beats, 0, -1):
        start = clock.boottime()
        share = -(-len(works) // left)
        if fleet.present():
            begin(fleet, book, [works.pop() for _ in range(share)])
        victim.end(signal.SIGKILL)
        victim.start()
        pause(start + beat - clock.boottime())
    fleet.up()
    begin(fleet, book, works)  # those for whose beat the minion had not come back in time
    victim.end(signal.SIGKILL)
    healed = heal(fleet, book)
    files = {member.name: (before[member.name], _files_in_the_end(fleet, member.name, before)) for member in fleet.all}
    return Restarts(who, beats + 1, healed, files)


def _files_in_the_end(fleet: Members, name: str, before: dict[str, int]) -> int:
    """How many descriptors stay open, once those of connections that are over had time to go."""
    member = next(member for member in fleet.all if member.name == name)
    end = clock.boottime() + GONE_SECONDS
    until(lambda: member.open_files() <= before[name] + SPARE_FILES or clock.boottime() > end, GONE_SECONDS * 2)
    return member.open_files()
