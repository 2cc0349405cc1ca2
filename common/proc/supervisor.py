"""The supervisor: the one parent of a job, in its own session. It needs nobody, and it dies last.

Order (DESIGN 7): lock, record read, payload forked, start durable, stop requests and deadline, gate open ... return
durable, record removed, lock freed by the exit. Whatever happens in between, a job starts once at most.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from common import clock
from common.files import read_regular, remove_durable, write_durable
from common.ids import Jid
from common.proc import cgroup, child, ending, lock, notify, processes, spool
from common.proc.ending import Ending
from common.proc.layout import Layout
from common.proc.output import Capture
from common.proc.requests import Requests
from common.proc.seal import LIMIT as SECRETS_LIMIT
from common.proc.seal import unseal
from common.proc.stop import Ask, read_ask
from common.proc.tree import Tree
from common.proc.watch import Running, Signals, Watch

RECORD_LIMIT = 1024 * 1024
RETRY_SECONDS = 1.0
"""Between two tries to spool on a full disk."""
_CRASHED = 70


@dataclass(frozen=True, slots=True)
class Setup:
    """What the spawner knows and every job of it needs."""

    layout: Layout
    table: Mapping[str, Callable[..., Any]]
    cgroups: Path | None
    """Below which each job gets its own cgroup; None where the host gives none."""


def main(setup: Setup, jid: Jid, surplus: tuple[socket.socket, ...]) -> NoReturn:
    """Be the supervisor of `jid`. Called in a fresh fork of the spawner, with all signals blocked.

    `surplus` are the spawner's own sockets, which no job may hold.
    """
    status = _CRASHED
    try:
        gc.disable()  # it allocates little, and lives no longer than its job
        os.setsid()
        signal.set_wakeup_fd(-1)
        for end in surplus:
            end.close()
        signals = Signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _Supervisor(setup, jid, signals).run()
        status = 0
    except BaseException:  # past this line a fork would go on as a second spawner
        print(f"jr: the supervisor of {jid} failed", file=sys.stderr)  # noqa: T201 - the agent's journal
        traceback.print_exc()
    finally:
        os._exit(status)


def refusal(record: dict[str, Any], stops: list[dict[str, Any]], now: float) -> Ending | None:
    """Why the payload must not be let go, as its end; None when it may. `now` is epoch seconds."""
    for request in stops:
        if request["how"] != "signal":
            return ending.not_started(record, "killed", "stopped before it started", now, _asked(request))
    if record["deadline_boot_id"] != clock.boot_id():
        return ending.not_started(record, "lost", "not started: its time to start is one of an earlier boot", now)
    late = clock.boottime() - record["deadline"]
    if late <= 0:
        return None
    reason = f"not started: its time to start passed {late:.1f} s ago"
    return ending.not_started(record, "lost", reason, now)


def _asked(request: dict[str, Any]) -> Ask | None:
    try:
        return read_ask(request)
    except (KeyError, TypeError, ValueError):
        return None  # damaged, but somebody wanted it stopped


class _Supervisor:
    """One job, from the lock to the spool."""

    def __init__(self, setup: Setup, jid: Jid, signals: Signals) -> None:
        self._setup = setup
        self._layout = setup.layout
        self._jid = jid
        self._signals = signals
        self._requests = Requests(self._layout.stops_of(jid))

    def run(self) -> None:
        """Do the job, unless another process has it or had it."""
        lock_fd = lock.take(self._layout.claim_of(self._jid))
        if lock_fd is None:
            return
        record = self._read_record()
        if record is None or record.get("started") is not None or self._layout.spool_of(self._jid).exists():
            return
        ended = refusal(record, self._requests.all(), clock.wall()) or self._start(record, lock_fd)
        self._spool(record, ended)

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(read_regular(self._layout.record_of(self._jid), RECORD_LIMIT))
        except FileNotFoundError:
            return None
        return record

    def _start(self, record: dict[str, Any], lock_fd: int) -> Ending:
        """Fork the payload, make its start durable, and let it go if that is still wanted."""
        processes.become_subreaper()
        try:
            call = self._call(record)
        except (OSError, ValueError) as error:
            reason = f"not started: cannot read its secrets: {getattr(error, 'strerror', None) or error}"
            return ending.not_started(record, "failed", reason, clock.wall())
        try:
            running = child.fork(call, self._setup.table, (lock_fd, *self._signals.fds))
        except OSError as error:
            return ending.not_started(record, "failed", f"cannot start it: {error.strerror}", clock.wall())
        group = self._contain(running.pid)
        ended = self._last_word(record, running, group)
        if ended is not None:
            os.close(running.gate)
            os.waitpid(running.pid, 0)  # it ends by itself when the gate closes
            if group is not None:
                group.remove()
            return ended
        return self._watch(record, running, Tree(running.pid, running.pidfd, group))

    def _call(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record as the payload gets it, in memory alone: with the secrets. Raises OSError, ValueError."""
        if not record.get("sealed"):
            return record
        sealed = read_regular(self._layout.secrets_of(self._jid), SECRETS_LIMIT)
        return {**record, **unseal(record["args"], record["kwargs"], sealed)._asdict()}

    def _drop_secrets(self, record: dict[str, Any]) -> None:
        """Nobody needs them any more. A file that a power cut brings back goes with the record, at the latest."""
        if record.get("sealed"):
            with contextlib.suppress(OSError):
                self._layout.secrets_of(self._jid).unlink(missing_ok=True)

    def _last_word(self, record: dict[str, Any], running: Running, group: cgroup.Cgroup | None) -> Ending | None:
        """Make the start durable, and look once more whether it is wanted: the end of the job when it is not."""
        try:
            self._save_start(record, running, group)
        except OSError as error:
            return ending.not_started(record, "failed", f"cannot write its record: {error.strerror}", clock.wall())
        try:
            return refusal(record, self._requests.all(), clock.wall())
        except OSError as error:
            why = f"cannot read its stop requests: {error.strerror}"
            return ending.not_started(record, "failed", why, clock.wall())

    def _contain(self, pid: int) -> cgroup.Cgroup | None:
        """The job's own cgroup with the payload in it, where the host gives one."""
        if self._setup.cgroups is None:
            return None
        # With our pid: several minions of one host run the same job, each in a cgroup of its own.
        group = cgroup.create(self._setup.cgroups, f"{self._jid}-{os.getpid()}")
        if group is None:
            return None
        try:
            group.add(pid)
        except OSError:
            group.remove()
            return None
        return group

    def _save_start(self, record: dict[str, Any], running: Running, group: cgroup.Cgroup | None) -> None:
        seen = processes.look(running.pid)
        record |= {
            "state": "running", "supervisor": os.getpid(), "pid": running.pid, "started": clock.wall(),
            "create_time": None if seen is None else seen.ticks, "boot_id": clock.boot_id(),
            "cgroup": None if group is None else str(group.path),
        }
        data = json.dumps(record, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"
        write_durable(self._layout.record_of(self._jid), data)

    def _watch(self, record: dict[str, Any], running: Running, tree: Tree) -> Ending:
        out, err = self._layout.output_of(self._jid)
        captures = Capture(out, record["output_limit"]), Capture(err, record["output_limit"])
        watch = Watch(record, running, tree, captures, self._requests, self._signals, self._answer)
        with contextlib.suppress(BrokenPipeError):  # somebody killed it at the gate: the watch sees how it ended
            os.write(running.gate, b"g")
        os.close(running.gate)
        self._drop_secrets(record)
        self._notify({"event": "started", "pid": running.pid, "at": record["started"]})
        watch.run()
        for capture in captures:
            capture.close()
        tree.release()
        return _conclude(record, watch, tree, captures)

    def _spool(self, record: dict[str, Any], ended: Ending) -> None:
        """Make the return durable, then retire the record. While the disk is full, hold the lock and try again."""
        frame = ending.encode(record, ended)
        while True:
            try:
                spool.put(self._layout.spool_of(self._jid), frame)
                break
            except OSError as error:
                print(f"jr: cannot spool the return of {self._jid}: {error}", file=sys.stderr)  # noqa: T201
                self._signals.wait(RETRY_SECONDS)
                if self._signals.ending:  # perhaps since the payload ended, when nobody looked for it
                    return  # the host goes down: the agent finds the record, and says `lost`
        self._drop_secrets(record)
        record_file = self._layout.record_of(self._jid)
        if ended.started is None:
            remove_durable(record_file)  # one without a start that comes back after a power cut would be started
        else:
            record_file.unlink(missing_ok=True)  # one with a start would end once more, as lost, and nobody believe it

    def _answer(self, request: str, outcome: str, signalled: int, reason: str) -> None:
        self._notify({"event": "stop", "stop": request, "outcome": outcome, "signalled": signalled, "reason": reason})

    def _notify(self, notice: dict[str, Any]) -> None:
        notify.send(self._layout.state, {"jid": self._jid, **notice})


def _conclude(record: dict[str, Any], watch: Watch, tree: Tree, captures: tuple[Capture, Capture]) -> Ending:
    """All that was seen, as the job's end."""
    ended = ending.judge(watch.status, watch.report, watch.ask, clock.wall())
    ended.stdout, ended.stderr = captures[0].excerpt(), captures[1].excerpt()
    ended.started, ended.duration = record["started"], watch.duration
    ended.pid, ended.usage = record["pid"], watch.usage
    evidence = ended.evidence
    if ended.state == "failed":
        evidence |= ending.sent(watch.passed_on.get(evidence.get("signal", 0)))
    if watch.took is not None:
        evidence |= {"signalled": tree.signalled, "took": watch.took, "containment": tree.containment,
                     "boot_id": record["boot_id"]}
    if ended.state == "timed_out":
        evidence["timeout"] = record["timeout"]
    if watch.survivors:
        evidence["survivors"] = ending.listed(watch.survivors)
    if watch.left_behind:
        evidence["left_behind"] = ending.listed(watch.left_behind)
    lost = sum(capture.lost for capture in captures)
    if lost:
        evidence["lost_bytes"] = lost
    return ended
