"""R-A18: the link between master and minion is down for a while in the middle of a stream of jobs, and nobody is told.

Master and minion each live in a network namespace of their own, joined by a veth pair; the link is set down and up
again with ip(8). Twelve seconds are shorter than what either side takes for silence, a minute is longer: then both
have given the connection up, and make a fresh one. Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator

import yaml

from common import clock
from tests.chaos.heal import Healed, heal, pause
from tests.chaos.jobs import Book, Work
from tests.chaos.members import Member, Members, members

MASTER, MINION = "10.99.0.1", "10.99.0.2"
DEVICE = "jr0"
NOTICED = 25.0
"""Seconds of silence from which on a master may call a minion gone: libzmq's heartbeats end a line after 30."""


def options(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--jobs", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--rate", type=float, default=40.0, help="jobs a second (default 40)")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long the link is down (default 12)")


def run(options: argparse.Namespace) -> int:
    """Run it, and say what became of every job."""
    if why := missing():
        print(f"cannot cut a link: {why}")
        return 2
    with linked() as (fleet, link):
        found = parted(fleet, link, options.jobs, options.rate, options.seconds)
    print(f"the link was down for {options.seconds:g} s\n{found.report()}", flush=True)
    return 0 if found.good or (options.seconds > NOTICED and found.true) else 1


def missing() -> str:
    """Why this cannot be done here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "ip(8) of iproute2, or nsenter(1), is not there"
    with contextlib.suppress(subprocess.CalledProcessError), spaces():
        return ""
    return "this kernel gives no network namespaces or veth pairs here"


class Link:
    """Two namespaces, and the veth pair between them."""

    def __init__(self, name: str) -> None:
        self.master, self.minion = f"{name}a", f"{name}b"

    def set(self, word: str) -> None:
        """`up` or `down`, at the minion's end."""
        ip("-n", self.minion, "link", "set", DEVICE, word)


@contextlib.contextmanager
def spaces() -> Iterator[Link]:
    """Two namespaces of our own with a link that is up; gone afterwards. Raises CalledProcessError."""
    link = Link(f"jr{os.getpid()}")
    try:
        for space in (link.master, link.minion):
            ip("netns", "add", space)
        ip("link", "add", DEVICE, "netns", link.master, "type", "veth", "peer", "name", DEVICE, "netns", link.minion)
        for space, address in ((link.master, MASTER), (link.minion, MINION)):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", DEVICE)
            for device in ("lo", DEVICE):
                ip("-n", space, "link", "set", device, "up")
        yield link
    finally:
        for space in (link.master, link.minion):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", space)


@contextlib.contextmanager
def linked() -> Iterator[tuple[Members, Link]]:
    """A fleet of a master and a minion, each in a namespace of its own."""
    with spaces() as link, members(1) as fleet:
        minion = fleet.minions[0]
        for member, space in ((fleet.master, link.master), (minion, link.minion)):
            member.end()
            member.within = ["nsenter", f"--net=/run/netns/{space}"]
        fleet.fleet.configure("master", bind=MASTER)
        _point(fleet, minion)
        fleet.up()
        yield fleet, link


def parted(fleet: Members, link: Link, jobs: int, rate: float, seconds: float) -> Healed:
    """A steady stream of jobs; a quarter of it is over when the link goes down for so long."""
    rng = random.Random(1)
    book = Book(fleet, "parted")
    works = [Work(number, "m1", rng.choice((0.0, 0.0, 0.5)), rng.choice((0, 0, 4))) for number in range(jobs)]
    begin = clock.boottime()
    down = begin + jobs / rate / 4
    up = down + seconds
    is_down = False
    try:
        with fleet.connection() as connection:
            for number, work in enumerate(works):
                pause(begin + number / rate - clock.boottime())
                if is_down != (down <= clock.boottime() < up):
                    is_down = not is_down
                    link.set("down" if is_down else "up")
                book.publish(connection, work)
        pause(up - clock.boottime())
    finally:
        link.set("up")
    return heal(fleet, book, since=up)


def _point(fleet: Members, minion: Member) -> None:
    """Tell the minion where its master is now; its key it has."""
    path = fleet.fleet.settings(minion.name)
    settings = yaml.safe_load(path.read_text())
    master = yaml.safe_load(fleet.fleet.settings("master").read_text())
    del settings["join"]
    path.write_text(yaml.safe_dump({**settings, "master": MASTER, "port": master["port"]}))


def ip(*words: str) -> None:
    """ip(8). Raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)
