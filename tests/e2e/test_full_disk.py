"""R-A20: a real fleet whose state lies on small disks that are full, a minion's and then the master's."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import clock
from tests.lib.disks import fill, needs_disks, small_disk
from tests.lib.fleet import Done, Fleet, started
from tests.lib.wait import until

pytestmark = needs_disks()
FULL = "No space left on device"
PATIENCE = 60.0
"""Seconds for what takes one or two: looks at a full disk are a second apart."""


@contextlib.contextmanager
def on_a_small_disk(member: str, size: str) -> Iterator[Fleet]:
    """A fleet of one minion; the state of one member, as it was when all was well, lies on a disk of that size."""
    with started(1) as fleet:
        state, kept = fleet.state(member), fleet.base / "kept"
        fleet.end(member, signal.SIGTERM)
        shutil.copytree(state, kept, ignore=shutil.ignore_patterns("*.sock", "*ballast"))
        with small_disk(state, size):
            try:
                shutil.copytree(kept, state, dirs_exist_ok=True)
                fleet.up()
                yield fleet
            finally:
                (state / "filler").unlink(missing_ok=True)
                fleet.command("jr-local", "down")


@pytest.fixture(scope="module")
def minion() -> Iterator[Fleet]:
    with on_a_small_disk("m1", "2m") as fleet:
        yield fleet


@pytest.fixture
def full(minion: Fleet) -> Iterator[Path]:
    """The minion's disk, full until a test or its end removes this file."""
    filler = fill(minion.state("m1"))
    yield filler
    filler.unlink(missing_ok=True)
    until(lambda: disk(minion) == "ok", PATIENCE, "room")
    until(lambda: not list((minion.state("m1") / "proc").iterdir()), PATIENCE, "all jobs to end")
    minion.acked()


def disk(fleet: Fleet) -> str:
    """What the minion says of its disk; nothing is written for that."""
    ended = fleet.job("m1", "sys.status")
    assert ended.code == 0, ended
    return str(ended.pair()["return"]["disk"])


def waiting(fleet: Fleet, name: str, then: str = "true") -> tuple[str, Path]:
    """A job that runs until its gate is made; its jid, and the gate."""
    gate = fleet.base / name
    jid = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.05; done; {then}; echo through {name}")
    fleet.running(jid)
    return jid, gate


def refused(fleet: Fleet, *words: str) -> None:
    """A job is refused, with the reason."""
    ended = fleet.job("m1", *words)
    assert ended.code == 6, ended
    pair = ended.pair()
    assert (pair["state"], pair["evidence"]["reason"]) == ("refused", f"cannot accept the job: {FULL}")


def test_new_jobs_are_refused_and_it_recovers_alone(minion: Fleet, full: Path) -> None:
    pid = minion.pid("m1")
    for _ in range(3):
        refused(minion, "cmd.run", "true")
    assert disk(minion) == FULL
    assert minion.call("m1", "cmd.run", "true").fails(1, f"cannot accept the job: {FULL}")
    assert list((minion.state("m1") / "proc").iterdir()) == []

    full.unlink()
    until(lambda: disk(minion) == "ok", PATIENCE, "room")
    assert minion.job("m1", "cmd.run", "echo well").pair()["return"] == "well"
    assert minion.pid("m1") == pid
    assert minion.log("m1").count("cannot write the state of jobs") == 1


def test_running_jobs_end_and_their_returns_come_when_there_is_room(minion: Fleet, full: Path) -> None:
    full.unlink()
    jid, gate = waiting(minion, "gate-1")
    fill(minion.state("m1"))
    gate.touch()
    until(lambda: f"cannot spool the return of {jid}" in minion.log("m1"), PATIENCE, "a supervisor that waits")
    refused(minion, "cmd.run", "true")
    assert minion.lookup(jid)["minions"]["m1"]["state"] == "running"

    full.unlink()
    pair = minion.ended(jid)
    assert (pair["state"], pair["retcode"], pair["stdout"]) == ("succeeded", 0, "through gate-1\n")


def test_what_ends_jobs_works_on_a_full_disk(minion: Fleet, full: Path) -> None:
    """What is set aside is for stops, from the master and from the host itself, and for what answers inside the agent;
    it is set aside again."""
    full.unlink()
    jobs = [waiting(minion, f"gate-{name}")[0] for name in ("a", "b", "c")]
    payloads = [minion.of_job(jid) for jid in jobs]
    fill(minion.state("m1"))
    refused(minion, "cmd.run", "true")
    assert minion.run("jobs.kill", jobs[0]).code == 0
    assert minion.call("m1", "job.kill_job", jobs[1]).code == 0
    assert minion.job("m1", "job.term_job", jobs[2]).code == 0
    assert all(payloads)
    for jid in jobs:
        assert minion.ended(jid)["state"] == "killed"  # they found room in what was set aside
    fill(minion.state("m1"))
    refused(minion, "cmd.run", "true")

    full.unlink()
    until(lambda: disk(minion) == "ok", PATIENCE, "room")
    assert (minion.state("m1") / "ballast").stat().st_size == 256 * 1024


def test_a_schedule_waits_for_room_and_each_planned_run_has_its_verdict(minion: Fleet, full: Path) -> None:
    """S25: nothing of it begins meanwhile, the log has one line, and it goes on alone."""
    full.unlink()

    def told() -> list[float]:
        """The planned times that have a verdict."""
        runs = minion.run("schedule.audit", "name=beat", "limit=10000").json["runs"]
        return [round(run["planned"] + number, 3) for run in runs for number in range(run["count"])]

    def status() -> Any:
        return minion.job("m1", "schedule.job_status", "beat").pair()["return"]

    assert minion.job("m1", "schedule.add", "beat", "function=cmd.run", "args=['true']", "every=1s").code == 0
    until(told, PATIENCE, "a run")
    fill(minion.state("m1"))
    until(lambda: "begin nothing until it can be written" in minion.log("m1"), PATIENCE, "a schedule that waits")
    last = status()["last_jid"]
    assert minion.job("m1", "schedule.hold").code != 0
    until(lambda: status()["next"] < clock.wall() - 2, PATIENCE, "two more planned times")
    assert status()["last_jid"] == last

    full.unlink()
    until(lambda: status()["last_jid"] != last, PATIENCE, "a run")
    assert minion.log("m1").count("begin nothing until it can be written") == 1
    assert minion.job("m1", "schedule.delete", "beat").code == 0

    def one_each() -> bool:
        times = told()
        return len(times) == len(set(times)) == round(max(times) - min(times)) + 1

    until(one_each, PATIENCE, "one verdict for each planned time")


def test_an_agent_comes_up_on_a_full_disk(minion: Fleet, full: Path) -> None:
    """Its start is counted with what is set aside, and without that as soon as there is room; it adopts its jobs."""
    full.unlink()
    jid, gate = waiting(minion, "gate-2")
    fill(minion.state("m1"))
    minion.restart("m1")
    assert minion.job("m1", "test.ping").pair()["return"] is True
    (minion.state("m1") / "ballast").unlink(missing_ok=True)
    fill(minion.state("m1"))
    minion.end("m1")
    with minion.spawn("jr-local", "up", "--minions", "1") as starting:
        until(lambda: "waiting for room" in minion.log("m1"), PATIENCE, "a start that waits")

        full.unlink()
        assert starting.wait(PATIENCE) == 0
    gate.touch()
    assert minion.ended(jid)["state"] == "succeeded"


def test_an_agent_that_waits_for_room_can_be_stopped(minion: Fleet, full: Path) -> None:
    (minion.state("m1") / "ballast").unlink(missing_ok=True)
    fill(minion.state("m1"))
    minion.end("m1")
    with minion.spawn("jr-minion", "--root", str(minion.minion("m1"))) as agent:
        assert agent.stderr is not None
        assert "waiting for room" in agent.stderr.readline()
        agent.terminate()
        assert agent.wait(PATIENCE) == 0

    full.unlink()
    minion.up()


@pytest.fixture(scope="module")
def master() -> Iterator[Fleet]:
    with on_a_small_disk("master", "4m") as fleet:
        yield fleet


def test_a_master_without_room_takes_no_job_and_loses_no_return(master: Fleet) -> None:
    """What it cannot store it does not acknowledge: the return stays with its minion, and comes again by itself."""
    pid = master.pid("master")
    large = "head -c 90000 /dev/zero | tr '\\0' x"
    jid, gate = waiting(master, "gate-m", large)
    filler = fill(master.state("master"))

    def refusal() -> Done | None:
        ended = master.jr("m1", "cmd.run", f"true {'x' * 100_000}")
        return ended if ended.code else None

    # The file of the database has room inside for a few.
    line = until(refusal, PATIENCE, "a refusal").fails(1, "cannot save", "the disk is full")
    assert line.startswith("jr: ")
    gate.touch()
    master.over(jid)
    assert f"{jid}.msgpack" in [path.name for path in (master.state("m1") / "spool").iterdir()]
    assert master.lookup(jid)["minions"]["m1"]["state"] == "running"

    filler.unlink()
    pair = master.ended(jid)
    assert (pair["state"], len(pair["stdout"])) == ("succeeded", 90_000 + len("through gate-m\n"))
    master.acked()
    until(lambda: master.job("m1", "cmd.run", f"true {'x' * 100_000}").code == 0, PATIENCE, "new jobs")
    assert master.pid("master") == pid


def test_a_master_comes_up_on_a_full_disk(master: Fleet) -> None:
    filler = fill(master.state("master"))
    master.restart("master", number=signal.SIGKILL)
    assert master.run("jobs.list_jobs").code == 0
    filler.unlink()
    until(lambda: master.job("m1", "test.ping").code == 0, PATIENCE, "new jobs")
