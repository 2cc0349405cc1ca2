"""R-A4: the master is away while jobs end on a minion: jobs that it had sent, and jobs that began there meanwhile.

All of their returns wait in the minion's spool, and are delivered when the master is back: each once.
"""

from __future__ import annotations

import argparse
import random
import signal
from collections import Counter
from typing import NamedTuple

from common import clock
from common.control import AGENT, Connection
from tests.chaos.heal import Healed, begin, ended_pairs, heal, listed, pause
from tests.chaos.jobs import Book, Work
from tests.chaos.members import Members, members

FLAT = 0.5
"""The part of its spool by which an agent may grow meanwhile: one that kept the returns would grow by all of it."""
OUTPUT = 200_000
"""Bytes that each of the calls writes, twice: more than a return carries of it, 128 KiB of each."""


class Outage(NamedTuple):
    """What was done, and what came of it."""

    healed: Healed
    spooled: int
    """Returns that waited when the master came back."""
    called: Counter[str]
    """The jids of the jobs that began on the minion, by how often the master lists them."""
    wrong: list[str]
    """What is not as it should be about these."""
    grown: int
    """KiB by which the agent's memory had grown by then."""
    size: int
    """KiB that the spool held."""

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return self.healed.good and not self.wrong and self.grown < FLAT * self.size

    def report(self) -> str:
        """For people."""
        lines = [f"{self.spooled} returns ({self.size} KiB) in the spool when the master came back, "
                 f"{len(self.called)} of jobs that began on the minion; the agent grew by {self.grown} KiB",
                 *(f"wrong: {line}" for line in self.wrong), self.healed.report()]
        return "\n".join(lines)


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--jobs", type=int, default=200, help="how many end meanwhile (default 200)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the master is away (default 10)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> int:
    """Run it, and say what became of every job."""
    with members(1) as fleet:
        found = outage(fleet, options.jobs, options.minutes * 60, options.seed)
    print(found.report(), flush=True)
    return 0 if found.good else 1


def outage(fleet: Members, jobs: int, seconds: float, seed: int = 1) -> Outage:
    """Half of the jobs begin before the master goes and end while it is away, the others begin and end meanwhile."""
    rng = random.Random(seed)
    book = Book(fleet, "outage")
    minion = fleet.minions[0]
    begin(fleet, book, [Work(number, "m1", 1.0 + rng.uniform(0.0, min(seconds, 10.0)), rng.choice((0, 0, 5)))
                        for number in range(jobs // 2)])
    fleet.master.end(signal.SIGKILL)
    back = clock.boottime() + seconds
    called = {_call(fleet, 0): 0}  # the first one takes memory that all others use again
    memory = minion.memory()
    called |= {_call(fleet, number % 3): number % 3 for number in range(1, jobs - jobs // 2)}
    pause(back - clock.boottime())
    spooled = list((minion.state / "spool").iterdir())
    size, grown = sum(file.stat().st_size for file in spooled) // 1024, minion.memory() - memory
    healed = heal(fleet, book)
    listed, wrong = _compare(fleet, called)
    return Outage(healed, len(spooled), listed, wrong, grown, size)


def _call(fleet: Members, code: int) -> str:
    """A job that begins on the minion, run to its end; its jid."""
    line = f"head -c {OUTPUT} /dev/zero | tee /dev/stderr; exit {code}"
    with Connection(fleet.fleet.minion("m1") / "run/jr/minion.sock", AGENT) as connection:
        first = next(connection.stream("call", None, function="cmd.run", args=[line]))
        return str(first["jid"])


def _compare(fleet: Members, called: dict[str, int]) -> tuple[Counter[str], list[str]]:
    """How often the master lists each of these, and what it says wrongly of them; `called` has their exit codes."""
    wrong = []
    with fleet.connection() as connection:
        found = Counter(job["jid"] for job in listed(connection) if job["jid"] in called)
        for jid, code in called.items():
            codes = [pair["retcode"] for pair in ended_pairs(connection, jid)] if found[jid] else []
            if found[jid] != 1 or codes != [code]:
                wrong.append(f"{jid} ended with {code}; the master lists it {found[jid]} times, with {codes}")
    return found, wrong
