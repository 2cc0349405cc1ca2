"""A whole fleet on one machine, for trying jr out and for tests: one master and some minions below one root.

The daemons are the real ones, started as an operator would start them. The master's root is the fleet's; minion `m1`
has the root `minions/m1` below it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from common import clock
from common.control import MASTER, Connection
from common.errors import JrError, UnreachableError, UsageError
from common.evidence import names
from common.files import FolderLock, private_folder
from common.ids import MinionId
from common.proc import lock
from common.proc.directory import JobFolders
from common.proc.record import StopRequest
from config.paths import Paths

MARK = ".jr-local"
"""The file that says that a folder was made by this tool and may be removed by it."""
START_SECONDS = 30.0
"""How long daemons may take to come up; they need well under one."""
AGAIN_SECONDS = 90.0
"""How long minions that ran already may take to find a master that was away: their back-off grows to 30 s, and a try
may take 15 s; twice that."""
STOP_SECONDS = 15.0
"""How long a daemon may take to end before it is killed."""
TICK = 0.05
"""Seconds between two looks at whether a daemon is up. It is the only way to see a socket appear."""


class Member(NamedTuple):
    """One daemon of the fleet."""

    name: str
    program: str
    paths: Paths
    state: Path


class Fleet:
    """Everything below one root."""

    def __init__(self, root: Path) -> None:
        """Raises UsageError for a root that cannot hold a fleet."""
        self.root = root.absolute()
        self.paths = Paths(self.root)
        if self.root.exists() and any(self.root.iterdir()) and not (self.root / MARK).exists():
            raise UsageError(f"cannot use {self.root}: it holds something else than a fleet of jr-local")

    # what is there

    @property
    def master(self) -> Member:
        """The master."""
        return Member("master", "jr-master", self.paths, self.paths.master_state)

    @property
    def minions(self) -> list[Member]:
        """The minions, by name."""
        folder = self.root / "minions"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        members = [Member(name, "jr-minion", self.paths.local_minion(name), self.paths.local_minion(name).minion_state)
                   for name in names]
        return sorted(members, key=lambda member: (len(member.name), member.name))

    def pid(self, member: Member) -> int | None:
        """The pid of the daemon that holds the lock of its state folder, None when none does."""
        return lock.holder(member.state / "lock")

    # up

    def up(self, minions: int, settings: Mapping[str, Mapping[str, Any]] | None = None,
           tell: Callable[[str], None] = lambda line: None) -> list[str]:
        """Start what does not run, so that there are at least so many minions; returns the names of all.

        `settings` adds to the settings files of members, by name; `tell` hears whom it may have to wait for. Raises
        JrError when one does not come up.
        """
        private_folder(self.root)
        (self.root / MARK).touch(mode=0o600)
        more = settings or {}
        if self.pid(self.master) is None:
            self._write_master(more.get("master", {}))
            self._start(self.master)
        with self._connect() as connection:
            for number in range(1, minions + 1):
                self._add(connection, MinionId(f"m{number}"), more.get(f"m{number}", {}))
            ran = {member.name for member in self.minions if self.pid(member) is not None}
            for member in self.minions:
                if member.name not in ran:
                    self._start(member)
            self._wait_connected(connection, ran, tell)
        return [member.name for member in self.minions]

    def _wait_connected(self, connection: Connection, ran: set[str], tell: Callable[[str], None]) -> None:
        """Wait for all minions; those that `ran` already may be in the middle of their back-off."""
        if away := self._away(connection, ran):
            tell(f"Waiting for {names(away)} to find the master again, {AGAIN_SECONDS:.0f} s at most.")
            self._wait(lambda: not self._away(connection, ran), f"{names(away)} found the master again", AGAIN_SECONDS)
        everybody = {member.name for member in self.minions}
        self._wait(lambda: not self._away(connection, everybody), "all minions are connected")

    def _add(self, connection: Connection, minion: MinionId, more: Mapping[str, Any]) -> None:
        paths = self.paths.local_minion(minion)
        if paths.minion_settings.exists():
            return
        join = connection.ask("token", minion=str(minion), address="127.0.0.1")["join"]
        _write(paths.minion_settings, {"id": str(minion), "join": join, **more})
        private_folder(paths.minion_state)

    def _write_master(self, more: Mapping[str, Any]) -> None:
        if self.paths.master_settings.exists():
            return
        port, enrol_port = _free_ports(2)
        _write(self.paths.master_settings, {"bind": "127.0.0.1", "port": port, "enrol_port": enrol_port, **more})

    def _start(self, member: Member) -> None:
        """Start a daemon in the background, in a session of its own; it logs into its root."""
        private_folder(member.state)
        log = (member.paths.root or self.root) / "var/log/jr"
        private_folder(log)
        program = Path(sysconfig.get_path("scripts")) / member.program
        with (log / f"{member.program}.log").open("ab") as output:
            process = subprocess.Popen([str(program), "--root", str(member.paths.root)], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, start_new_session=True, cwd="/")
        socket_path = member.paths.master_socket if member.name == "master" else member.paths.minion_socket

        def ready() -> bool:
            if process.poll() is not None:
                raise JrError(f"cannot start {member.name}: {_last_line(log / f'{member.program}.log')}")
            return socket_path.exists() and self.pid(member) == process.pid

        self._wait(ready, f"{member.name} is up")
        # From here on it is nobody's child to wait for: it outlives this command.
        process.returncode = 0

    def _connect(self) -> Connection:
        deadline = clock.boottime() + START_SECONDS
        while True:
            try:
                return Connection(self.paths.master_socket, MASTER)
            except UnreachableError:
                if clock.boottime() > deadline:
                    raise
                select.select([], [], [], TICK)

    def _away(self, connection: Connection, wanted: set[str]) -> list[str]:
        """Who of these is not connected."""
        known = connection.ask("presence")["minions"]
        return [name for name in sorted(wanted) if not known.get(name, {}).get("up")]

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        deadline = clock.boottime() + seconds
        while not condition():
            if clock.boottime() > deadline:
                raise JrError(f"cannot bring the fleet up: waited {seconds:.0f} s in vain until {what}; "
                              f"see the logs below {self.root}")
            select.select([], [], [], TICK)

    # down

    def down(self, *, purge: bool) -> list[str]:
        """Stop every daemon and every job of the fleet; with `purge` remove its files. Returns what was stopped."""
        stopped = []
        for member in [*self.minions, self.master]:
            if self._stop(member):
                stopped.append(member.name)
            _stop_jobs(member.state)
        if purge and (self.root / MARK).exists():
            shutil.rmtree(self.root)
        return stopped

    def _stop(self, member: Member) -> bool:
        """End a daemon: TERM, then KILL. False when it did not run."""
        pidfd = lock.open_holder(member.state / "lock")
        if pidfd is None:
            return False
        try:
            for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
                if select.select([pidfd], [], [], seconds)[0]:
                    return True
        finally:
            os.close(pidfd)
        raise JrError(f"cannot stop {member.name}: it does not end, not even by SIGKILL")


def _stop_jobs(state: Path) -> None:
    """Kill what the stopped daemon left running. This process stands in for the agent, under the agent's own lock."""
    if not state.is_dir():
        return
    held = FolderLock(state)
    try:
        folders = JobFolders(state)
        running = [record for record in folders.open_jobs()[0] if folders.claims.held(record.jid)]
        for record in running:
            folders.stops.append(record.jid, StopRequest(stop="jr-local", how="kill", signal=9, grace=0.0,
                                                         by="jr-local", at=clock.wall()))
        for record in running:
            _kill(folders.layout.claim_of(record.jid))
    finally:
        held.release()


def _kill(claim: Path) -> None:
    pidfd = lock.open_holder(claim)
    if pidfd is not None:
        try:
            lock.wake(claim)
            select.select([pidfd], [], [], STOP_SECONDS)
        finally:
            os.close(pidfd)


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    private_folder(path.parent)
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False), "utf-8")
    path.chmod(0o600)


def _free_ports(count: int) -> Iterator[int]:
    """Ports that nobody uses now. Somebody may take one before the master does; then it says so and ends."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.bind(("127.0.0.1", 0))
            yield probe.getsockname()[1]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
