"""A supervisor's loop: from the moment its payload is let go until nothing of the job is left to wait for."""

from __future__ import annotations

import math
import os
import resource
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common import clock
from common.proc import stop
from common.proc.output import Capture
from common.proc.processes import Seen
from common.proc.report import Report
from common.proc.requests import Requests
from common.proc.stop import Ask, Step, Stopping, Why
from common.proc.tree import Tree

DRAIN_SECONDS = 1.0
"""How long output is waited for after the payload's exit, when something it left holds the pipes."""
READ_AGAIN = 1.0
"""Until stop requests that could not be read are tried again."""
_READ = 64 * 1024
_LAST_READS = 32
"""Of each pipe at the very end: more than a pipe holds, and an end for a daemon that never stops writing."""


class Signals:
    """Signals as bytes in a pipe, so that one poll waits for them and for everything else."""

    def __init__(self) -> None:
        """Take over USR1 (stop requests), CHLD and TERM; what a terminal sends is ignored."""
        self.ending = False
        """Whether TERM ever came: the host goes down."""
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    @property
    def fds(self) -> tuple[int, int]:
        """What a payload has to close; the first one is to be polled."""
        return self._read.fileno(), self._write.fileno()

    def taken(self) -> set[int]:
        """The signals that came since the last call. A full pipe loses none that matters: they only say "look"."""
        try:
            came = set(self._read.recv(4096))
        except BlockingIOError:
            return set()
        self.ending |= signal.SIGTERM in came
        return came

    def wait(self, seconds: float) -> set[int]:
        """Wait for signals, `seconds` at most."""
        select.select([self._read], [], [], seconds)
        return self.taken()


@dataclass(frozen=True, slots=True)
class Running:
    """A payload that waits at its gate, with the supervisor's ends of its pipes, which do not block."""

    pid: int
    pidfd: int
    out: int
    err: int
    result: int
    gate: int


class Watch:
    """One run of the loop. What it found lies in its attributes when `run` comes back."""

    def __init__(self, record: dict[str, Any], running: Running, tree: Tree, captures: tuple[Capture, Capture],
                 requests: Requests, signals: Signals, answer: Callable[[str, str, int, str], None]) -> None:
        """`answer(stop id, outcome, signalled, reason)` tells the agent what became of a request."""
        self._record = record
        self._running = running
        self._tree = tree
        self._requests = requests
        self._signals = signals
        self._answer = answer
        self._stopping = Stopping()
        self._over = False
        self._childless = False
        self._empty = False
        self._began = clock.boottime()
        timeout = record.get("timeout")
        self._timeout_at = None if timeout is None else self._began + timeout
        self.report = Report(record["return_limit"])
        self._sinks: dict[int, Callable[[int], int]] = {
            running.out: captures[0].read, running.err: captures[1].read, running.result: self._read_report,
        }
        self._poll = select.poll()
        for fd in (signals.fds[0], *self._sinks):
            self._poll.register(fd, select.POLLIN)
        self.status: int | None = None
        """The wait status of the payload; None when its exit was never observed."""
        self.usage: dict[str, Any] | None = None
        self.duration: float | None = None
        self.ask: Ask | None = None
        """The first reason to stop it that came before its exit was observed."""
        self.passed_on: dict[int, dict[str, Any]] = {}
        """The last request to send each signal, by its number: what they are for is up to the payload."""
        self.left_behind: list[Seen] = []
        self.survivors: list[Seen] = []
        self.took: float | None = None

    def run(self) -> None:
        """Watch until the job is over: an end is certain, since every stage has its own time."""
        self._heed({signal.SIGUSR1, signal.SIGCHLD})
        while not self._over:
            for fd, _ in self._poll.poll(self._patience()):
                if fd in self._sinks:
                    self._drain(fd)
            self._heed(self._signals.taken())
            self._advance(clock.boottime())
        self._finish()

    # what wakes us

    def _heed(self, came: set[int]) -> None:
        """Requests before exits: one that was durable before the exit was observed counts."""
        if signal.SIGUSR1 in came or self._requests.unread:
            for request in self._requests.fresh():
                self._take(request)
        if signal.SIGTERM in came:
            self._stop(Ask(Why.STOPPED, self._record["grace"], reason="its supervisor was told to end (SIGTERM)"))
        if signal.SIGCHLD in came:
            self._reap()

    def _take(self, request: dict[str, Any]) -> None:
        if request["how"] == "signal":
            self._pass_on(request)
            return
        try:
            signalled = self._stop(stop.read_ask(request))
        except (KeyError, TypeError, ValueError) as error:
            self._answer(request["stop"], "failed", 0, f"the request is damaged: {error}")
        else:
            self._answer(request["stop"], "stopping", signalled, "")

    def _pass_on(self, request: dict[str, Any]) -> None:
        try:
            if self.status is not None:
                raise ProcessLookupError("the job has ended")
            count = self._tree.signal_group(int(request["signal"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            self._answer(request["stop"], "failed", 0, str(error))
        else:
            self.passed_on[int(request["signal"])] = request
            self._answer(request["stop"], "signalled", count, "")

    def _drain(self, fd: int) -> bool:
        """One read of a pipe; False when it has no more to give, now or ever."""
        try:
            if self._sinks[fd](fd):
                return True
        except BlockingIOError:
            return False
        self._poll.unregister(fd)
        del self._sinks[fd]
        return False

    def _read_report(self, fd: int) -> int:
        data = os.read(fd, _READ)
        self.report.feed(data)
        return len(data)

    def _reap(self) -> None:
        """Wait for every dead child: the payload, and orphans that came to us."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                self._empty = not self._tree.has_strays()
                return
            if pid == 0:
                return
            if pid == self._running.pid:
                self._tree.reaped = True
                self.status = status
                self.duration = clock.boottime() - self._began
                self.ask = self._stopping.first
                self.usage = _usage(used)

    # what follows from it

    def _stop(self, ask: Ask) -> int:
        if self.status is not None:
            # It ended by itself before this request was seen: its state stands, what is left of it goes.
            ask = Ask(Why.SWEPT, ask.grace, ask.by, ask.at, ask.reason)
        return self._act(self._stopping.ask(ask, clock.boottime()))

    def _act(self, step: Step) -> int:
        if step is Step.TERM:
            return self._tree.terminate()
        if step is Step.KILL:
            found = self._tree.kill()
            self._reap()
            return found
        if step is Step.GIVE_UP:
            self._reap()
            self.survivors = [] if self._empty else self._tree.members()
            self._over = True
        return 0

    def _advance(self, now: float) -> None:
        if self.status is None and self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            reason = f"ran longer than its timeout of {self._record['timeout']:g} s"
            self._stop(Ask(Why.TIMED_OUT, self._record["grace"], reason=reason))
        self._act(self._stopping.tick(now))
        if self.status is None or self._over:
            return
        if self._childless and not self._empty:
            self._reap()
        if self._empty:
            self._over = True
        elif self._stopping.first is None and self._drained(now):
            self._look_behind()

    def _drained(self, now: float) -> bool:
        """Whether nothing more is to be expected from the pipes."""
        pipes = {self._running.out, self._running.err} & self._sinks.keys()
        return not pipes or now >= self._drain_end

    def _look_behind(self) -> None:
        """The job ended by itself, and something of it still lives."""
        self.left_behind = self._tree.members()
        if self.left_behind and self._record["left_behind"] == "kill":
            self._stop(Ask(Why.SWEPT, None))
        else:
            self._over = True

    def _patience(self) -> int:
        """Milliseconds until time alone changes something; -1 when it never does."""
        times = [self._stopping.next(), clock.boottime() + READ_AGAIN if self._requests.unread else None]
        if self.status is None:
            times.append(self._timeout_at)
        elif self._stopping.first is None:
            times.append(self._drain_end)
        elif self._childless:
            # What still counts in the cgroup is no child of ours, or the kernel is about to count it out: no signal.
            times.append(clock.boottime() + stop.ROUND_SECONDS)
        due = [at for at in times if at is not None]
        # Rounded up, or the last millisecond would be spent polling. A day at most: poll counts in 32 bits.
        return math.ceil(min(86_400.0, max(0.0, min(due) - clock.boottime())) * 1000) if due else -1

    @property
    def _drain_end(self) -> float:
        return self._began + (self.duration or 0.0) + DRAIN_SECONDS

    def _finish(self) -> None:
        if self._stopping.began is not None:
            self.took = clock.boottime() - self._stopping.began
        if self.status is None:
            self.ask = self._stopping.first
        for fd in list(self._sinks):
            reads = 0
            while reads < _LAST_READS and self._drain(fd):
                reads += 1


def _usage(used: resource.struct_rusage) -> dict[str, Any]:
    """As `messages.Usage` has it; the kernel counts the resident size in KiB."""
    return {"user": used.ru_utime, "system": used.ru_stime, "rss": used.ru_maxrss * 1024}
