"""The supervisor of a job dies while it runs: what is left of the job, and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.messages import Return
from common.proc import lock, processes
from common.proc.directory import JobFolders
from common.proc.record import JobRecord
from common.states import State
from tests.lib.wait import until
from tests.process.crashing import accept, settled
from tests.process.host import TestHost, make_record, on_host, request
from tests.process.inline_supervisor import fork_supervisor
from tests.process.test_stops import DAEMON, is_gone, wait_for_pid


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
        assert settled(folders, record.jid).evidence.signalled is None
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
        end = settled(folders, record.jid)
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
    assert settled(folders, record.jid).retcode == 4


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
