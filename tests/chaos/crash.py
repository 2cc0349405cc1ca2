"""The crash loop: the same three jobs again and again, and each time a process is killed one call later.

A part is watched by strace from its first call (`start`, with two of the jobs under way) or from when all is quiet
(`work`), and dies as it enters its n-th write, fsync, rename, unlink or send; or its n-th fsync fails. Then all comes
up again, unwatched, and the promises must hold: every jid that was printed is known, no job ran twice, each has its
true end, nothing of it is left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from common import clock
from common.errors import JrError
from common.proc import processes
from tests.chaos.jobs import Book, Verdict, Work
from tests.chaos.members import Member, Members, members
from tests.chaos.strace import unusable, watching
from tests.lib.wait import until

END_SECONDS = 60.0
"""How long the scenario may take while a process dies or is slow."""
GONE_SECONDS = 10.0
"""How long the processes of a job may take to be gone once the master knows its end."""
MISSES = 2
"""So many points in a row that hit nothing are the end of a loop: how often a part calls differs a little."""

CALLS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("agent", "work"): {"SIGKILL": ("fsync", "rename", "unlink", "sendto", "write"), "EIO": ("fsync",)},
    ("agent", "start"): {"SIGKILL": ("fsync", "rename", "unlink", "sendto", "write"), "EIO": ("fsync",)},
    ("spawner", "work"): {"SIGKILL": ("fsync", "rename", "unlink", "sendto", "sendmsg", "write", "clone"),
                          "EIO": ("fsync",)},
    ("master", "work"): {"SIGKILL": ("fdatasync", "sendto", "write", "pwrite64"), "EIO": ("fdatasync",)},
    ("master", "start"): {"SIGKILL": ("fdatasync", "rename", "unlink", "sendto", "write", "pwrite64"),
                          "EIO": ("fdatasync", "fsync")},
}
"""What each part calls in the scenario, by where the count begins, and which faults it gets there. A supervisor is a
fork of the spawner, so `spawner` stands for both: each of them is hit at its own n-th call."""


class Point(NamedTuple):
    """One moment, and what happens then."""

    part: str
    phase: str
    call: str
    number: int
    fault: str = "SIGKILL"

    def __str__(self) -> str:
        return f"{self.fault} in the {self.part} at {self.call} number {self.number} after {self.phase}"

    @property
    def words(self) -> str:
        """As strace wants to hear it."""
        kind = "signal" if self.fault.startswith("SIG") else "error"
        return f"{kind}={self.fault}:when={self.number}"


class Crash(NamedTuple):
    """What became of one run of the scenario."""

    point: Point
    hits: int
    """How many processes died, or calls failed; none if the part calls this less often."""
    verdict: Verdict
    complaints: list[str]
    """What else broke a promise, a line each."""
    healed: float
    """Seconds from the fault until everything was complete."""

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return self.verdict.good and not self.complaints

    def details(self) -> str:
        """What is to be said, a line each."""
        lines = (f"broken after {self.point}", self.verdict.details(), *self.complaints)
        return "\n".join(line for line in lines if line)


class Loop:
    """One fleet of a master and a minion, on which the scenario is played."""

    def __init__(self, fleet: Members) -> None:
        self.fleet = fleet
        self._count = 0
        fleet.adopt()

    def play(self, point: Point) -> Crash:
        """Play the scenario with a fault at this point, heal, and judge."""
        self._count += 1
        book = Book(self.fleet, f"{self._count}")
        member = self.fleet.master if point.part == "master" else self.fleet.minions[0]
        pid = self._begin(book, point, member)
        # SQLite also syncs its folder so, and takes no notice when that fails: jr has done it before, by fsync.
        files = [member.state / name for name in ("jr.db", "jr.db-wal") if point.call == "fdatasync"]
        with watching(pid, point.call, point.words, files=files) as watch:
            if point.phase == "start":
                os.kill(pid, signal.SIGCONT)
            self._scenario(book, pid)
        complaints = []
        if point.fault == "EIO" and watch.hits and point.part != "spawner":
            complaints += _ended_by_itself(member, pid)
        begin = clock.boottime()
        self.fleet.up()
        with contextlib.suppress(AssertionError):  # what is not over by then is in the verdict
            book.settle()
        healed = clock.boottime() - begin
        verdict = book.judge(supervisors_die=point.part == "spawner")
        return Crash(point, watch.hits, verdict, complaints + self._left(book), healed)

    def _begin(self, book: Book, point: Point, member: Member) -> int:
        """The pid of the process that is to be hit: at work, or about to start while two jobs are under way."""
        if point.phase == "start":
            self._publish(book, 0.1, 0.6)
            until(lambda: all(book.marks(number, "m1")["start"] for number in book.works), END_SECONDS, "both jobs run")
            member.end(signal.SIGKILL)
            return member.start(held=True)
        pid = member.pid
        if point.part == "spawner":
            pid = until(member.spawner, END_SECONDS, "the spawner is there")
        assert pid is not None
        return pid

    def _scenario(self, book: Book, pid: int) -> None:
        """The rest of three jobs, asked for as soon as they can be, until all is over or the process is dead."""
        until(lambda: self.fleet.present() or not _lives(pid), END_SECONDS, "the minion is connected")
        with contextlib.suppress(JrError):
            self._publish(book, *[0.0] * (3 - len(book.works)))
        until(lambda: not _lives(pid) or book.settled(), END_SECONDS, "the scenario is over")

    def _publish(self, book: Book, *seconds: float) -> None:
        with self.fleet.connection() as connection:
            for each in seconds:
                book.publish(connection, Work(len(book.works) + 1, "m1", each, 0))

    def _left(self, book: Book) -> list[str]:
        """What is held or lives of jobs that are over."""
        marks = [f"JR_JID={jid}" for jid in book.known]
        with contextlib.suppress(AssertionError):
            until(lambda: not self.fleet.fleet.processes(*marks), GONE_SECONDS, "all processes are gone")
        lives = [f"still alive: {pid} {line}" for pid, line in self.fleet.fleet.processes(*marks).items()]
        return lives + [f"left over: {path}" for path in book.held()]


def points(part: str, phase: str, fault: str, call: str, every: int) -> Iterator[Point]:
    """Points of one call, `every` apart, without an end."""
    number = 1
    while True:
        yield Point(part, phase, call, number, fault)
        number += every


class Tally:
    """The counts of a crash loop."""

    def __init__(self) -> None:
        self.runs = 0
        self.hit: Counter[str] = Counter()
        self.broken = 0
        self.slowest = 0.0

    def add(self, crash: Crash) -> None:
        """One more run."""
        self.runs += 1
        self.hit[crash.point.fault] += crash.hits > 0
        self.slowest = max(self.slowest, crash.healed)
        if not crash.good:
            self.broken += 1
            print(crash.details(), flush=True)

    def line(self) -> str:
        """The counts, in one line."""
        return (f"crash loop: {self.runs} runs of three jobs, {self.hit['SIGKILL']} with a death, {self.hit['EIO']} "
                f"with a failed fsync; complete after {self.slowest:.1f} s at most; broken promises {self.broken}")


def _chosen(chosen: argparse.Namespace) -> Iterator[tuple[str, str, str, str]]:
    """Part, phase, fault and call of each loop that is wanted."""
    for (part, phase), faults in CALLS.items():
        if chosen.part in (None, part) and chosen.phase in (None, phase):
            for fault, calls in faults.items():
                yield from ((part, phase, fault, call) for call in calls if chosen.call in (None, call))


def _play_call(player: Loop, tally: Tally, several: Iterator[Point]) -> None:
    misses = hit = 0
    states: Counter[str] = Counter()
    for point in several:
        crash = player.play(point)
        tally.add(crash)
        states += crash.verdict.states
        hit += crash.hits > 0
        misses = 0 if crash.hits else misses + 1
        if misses == MISSES:
            told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            print(f"{point.part}, {point.fault} at {point.call} after {point.phase}: {hit} hit; {told}", flush=True)
            return


def _ended_by_itself(member: Member, pid: int) -> list[str]:
    """After a failed fsync a daemon must not go on: it might acknowledge what is not there."""
    with contextlib.suppress(AssertionError):
        until(lambda: not _lives(pid), END_SECONDS, "its end")
    if _lives(pid):
        return [f"{member.name} goes on after a failed fsync"]
    code = member.reap()
    return [] if code == 1 else [f"{member.name} ended with {code} after a failed fsync"]


def _lives(pid: int) -> bool:
    seen = processes.look(pid)
    return seen is not None and seen.state not in processes.DEAD


def options(parser: argparse.ArgumentParser) -> None:
    """What may be said on the command line."""
    parser.add_argument("--every", type=int, default=1, help="take each so-many-th call (default 1)")
    parser.add_argument("--part", help="only this one: agent, spawner, master")
    parser.add_argument("--phase", help="only this one: work, start")
    parser.add_argument("--call", help="only this one: fsync, write ...")


def run(chosen: argparse.Namespace) -> int:
    """Play every part, phase and call, and say what was seen. 1 when a promise broke."""
    reason = unusable()
    if reason is not None:
        print(f"cannot run the crash loop: {reason}")
        return 1
    tally = Tally()
    with members(1) as fleet:
        player = Loop(fleet)
        for part, phase, fault, call in _chosen(chosen):
            _play_call(player, tally, points(part, phase, fault, call, chosen.every))
    print(tally.line())
    return 1 if tally.broken else 0
