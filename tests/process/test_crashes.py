"""A supervisor dies or fails at any step: a job starts once at most, ends once, and is never a false success."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.ids import Jid
from common.proc import lock, processes
from common.proc.directory import JobFolders
from common.states import State
from tests.lib.wait import until
from tests.process.crashing import accept, recover, settled
from tests.process.host import make_record, request
from tests.process.inline_supervisor import die_at, fail_at, fork_supervisor

DURABLE = ("fsync", "rename", "unlink")
EVERY = (*DURABLE, "write", "fork", "wait4", "pipe", "read", "setpgid", "pidfd_open")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("names", [DURABLE, EVERY], ids=["durable", "every"])
def test_a_supervisor_killed_at_any_call(tmp_path: Path, names: tuple[str, ...], after: bool) -> None:
    """R-A1: at every n-th call, before and after it: one start at most, one end, and no false success (P2, P4, P5)."""
    folders = JobFolders(tmp_path / "state")
    states: list[State] = []
    for count in range(1, 200):
        marker = tmp_path / f"marker{count}"
        record = accept(folders, f"echo ran >>{marker}")
        pid = fork_supervisor(folders.layout, record.jid, die_at(names, count, after=after))
        status = os.waitpid(pid, 0)[1]
        state = recover(folders, record.jid)
        starts = marker.read_text().count("ran") if marker.exists() else 0
        assert starts <= 1, f"started {starts} times after a death at call {count}"
        assert state is not State.SUCCEEDED or starts == 1
        assert state in (State.SUCCEEDED, State.LOST)
        assert folders.open_jobs() == ([], [])
        states.append(state)
        if status == 0:
            break
    assert status == 0, "the loop must reach a supervisor that was not killed at all"
    assert State.LOST in states
    assert states[-1] is State.SUCCEEDED
    assert len(states) > len(DURABLE)


def test_same_jid_started_by_many_runs_once(tmp_path: Path) -> None:
    """P2: three spawners race for the same jobs."""
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    records = [accept(folders, f"echo {n} >>{marker}") for n in range(20)]
    pids = [fork_supervisor(folders.layout, record.jid) for record in records for _ in range(3)]
    assert {os.waitpid(pid, 0)[1] for pid in pids} == {0}
    assert sorted(map(int, marker.read_text().split())) == list(range(20))
    assert {folders.settle(record.jid) for record in records} == {State.SUCCEEDED}


def test_a_job_that_ran_is_not_run_again(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = accept(folders, f"echo ran >>{marker}")
    for _ in range(3):
        os.waitpid(fork_supervisor(folders.layout, record.jid), 0)
        folders.records.write(record)  # as if the removal had not reached the disk before a power cut
    assert marker.read_text() == "ran\n"


def test_without_a_claim_nothing_runs_and_none_is_made(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = make_record("run.shell", f"echo ran >>{marker}")
    folders.records.write(record)
    assert os.waitpid(fork_supervisor(folders.layout, record.jid), 0)[1] != 0
    assert not marker.exists()
    assert folders.claims.all() == {}
    assert folders.settle(record.jid) is None


def test_a_record_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    """R-A20: no durable start, no run; and the end says why."""
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = accept(folders, f"echo ran >>{marker}")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.waitpid(fork_supervisor(folders.layout, record.jid, fail_at("fsync", 1, full)), 0)
    assert not marker.exists()
    end = settled(folders, record.jid)
    assert (end.state, end.retcode, end.pid) == (State.FAILED, None, None)
    assert end.evidence.reason == "cannot write its record: No space left on device"


@pytest.mark.parametrize("call", ["pipe", "fork", "pidfd_open", "setpgid"])
def test_a_host_without_resources_starts_nothing(tmp_path: Path, call: str) -> None:
    """R-B34."""
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = accept(folders, f"echo ran >>{marker}")
    none_left = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    os.waitpid(fork_supervisor(folders.layout, record.jid, fail_at(call, 1, none_left)), 0)
    assert not marker.exists()
    end = settled(folders, record.jid)
    assert (end.state, end.evidence.reason) == (State.FAILED, "cannot start it: Too many open files")


def _unreadable_stops(folders: JobFolders, jid: Jid, first: int, last: int) -> Callable[[], None]:
    """A spoiler: from the first to the last time, the stop requests cannot be read."""
    def spoil() -> None:
        real, count, stops = os.open, [0], folders.layout.stops_of(jid)

        def call(path: Any, *more: Any, **named: Any) -> int:
            if path == stops:
                count[0] += 1
                if first <= count[0] <= last:
                    raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
            return real(path, *more, **named)

        os.open = call
    return spoil


@pytest.mark.parametrize("time", [1, 2], ids=["before the start", "at the gate"])
def test_stop_requests_that_cannot_be_read_hold_up_the_start(tmp_path: Path, time: int) -> None:
    """R-B34: among them may be one to end the job, so nothing is started."""
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = accept(folders, f"echo ran >>{marker}")
    pid = fork_supervisor(folders.layout, record.jid, _unreadable_stops(folders, record.jid, time, time))
    status = os.waitpid(pid, 0)[1]
    assert not marker.exists()
    if time == 1:
        assert status != 0
        assert folders.settle(record.jid) is None  # nothing was started: the agent tries again
        return
    end = settled(folders, record.jid)
    assert (end.state, end.evidence.reason) == (
        State.FAILED, "cannot read its stop requests: Too many open files in system")


def test_a_stop_request_that_cannot_be_read_is_read_later(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """R-B34."""
    folders = JobFolders(tmp_path / "state")
    marker = tmp_path / "marker"
    record = accept(folders, f"touch {marker}; exec sleep 300")
    pid = fork_supervisor(folders.layout, record.jid, _unreadable_stops(folders, record.jid, 3, 4))
    until(marker.exists, what="the start")  # the requests were read twice by then: at first, and at the gate
    folders.stops.append(record.jid, request("kill"))
    assert lock.wake(folders.layout.claim_of(record.jid))
    os.waitpid(pid, 0)
    end = settled(folders, record.jid)
    assert (end.state, end.evidence.by) == (State.KILLED, "tester@here")
    assert capfd.readouterr().err.count("cannot read") == 1


def test_the_record_of_a_job_that_never_started_is_removed_for_good(tmp_path: Path) -> None:
    """P2: one that came back after a power cut, when the return is sent and forgotten, would be started."""
    folders = JobFolders(tmp_path / "state")
    steps = tmp_path / "steps"

    def spoil() -> None:
        real = os.fsync

        def fsync(fd: Any) -> None:
            with steps.open("a") as file:
                file.write(Path(os.readlink(f"/proc/self/fd/{fd}")).name + "\n")
            real(fd)

        os.fsync = fsync

    record = accept(folders, "true")
    folders.stops.append(record.jid, request("kill"))
    os.waitpid(fork_supervisor(folders.layout, record.jid, spoil), 0)
    assert steps.read_text().split()[-2:] == ["spool", "proc"]
    assert settled(folders, record.jid).state is State.KILLED


def test_a_payload_killed_at_its_gate_is_a_failure(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "state")
    record = accept(folders, f"echo ran >>{tmp_path / 'marker'}")

    def spoil() -> None:
        real = os.rename

        def rename(*args: Any) -> None:
            real(*args)
            for child in processes.walk(os.getpid()):
                os.kill(child, signal.SIGKILL)
            until(lambda: all((one := processes.look(child)) is None or one.state == "Z"
                              for child in processes.walk(os.getpid())), what="the death of the payload")
        os.rename = rename  # type: ignore[assignment]

    os.waitpid(fork_supervisor(folders.layout, record.jid, spoil), 0)
    end = settled(folders, record.jid)
    assert (end.state, end.retcode, end.evidence.reason) == (State.FAILED, 137, "ended by SIGKILL")
    assert not (tmp_path / "marker").exists()


def test_a_full_disk_holds_the_return_until_there_is_room(tmp_path: Path) -> None:
    """DESIGN 7: a supervisor that cannot spool tries again, and holds its lock."""
    folders = JobFolders(tmp_path / "state")
    record = accept(folders, "exit 9")
    away = tmp_path / "away"
    folders.layout.spool.rename(away)  # a folder that is not there refuses like a disk that is full
    pid = fork_supervisor(folders.layout, record.jid)
    until(lambda: (seen := folders.records.read(record.jid)) is not None and seen.pid is not None
          and processes.look(seen.pid) is None, what="the end of the payload")
    assert folders.claims.held(record.jid)
    away.rename(folders.layout.spool)
    os.waitpid(pid, 0)
    assert settled(folders, record.jid).retcode == 9


def test_a_supervisor_told_to_end_gives_up_a_full_disk(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "state")
    record = accept(folders, "exit 9")
    away = tmp_path / "away"
    folders.layout.spool.rename(away)
    pid = fork_supervisor(folders.layout, record.jid)
    until(lambda: (seen := folders.records.read(record.jid)) is not None and seen.pid is not None
          and processes.look(seen.pid) is None, what="the end of the payload")
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    away.rename(folders.layout.spool)
    assert folders.settle(record.jid) is State.LOST
