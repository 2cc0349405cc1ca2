"""The daemons of a fleet as processes that a test kills, pauses and starts again, one by one and at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.control import MASTER, Connection
from common.errors import JrError
from common.proc import processes
from tests.lib.fleet import SCRIPTS, Fleet
from tests.lib.wait import until

SECONDS = 30.0
"""A daemon that needs longer to start, to end or to be connected hangs. Under strace it needs a few of them."""
_HELD = """
import os, signal, sys
from {package}.cli.{module} import main
sys.argv[0] = "{program}"
os.kill(os.getpid(), signal.SIGSTOP)
main()
"""
"""The entry point of a daemon that waits, loaded, for the one who wants to watch its first call."""


class Member:
    """One daemon, by its name: `master`, `m1`."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.name = name
        self.state = fleet.state(name)
        self._fleet = fleet
        self._program = "jr-master" if name == "master" else "jr-minion"
        self._root = fleet.root if name == "master" else fleet.minion(name)
        self._process: subprocess.Popen[bytes] | None = None
        self.within: Sequence[str] = ()
        """What its next start is wrapped in: a command that becomes, or waits for, the one that follows."""
        self.env: dict[str, str] = {}
        """What its next start finds in its environment."""

    @property
    def pid(self) -> int | None:
        """The pid of the daemon, None when it does not run; also when somebody else started it."""
        return self._fleet.pid(self.name)

    @property
    def ready(self) -> bool:
        """Whether it runs and can be asked."""
        name = "master.sock" if self.name == "master" else "minion.sock"
        return self.pid is not None and (self._root / "run/jr" / name).is_socket()

    def start(self, *, held: bool = False) -> int:
        """Start it if it does not run; returns its pid. `held` stops it before its first call until a SIGCONT."""
        running = self.pid
        if running is not None:
            return running
        if self._process is not None and self._process.poll() is None:
            return self._process.pid  # it has not come as far as its lock
        self.reap()
        words: Sequence[str | Path] = [SCRIPTS / self._program, "--root", self._root]
        if held:
            package = "master" if self.name == "master" else "minion"
            code = _HELD.format(package=package, module=self._program.replace("-", "_"), program=self._program)
            words = [sys.executable, "-c", code, "--root", self._root]
        base = self._fleet.base  # stands in the environment of all processes of the fleet, see Fleet.processes
        env = {name: value for name, value in os.environ.items() if not name.startswith("JR_")}
        env |= {"PATH": f"{base / 'bin'}:{os.environ['PATH']}", **self.env}
        log = self._root / "var/log/jr" / f"{self._program}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen([*self.within, *words], stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=output, cwd="/", env=env, start_new_session=True)
        if held:
            pid = self._process.pid
            until(lambda: (seen := processes.look(pid)) is None or seen.state in "TZ", SECONDS, f"{self.name} is held")
        return self._process.pid

    def up(self) -> None:
        """Start it if it does not run, and wait until it can be asked."""
        until(lambda: self.start() and self.ready, SECONDS, f"{self.name} is up")

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it does not run."""
        return self._fleet.try_send(self.name, number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """End it by a signal, and wait until it is gone; False when it did not run."""
        if not self.send(number):
            return False
        until(lambda: self.pid is None, SECONDS, f"{self.name} ends")
        self.reap()
        return True

    def spawner(self) -> int | None:
        """The pid of its spawner, None when it has none right now."""
        pid = self.pid
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if b"common.proc.spawner" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def open_files(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Its resident size in KiB."""
        line = next(line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if "VmRSS" in line)
        return int(line.split()[1])

    def reap(self) -> int | None:
        """Take the exit status of a daemon that ended and was started here; None when there is none to take."""
        process, self._process = self._process, None
        return None if process is None else process.wait(SECONDS)


class Members:
    """All daemons of a fleet, and a connection to its master."""

    def __init__(self, fleet: Fleet, minions: int) -> None:
        self.fleet = fleet
        self.master = Member(fleet, "master")
        self.minions = [Member(fleet, f"m{number}") for number in range(1, minions + 1)]
        self.all = [self.master, *self.minions]

    def up(self) -> None:
        """Start what does not run, and wait until all minions are connected."""
        try:
            until(self._connected, SECONDS * 2, "all daemons are up and connected")
        except AssertionError as error:
            pids = {member.name: member.pid for member in self.all}
            raise AssertionError(f"{error}: {pids}, {self.present()}\n{self.fleet.logs()}") from error

    def adopt(self) -> None:
        """Start all daemons anew as children of this process, which then sees how they end."""
        for member in self.all:
            member.end(signal.SIGTERM)
        self.up()

    def connection(self) -> Connection:
        """A new connection to the master. Raises JrError when it does not run."""
        return Connection(self.fleet.root / "run/jr/master.sock", MASTER)

    def present(self) -> list[str]:
        """The minions that are connected, none when the master cannot be asked."""
        try:
            with self.connection() as connection:
                found = connection.ask("presence")["minions"]
        except JrError:
            return []
        return sorted(name for name, seen in found.items() if seen["up"])

    def strays(self) -> dict[int, str]:
        """Command lines of the processes of this fleet that are neither a daemon nor its spawner, by pid."""
        known = {pid for member in self.all for pid in (member.pid, member.spawner())}
        return {pid: line for pid, line in self.fleet.processes(str(self.fleet.base)).items() if pid not in known}

    def close(self) -> None:
        """End all daemons in an orderly way and reap those that were started here."""
        for member in self.all:
            member.send(signal.SIGCONT)
            member.end(signal.SIGTERM)
            member.reap()

    def _connected(self) -> bool:
        for member in self.all:
            member.start()
        return len(self.present()) == len(self.minions)


@contextlib.contextmanager
def members(minions: int) -> Iterator[Members]:
    """A fleet that is up, and gone afterwards, with nothing left of it; see `Fleet.close`."""
    fleet = Fleet(Path(tempfile.mkdtemp(prefix="jr-chaos-", dir="/tmp")), {})
    found = Members(fleet, minions)
    try:
        fleet.up(minions)
        yield found
    finally:
        try:
            found.close()
        finally:
            fleet.close()
