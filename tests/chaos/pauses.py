"""R-B36: the master, the agent, the spawner and the supervisors are stopped (SIGSTOP) for a while and go on (SIGCONT).

Jobs start and end meanwhile. Nothing may be lost falsely or start twice, and all must catch up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.chaos.heal import Healed, begin, heal, pause
from tests.chaos.jobs import Book, Work
from tests.chaos.members import Members, members
from tests.lib.wait import until

WHO = ("master", "agent", "spawner", "supervisor")


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--who", choices=WHO, action="append", help="who is stopped (default each of them in turn)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default 60)")


def run(options: argparse.Namespace) -> int:
    """Run it, and say what became of every job."""
    good = True
    with members(1) as fleet:
        for who in options.who or WHO:
            found = paused(fleet, who, options.seconds)
            print(f"{who} stopped for {options.seconds:g} s\n{found.report()}", flush=True)
            good = good and found.good
    return 0 if good else 1


def paused(fleet: Members, who: str, seconds: float) -> Healed:
    """Stop one process for so long, with jobs that end before, in and after that time; all but the master get one more
    job meanwhile."""
    book = Book(fleet, f"pause-{who}")
    lengths = (0.0, 0.3, 0.8, 1.3)
    works = [Work(number, "m1", length * seconds, number) for number, length in enumerate(lengths)]
    records = [fleet.minions[0].state / "proc" / f"{jid}.json" for jid in begin(fleet, book, works)[1:]]
    until(lambda: all(book.marks(work.number, "m1") for work in works), what="all jobs run")
    pids = _chosen(fleet, who, records)
    try:
        _send(pids, signal.SIGSTOP)
        pause(seconds / 2)
        if who != "master":
            with fleet.connection() as connection:
                book.publish(connection, Work(len(works), "m1", 0.1, 9))
        pause(seconds / 2)
    finally:
        _send(pids, signal.SIGCONT)
    return heal(fleet, book)


def _chosen(fleet: Members, who: str, records: list[Path]) -> list[int]:
    """The pids that this word means; of supervisors all that have a job under way."""
    minion = fleet.minions[0]
    if who == "supervisor":
        return [record["supervisor"] for record in map(_read, records) if record]
    pid = {"master": fleet.master.pid, "agent": minion.pid, "spawner": minion.spawner()}[who]
    assert pid is not None
    return [pid]


def _read(path: Path) -> dict[str, Any]:
    """A proc record, empty when its job is over."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a job may be over before its supervisor is stopped
            os.kill(pid, number)
