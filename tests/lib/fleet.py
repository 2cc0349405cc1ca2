"""A real fleet for tests: daemons that `jr-local` starts, asked only through their commands, their files and signals.

All of it lies in a short folder of its own below /tmp, since paths of unix sockets are short. The folder also stands in
the PATH that the daemons get and hand on, so every process of the fleet can be told by its environment, and none may
be left when a test is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from common.proc import lock
from tests.lib.wait import until

SCRIPTS = Path(sysconfig.get_path("scripts"))
USER = pwd.getpwuid(os.geteuid()).pw_name
"""Who runs the tests, and so the commands."""
SECONDS = 40.0
"""A command that takes longer hangs."""
LOG_TAIL = 2000
OPEN = {"planned", "sent", "accepted", "queued", "running"}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as one document."""
        assert self.out, self
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """What it printed, as a document a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def pair(self, minion: str = "m1") -> Any:
        """What one minion answered, from the document of a job."""
        return self.json["minions"][minion]

    def fails(self, code: int, *words: str) -> str:
        """Check that it ended so, with one clear line on stderr that has these words; returns that line."""
        assert self.code == code, self
        lines = [line for line in self.err.splitlines() if line]
        assert len(lines) == 1, self
        for word in words:
            assert word in lines[0], self
        return lines[0]


class Fleet:
    """One fleet. Its files lie below `root`; `base` above it has room for what a test brings along."""

    def __init__(self, base: Path, env: Mapping[str, str]) -> None:
        self.base = base
        self.root = base / "f"
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("JR_")}
        self._alone: list[subprocess.Popen[bytes]] = []
        self._env |= {"JR_ROOT": str(self.root), "PATH": f"{base / 'bin'}:{os.environ['PATH']}", **env}

    # commands

    def command(self, program: str, *words: str, stdin: str | None = None, root: Path | None = None,
                user: int | None = None, env: Mapping[str, str] | None = None, traced: bool = False) -> Done:
        """Run one of jr's commands to its end, perhaps with another root or as another user.

        It shows no traceback, unless `traced` says that a job is expected to return one.
        """
        environ = {**self._env, **(env or {}), **({} if root is None else {"JR_ROOT": str(root)})}
        argv = [str(SCRIPTS / program)] if user is None else _as(user, program)
        ended = subprocess.run([*argv, *words], input=stdin, capture_output=True, text=True, cwd="/",
                               stdin=subprocess.DEVNULL if stdin is None else None, env=environ, timeout=SECONDS,
                               check=False)
        assert "Traceback" not in ended.stderr + ("" if traced else ended.stdout), ended
        assert "internal error" not in ended.stderr, ended
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def jr(self, *words: str) -> Done:
        """`jr`, as it is typed."""
        return self.command("jr", *words)

    def job(self, *words: str) -> Done:
        """`jr -o json`."""
        return self.command("jr", "-o", "json", *words)

    def run(self, *words: str) -> Done:
        """`jr-run -o json`."""
        return self.command("jr-run", "-o", "json", *words)

    def key(self, *words: str) -> Done:
        """`jr-key`, as it is typed."""
        return self.command("jr-key", *words)

    def call(self, minion: str, *words: str) -> Done:
        """`jr-call -o json` on a minion's host."""
        return self.command("jr-call", "-o", "json", *words, root=self.minion(minion))

    def spawn(self, program: str, *words: str) -> subprocess.Popen[str]:
        """Start a command that is not waited for; its end is up to the test."""
        return subprocess.Popen([str(SCRIPTS / program), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self._env, cwd="/")

    # jobs

    def start(self, *words: str) -> str:
        """Publish with --async; the jid."""
        ended = self.jr("--async", *words)
        assert ended.code == 0, ended
        return ended.out.strip()

    def lookup(self, jid: str) -> Any:
        """The document of a job."""
        ended = self.run("jobs.lookup_jid", jid)
        assert ended.code == 0, ended
        return ended.json

    def running(self, jid: str, minion: str = "m1") -> Any:
        """Wait until a job runs on a minion, as the master sees it; its {pid, age}."""
        def look() -> Any:
            return self.run("jobs.active").json.get(jid, {}).get("running", {}).get(minion)

        return until(look, what=f"{jid} runs on {minion}")

    def open_job(self) -> str:
        """Wait until some job is open; the jid of the oldest."""
        jid: str = until(lambda: next(iter(self.run("jobs.active").json), ""), what="a job is there")
        return jid

    def ended(self, jid: str, minion: str = "m1") -> Any:
        """Wait until a job has ended on a minion; its pair."""
        def look() -> Any:
            pair = self.lookup(jid)["minions"][minion]
            return None if pair["state"] in OPEN else pair

        return until(look, what=f"{jid} ends on {minion}")

    # files

    def minion(self, name: str) -> Path:
        """The root of a minion."""
        return self.root / "minions" / name

    def state(self, name: str) -> Path:
        """The state folder of a member, by name: `master`, `m1`."""
        return self.root / "var/lib/jr/master" if name == "master" else self.minion(name) / "var/lib/jr/minion"

    def record(self, jid: str, minion: str = "m1") -> Path:
        """The proc record of a job."""
        return self.state(minion) / "proc" / f"{jid}.json"

    def over(self, jid: str, minion: str = "m1") -> None:
        """Wait until a job is over on its minion, whatever the master knows of it."""
        until(lambda: not self.record(jid, minion).exists(), what=f"{jid} is over on {minion}")

    def acked(self, minion: str = "m1") -> None:
        """Wait until the master has all that a minion had to tell."""
        until(lambda: not list((self.state(minion) / "spool").iterdir()), what=f"the acks for {minion}")

    def log(self, name: str) -> str:
        """All that a daemon has logged."""
        root, program = (self.root, "jr-master") if name == "master" else (self.minion(name), "jr-minion")
        return (root / "var/log/jr" / f"{program}.log").read_text("utf-8", "replace")

    def settings(self, name: str) -> Path:
        """The settings file of a member."""
        if name == "master":
            return self.root / "etc/jr/master.yaml"
        return self.minion(name) / "etc/jr/minion.yaml"

    def configure(self, name: str, **options: Any) -> None:
        """Add options to the settings file of a member; its next start reads them."""
        path = self.settings(name)
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **options}))

    # daemons

    def up(self, minions: int = 1) -> None:
        """Start what does not run."""
        ended = self.command("jr-local", "up", "--minions", str(minions))
        assert ended.code == 0, f"{ended}\n{self.logs()}"

    def up_alone(self, name: str) -> None:
        """Start one member and nobody else; `up` would start all."""
        root, program = (self.root, "jr-master") if name == "master" else (self.minion(name), "jr-minion")
        socket = root / ("run/jr/master.sock" if name == "master" else "run/jr/minion.sock")
        dead = socket.lstat().st_ino if socket.exists() else None  # one that was killed leaves its socket there
        with (root / f"var/log/jr/{program}.log").open("ab") as output:
            self._alone.append(subprocess.Popen([str(SCRIPTS / program), "--root", str(root)], stdout=output,
                                                stderr=output, stdin=subprocess.DEVNULL, env=self._env, cwd="/",
                                                start_new_session=True))
        until(lambda: socket.exists() and socket.lstat().st_ino != dead, what=f"{name} is up")

    def pid(self, name: str) -> int | None:
        """The pid of a daemon, by the lock on its state folder and whoever started it; None when it does not run."""
        return lock.holder(self.state(name) / "lock")

    def try_send(self, name: str, number: signal.Signals) -> bool:
        """Send a daemon a signal; False when it does not run."""
        pidfd = lock.open_holder(self.state(name) / "lock")
        if pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a daemon that runs a signal."""
        assert self.try_send(name, number), f"{name} does not run"

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a daemon that runs by a signal, and wait until it is gone."""
        self.send(name, number)
        until(lambda: self.pid(name) is None, SECONDS, f"{name} ends")

    def restart(self, *names: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End daemons and start them again, with the settings they then have."""
        for name in names:
            self.end(name, number)
        self.up()

    def logs(self) -> str:
        """The ends of all logs, for a failure that needs explaining."""
        return "\n".join(f"{path}:\n{path.read_text('utf-8', 'replace')[-LOG_TAIL:]}"
                         for path in sorted(self.root.rglob("*.log")))

    def processes(self, *marks: str) -> dict[int, str]:
        """Command lines, by pid, of the processes that carry one of these marks there or in their environment."""
        found = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):  # it is gone meanwhile
                line, environ = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                if pid != os.getpid() and any(mark.encode() in line + b"\0" + environ for mark in marks):
                    found[pid] = line.replace(b"\0", b" ").decode("utf-8", "replace")
        return found

    def of_job(self, jid: str) -> dict[int, str]:
        """The processes that carry the mark of a job."""
        return self.processes(f"JR_JID={jid}")

    def close(self) -> None:
        """Stop all, and check that nothing is left: no process of this fleet or of its jobs, no traceback in a log."""
        logs = {path: path.read_text("utf-8", "replace") for path in self.root.rglob("*.log")}
        jids = {path.name for path in self.root.rglob("claims/*")}
        try:
            stopped = self.command("jr-local", "down", "--purge")
            for daemon in self._alone:
                daemon.wait(SECONDS)
            marks = [str(self.base), *(f"JR_JID={jid}" for jid in jids)]
            with contextlib.suppress(AssertionError):
                until(lambda: not self.processes(*marks), what="all processes are gone")
            left = self.processes(*marks)
            assert (stopped.code, left, self.root.exists()) == (0, {}, False), (stopped, left)
        finally:
            self._sweep()
        for path, text in logs.items():
            assert "Traceback" not in text, f"{path}:\n{text[-LOG_TAIL:]}"

    def _sweep(self) -> None:
        """What a failed test has left must not disturb others."""
        for pid in self.processes(str(self.base)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)


def _as(user: int, program: str) -> list[str]:
    """A command as another user, who perhaps may not read the interpreter's own files.

    So it runs first with a root where nobody listens, which loads all that it needs, and then changes its user.
    """
    package = "minion" if program in ("jr-call", "jr-minion") else "master"
    code = f"""
import contextlib, io, os, sys
from {package}.cli.{program.replace("-", "_")} import main
typed = sys.argv[1:]
sys.argv[1:] = ["--root", "/nowhere", *typed]
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
    main()
os.setgroups([])
os.setgid({user})
os.setuid({user})
sys.argv[1:] = typed
main()
"""
    return [sys.executable, "-c", code]


@contextlib.contextmanager
def started(minions: int, prepare: Callable[[Path], Mapping[str, str]] | None = None) -> Iterator[Fleet]:
    """A fleet that is up, and gone afterwards.

    `prepare` gets `base` before that, to put files there, and gives settings for all daemons as variables.
    """
    base = Path(tempfile.mkdtemp(prefix="jr-e2e-", dir="/tmp"))
    fleet = Fleet(base, prepare(base) if prepare else {})
    try:
        fleet.up(minions)
        yield fleet
    finally:
        fleet.close()


def with_runners(source: str, base: Path) -> Mapping[str, str]:
    """To prepare a fleet whose master has the custom runners `mine.*` of this source."""
    folder = base / "runners"
    folder.mkdir(mode=0o755)
    (folder / "mine.py").write_text(source)
    (folder / "mine.py").chmod(0o644)
    return {"JR_MASTER_RUNNER_DIRS": f"[{folder}]"}
