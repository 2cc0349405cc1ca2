"""Processes of ours that die at any moment: a job starts once at most, ends once, and is never a false success."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common import clock, codec
from common.ids import Jid
from common.messages import Return
from common.proc import lock, processes
from common.proc.directory import JobFolders
from common.proc.executor import RESTARTS
from common.proc.record import JobRecord
from common.states import State
from tests.lib.wait import until
from tests.process.host import TestHost, make_record, on_host, request
from tests.process.inline_supervisor import die_at, fail_at, fork_supervisor
from tests.process.test_stops import DAEMON, is_gone, wait_for_pid

DURABLE = ("fsync", "rename", "unlink")
EVERY = (*DURABLE, "write", "fork", "wait4", "pipe", "read", "setpgid", "pidfd_open")


def accept(folders: JobFolders, script: str, **fields: Any) -> JobRecord:
    record = make_record("run.shell", script, **fields)
    assert folders.claims.add(record.jid, clock.boottime() + 3600)
    folders.records.write(record)
    return record


def recover(folders: JobFolders, jid: Jid) -> State:
    """What an agent does after a crash: settle, or start again what never started."""
    state = folders.settle(jid)
    if state is None:
        assert os.waitpid(fork_supervisor(folders.layout, jid), 0)[1] == 0
        state = folders.settle(jid)
    assert state is not None
    return state


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
    end = _returned(folders, record.jid)
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
    end = _returned(folders, record.jid)
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
    end = _returned(folders, record.jid)
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
    end = _returned(folders, record.jid)
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
    assert _returned(folders, record.jid).state is State.KILLED


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
    end = _returned(folders, record.jid)
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
    assert _returned(folders, record.jid).retcode == 9


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


# the supervisor dies while its job runs


async def orphan(host: TestHost, script: str, **fields: Any) -> JobRecord:
    """A job whose supervisor was killed with SIGKILL while it ran."""
    jid = host.start("run.shell", script, **fields)
    await host.output(jid, "up")
    record = host.folders.records.read(jid)
    assert record is not None
    assert record.supervisor is not None
    os.kill(record.supervisor, signal.SIGKILL)
    await host.until(lambda: ("ended", jid) in host.events.seen, "the end of the supervisor")
    return record


@pytest.mark.parametrize("containment", ["auto", "subreaper"])
def test_a_lost_supervisor_makes_a_lost_job_and_leaves_nothing(tmp_path: Path, containment: str) -> None:
    """P7: what is left of it is found by cgroup or mark, and goes; the evidence does not promise more than was seen."""
    pid_file = tmp_path / "pid"

    async def story(host: TestHost) -> tuple[JobRecord, Return]:
        wait = f"while ! test -s {pid_file}; do :; done; echo up; sleep 300"
        record = await orphan(host, DAEMON.format(pid=pid_file) + wait)
        return record, host.returned(record.jid)

    record, end = on_host(tmp_path / "state", story, containment=containment)
    assert record.pid is not None
    assert (end.state, end.retcode, end.stdout) == (State.LOST, None, b"up\n")
    assert is_gone(record.pid)
    assert is_gone(wait_for_pid(pid_file))
    assert end.evidence.signalled is not None
    assert end.evidence.signalled >= 2
    assert end.evidence.reason is not None
    assert end.evidence.reason.startswith("its supervisor died while the job ran")
    if record.cgroup is None:
        assert end.evidence.containment == "unknown"
        assert "more may survive" in end.evidence.reason
    else:
        assert end.evidence.containment == "cgroup"


def test_a_function_is_found_by_its_mark(tmp_path: Path) -> None:
    """A function was forked and not executed: its mark stands in memory that was there at the spawner's start."""
    async def story(host: TestHost) -> list[int]:
        jid = host.start("plain.sleep", 300)
        pid = await host.running(jid)
        found = await host.until(lambda: processes.marked(jid, str(tmp_path)), "the mark")
        assert [one.pid for one in found] == [pid]
        record = host.folders.records.read(jid)
        assert record is not None
        assert record.supervisor is not None
        os.kill(record.supervisor, signal.SIGKILL)
        await host.until(lambda: ("ended", jid) in host.events.seen, "the end of the supervisor")
        assert host.folders.settle(jid) is State.LOST
        return [one.pid for one in processes.marked(jid, str(tmp_path))]
    assert on_host(tmp_path, story, containment="subreaper") == []


@pytest.mark.parametrize(("left_behind", "stopped", "lives"), [
    ("leave", False, True), ("kill", False, False), ("leave", True, False)])
def test_what_a_finished_payload_left_follows_the_jobs_rule(tmp_path: Path, left_behind: str, stopped: bool,
                                                            lives: bool) -> None:
    pid_file = tmp_path / "pid"
    gate = tmp_path / "gate"
    script = DAEMON.format(pid=pid_file) + f"while ! test -s {pid_file}; do :; done; echo up; exec cat {gate}"
    os.mkfifo(gate)

    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", script, left_behind=left_behind)
        await host.output(jid, "up")
        record = host.folders.records.read(jid)
        assert record is not None
        assert record.supervisor is not None
        assert record.pid is not None
        os.kill(record.supervisor, signal.SIGSTOP)  # so that it cannot see the end of its payload
        gate.write_text("")
        await host.until(lambda: not processes.is_alive(record.pid or 0, record.create_time or 0), "the payload's end")
        if stopped:
            host.folders.stops.append(jid, request("kill"))
        os.kill(record.supervisor, signal.SIGKILL)
        return await host.end(jid)

    end = on_host(tmp_path / "state", story)
    daemon = wait_for_pid(pid_file)
    try:
        assert end.state is State.LOST
        assert end.evidence.by == ("tester@here" if stopped else None)
        assert (daemon in [process.pid for process in end.evidence.left_behind]) == lives
        assert is_gone(daemon) != lives
    finally:
        if lives:
            os.kill(daemon, signal.SIGKILL)


def test_a_reused_pid_is_never_signalled(tmp_path: Path) -> None:
    """S07, R-A17: the record names a pid that belongs to a stranger now, told apart by the time it was created."""
    folders = JobFolders(tmp_path)
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        seen = processes.look(stranger.pid)
        assert seen is not None
        record = make_record("run.shell", "true", state=State.RUNNING, pid=stranger.pid, create_time=seen.ticks - 1,
                             boot_id=clock.boot_id(), started=clock.wall(), supervisor=1, left_behind="kill")
        folders.claims.add(record.jid, 0.0)
        folders.records.write(record)
        assert not processes.is_alive(stranger.pid, seen.ticks - 1)
        assert not processes.send(seen._replace(ticks=seen.ticks - 1), signal.SIGKILL)
        assert folders.settle(record.jid) is State.LOST
        assert stranger.poll() is None
        assert _returned(folders, record.jid).evidence.signalled is None
    finally:
        stranger.kill()
        stranger.wait()


def test_after_a_restart_of_the_host_nothing_is_signalled(tmp_path: Path) -> None:
    """R-A5: the same pid and even the same ticks mean nothing in another boot."""
    folders = JobFolders(tmp_path)
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        seen = processes.look(stranger.pid)
        assert seen is not None
        record = make_record("run.shell", "true", state=State.RUNNING, pid=stranger.pid, create_time=seen.ticks,
                             boot_id="another boot", started=clock.wall(), left_behind="kill")
        folders.claims.add(record.jid, 0.0)
        folders.records.write(record)
        assert folders.settle(record.jid) is State.LOST
        end = _returned(folders, record.jid)
        assert end.evidence.reason == "the host restarted while the job ran"
        assert end.evidence.boot_id == "another boot"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_clean_up_leaves_a_living_supervisor_alone(tmp_path: Path) -> None:
    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", "echo up; sleep 0.3; exit 2")
        await host.output(jid, "up")
        record = host.folders.records.read(jid)
        assert record is not None
        assert host.folders.clean_up(jid, record) is None
        host.folders.claims.drop(jid)
        assert jid in host.folders.claims.all()
        return await host.end(jid)
    assert on_host(tmp_path, story).retcode == 2


def test_a_return_that_came_first_stands(tmp_path: Path) -> None:
    """The spool is looked at again under the lock: what a supervisor saw outranks what an agent concludes."""
    folders = JobFolders(tmp_path)
    record = accept(folders, "exit 4")
    os.waitpid(fork_supervisor(folders.layout, record.jid), 0)
    assert folders.clean_up(record.jid, record) is State.FAILED
    assert _returned(folders, record.jid).retcode == 4


# the agent or the spawner dies


def test_jobs_outlive_their_agent_and_are_adopted(tmp_path: Path) -> None:
    """P6, R-A2: SIGKILL of the agent in the middle; exit codes, signals and output are kept all the same."""
    gate = tmp_path / "gate"
    scripts = [f"echo {n}; while ! test -e {gate}; do sleep 0.02; done; echo end; exit {n}" for n in range(4)]
    scripts.append(f"while ! test -e {gate}; do sleep 0.02; done; kill -USR1 $$")
    folders = JobFolders(tmp_path / "state")
    jids = [accept(folders, script).jid for script in scripts]
    command = [sys.executable, "-m", "tests.process.agent", str(tmp_path / "state"), *jids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"started\n"
        agent.kill()

    async def story(host: TestHost) -> list[Return]:
        found, problems = host.folders.open_jobs()
        assert problems == []
        assert [record.jid for record in found] == jids
        assert all(host.executor.adopt(jid) for jid in jids)
        assert all(host.executor.adopt(jid) for jid in jids)  # again costs nothing
        gate.touch()
        return [await host.end(jid) for jid in jids]

    ends = on_host(tmp_path / "state", story)
    assert [end.retcode for end in ends] == [0, 1, 2, 3, 138]
    assert [end.stdout.decode().split() for end in ends[:4]] == [[str(n), "end"] for n in range(4)]


def test_an_adopted_job_can_be_stopped(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path)
    jid = accept(folders, "echo up; sleep 300").jid

    async def first(host: TestHost) -> None:
        host.executor.start(jid)
        await host.output(jid, "up")

    async def second(host: TestHost) -> Return:
        assert host.executor.adopt(jid)
        await host.stop(jid, request("kill"))
        return await host.end(jid)

    on_host(tmp_path, first)
    assert on_host(tmp_path, second).state is State.KILLED


def test_nothing_to_adopt_and_nothing_to_wake(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[bool]:
        jid = (await host.run("run.shell", "true")).jid
        unknown = make_record("run.shell").jid
        for one in (jid, unknown):
            host.executor.wake(one)
        return [host.executor.adopt(jid), host.executor.adopt(unknown)]
    assert on_host(tmp_path, story) == [False, False]


def _kill_spawner(host: TestHost) -> int:
    spawner = host.executor._spawner
    assert spawner is not None
    spawner._process.kill()
    return spawner.pid


def _is_replaced(host: TestHost, pid: int) -> bool:
    spawner = host.executor._spawner
    return spawner is None or spawner.pid != pid


def test_jobs_outlive_their_spawner_and_another_takes_over(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[Return]:
        jids = [host.start("run.shell", f"sleep 0.2; exit {n}") for n in range(3)]
        await host.running(jids[-1])
        _kill_spawner(host)
        jids += [host.start("run.shell", f"exit {n}") for n in range(3, 6)]
        return [await host.end(jid) for jid in jids]
    assert [end.retcode for end in on_host(tmp_path, story)] == list(range(6))


def test_starts_that_a_spawner_took_with_it_are_asked_again(tmp_path: Path) -> None:
    """Whether it had forked is unknown; the lock tells, and each job runs once."""
    marker = tmp_path / "marker"

    async def story(host: TestHost) -> list[Return]:
        jids = []
        for n in range(30):
            jids.append(host.start("run.shell", f"echo {n} >>{marker}"))
            if n % 10 == 5:
                _kill_spawner(host)
                await asyncio.sleep(0)  # the loop shall see the death between two starts, not after the last
        return [await host.end(jid) for jid in jids]

    ends = on_host(tmp_path / "state", story)
    assert {end.state for end in ends} == {State.SUCCEEDED}
    assert sorted(map(int, marker.read_text().split())) == list(range(30))


def test_a_spawner_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    """Five restarts a minute, then loudly over."""
    async def story(host: TestHost) -> list[Any]:
        for _ in range(RESTARTS + 1):
            old = _kill_spawner(host)
            await host.until(partial(_is_replaced, host, old), "the next")
        return host.events.of("broken")
    assert on_host(tmp_path, story) == [
        ("broken", "cannot keep the spawner alive: it died 6 times in 60 s")]


def _returned(folders: JobFolders, jid: Jid) -> Return:
    assert folders.settle(jid) is not None
    message = codec.from_minion.decode(folders.spool.read(jid))
    assert isinstance(message, Return)
    return message


def test_a_lock_is_told_without_being_taken(tmp_path: Path) -> None:
    """A test of the lock must never cost the holder its lock, nor take it from one that is about to come."""
    folders = JobFolders(tmp_path)
    record = accept(folders, "sleep 0.5")
    claim = folders.layout.claim_of(record.jid)
    assert lock.holder(claim) is None
    pid = fork_supervisor(folders.layout, record.jid)
    assert until(lambda: lock.holder(claim), what="the lock") == pid
    for _ in range(100):
        assert lock.holder(claim) == pid
    os.waitpid(pid, 0)
    assert lock.holder(claim) is None
    with lock.held_by_agent(claim) as free:
        assert free
        assert lock.holder(claim) == -1  # and looking did not drop it
        assert lock.holder(claim) == -1
        assert not lock.wake(claim)
