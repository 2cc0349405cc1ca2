"""R-B31: the wall clocks of master and minion step by an hour, a day, ten years, in the middle of jobs.

Nothing can step the clock of a host for some of its processes alone, so the daemons find another `time.time` when they
start: the true one plus what a file of the test says. All else is real: sockets and time limits run on other clocks.
Supervisors are not reached by that; they look at the wall clock only for the times that people read.
"""

from __future__ import annotations

import argparse
import itertools
import signal
from typing import NamedTuple

from common.ids import Jid
from tests.chaos.heal import Healed, begin, ended_pairs, heal, listed, pause
from tests.chaos.jobs import Book, Work
from tests.chaos.members import Member, Members, members

HOUR, DAY, YEAR = 3600.0, 86400.0, 365.25 * 86400.0
STEPS = {"+1 h": HOUR, "-1 h": -HOUR, "-1 day": -DAY, "+10 years": 10 * YEAR}
LIMIT = 1.0
"""Seconds that the job with a time limit gets."""
SLOW = 30.0
"""Seconds that a loaded machine may take to see it."""
LATE = 2035
"""The year that it seems to be after the last step, at least: this was written in 2026."""
SPEAKS = "echo early; until [ -e {gate} ]; do sleep 0.05; done; echo late"
_MODULE = """
import os
import time

_true, _path = time.time, os.environ["STEPPED_CLOCK"]


def _stepped():
    with open(_path) as file:
        return _true() + float(file.read())


time.time = _stepped
"""


class Step(NamedTuple):
    """What came of one step of the clocks."""

    name: str
    healed: Healed
    wrong: list[str]

    @property
    def good(self) -> bool:
        """Whether every job ended as it would have, and nothing that was kept is gone."""
        return self.healed.good and not self.wrong

    def report(self) -> str:
        """For people."""
        return "\n".join([f"clocks stepped {self.name}", *(f"wrong: {line}" for line in self.wrong),
                          self.healed.report()])


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--jobs", type=int, default=20, help="how many with each step (default 20)")
    parser.add_argument("--wait", type=float, default=70.0,
                        help="seconds after the last step, for the master to look for what is old (default 70)")


def run(options: argparse.Namespace) -> int:
    """Run it, and say what became of every job."""
    good = True
    with members(1) as fleet:
        for found in steps(fleet, options.jobs, options.wait):
            print(found.report(), flush=True)
            good = good and found.good
    return 0 if good else 1


class Clock:
    """The wall clock of one daemon from its next start on."""

    def __init__(self, fleet: Members, member: Member) -> None:
        folder = fleet.fleet.base / f"clock-{member.name}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_MODULE)
        self._path = folder / "offset"
        self.ahead = 0.0
        self.step(0.0)
        member.env = {"PYTHONPATH": str(folder), "STEPPED_CLOCK": str(self._path)}

    def step(self, seconds: float) -> None:
        """Step it, now."""
        self.ahead += seconds
        fresh = self._path.with_suffix(".new")
        fresh.write_text(str(self.ahead))
        fresh.rename(self._path)


def steps(fleet: Members, jobs: int, wait: float) -> list[Step]:
    """Step both clocks again and again under jobs, and start the daemons anew after each step.

    In the end `wait` seconds pass, in which the master may remove what it thinks is old.
    """
    clocks = []
    for member in fleet.all:
        clocks.append(Clock(fleet, member))
        member.end()
    fleet.up()
    found: list[Step] = []
    asked: list[str] = []
    spoken: list[str] = []
    for number, (name, seconds) in enumerate(STEPS.items()):
        book = Book(fleet, f"clocks-{number}")
        gate = fleet.fleet.base / f"gate-{number}"
        limited = fleet.fleet.start("m1", "cmd.run", "sleep 600", f"timeout={LIMIT}")
        spoken.append(fleet.fleet.start("m1", "cmd.run", SPEAKS.format(gate=gate)))
        early, late = works(jobs)
        asked += [limited, spoken[-1], *begin(fleet, book, early)]
        for clock in clocks:
            clock.step(seconds)
        asked += begin(fleet, book, late)
        wrong = _limit(fleet, limited)
        for member in fleet.all:
            member.end(signal.SIGKILL)
        fleet.up()
        gate.touch()
        healed = heal(fleet, book)
        found.append(Step(name, healed, [*wrong, *_kept(fleet, asked, spoken)]))
    book = Book(fleet, "clocks-last")
    asked += begin(fleet, book, works(jobs)[0])
    pause(wait)
    wrong = [] if Jid(asked[-1]).minted.year >= LATE else [f"{asked[-1]} was minted by a clock that did not step"]
    found.append(Step(f"no more, and {wait:g} s passed", heal(fleet, book), wrong + _kept(fleet, asked, spoken)))
    return found


def works(jobs: int) -> tuple[list[Work], list[Work]]:
    """Jobs to be asked for before a step, and after it."""
    return ([Work(number, "m1", 0.2 + number % 3, number % 5) for number in range(jobs // 2)],
            [Work(number, "m1", 0.1, number % 5) for number in range(jobs // 2, jobs)])


def _limit(fleet: Members, jid: str) -> list[str]:
    """What is wrong with the job that had a time limit."""
    pair = fleet.fleet.ended(jid)
    if pair["state"] == "timed_out" and LIMIT <= pair["duration"] < LIMIT + SLOW:
        return []
    return [f"{jid} had {LIMIT:g} s, and ended as {pair}"]


def _kept(fleet: Members, asked: list[str], spoken: list[str]) -> list[str]:
    """What is wrong with all jobs so far, in the order in which they were asked for: none is purged, jids only grow."""
    with fleet.connection() as connection:
        known = {job["jid"] for job in listed(connection)}
        heard = {jid: [pair["stdout"] for pair in ended_pairs(connection, jid)] for jid in spoken}
    wrong = [f"{jid} is not listed any more" for jid in asked if jid not in known]
    wrong += [f"{late} was minted after {early}" for early, late in itertools.pairwise(asked) if late <= early]
    return wrong + [f"{jid} said {said}" for jid, said in heard.items() if said != ["early\nlate\n"]]
