"""S20, S22: what the master knows of minions and of itself, and processes that stand still for a while."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

STILL = 3.0
"""Seconds that processes stand still: enough to be late with everything, and not enough to count as gone."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        fleet.configure("m1", max_jobs=1)
        fleet.restart("m1")
        yield fleet


def spawner_of(pid: int) -> int:
    """The spawner of an agent: its only child."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes stand still for as long as the block lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_processes_that_stand_still_lose_nothing_and_start_nothing_twice(fleet: Fleet) -> None:  # S22, R-B36
    gate, trace = fleet.base / "gate", fleet.base / "trace"
    jid = fleet.start("m1", "cmd.run", f"echo one >> {trace}; while ! test -e {gate}; do sleep 0.05; done; exit 3")
    fleet.running(jid)
    supervisor = json.loads(fleet.record(jid).read_text())["supervisor"]
    agent = fleet.pid("m1")
    assert agent is not None
    with stopped(agent, spawner_of(agent), supervisor):
        late = fleet.start("m1", "cmd.run", f"echo two >> {trace}")
        gate.touch()
        time.sleep(STILL)  # what is tested is that nothing happens
        assert {fleet.lookup(name)["minions"]["m1"]["state"] for name in (jid, late)} == {"running", "sent"}
    ends = [fleet.ended(name) for name in (jid, late)]
    assert [(pair["state"], pair["retcode"]) for pair in ends] == [("failed", 3), ("succeeded", 0)]
    assert trace.read_text() == "one\ntwo\n"


def test_a_minion_tells_how_it_does(fleet: Fleet) -> None:  # S20
    holding = fleet.start("m1", "cmd.run", "sleep 100")
    fleet.running(holding)
    waiting = fleet.start("m1", "cmd.run", "true")
    until(lambda: "m1" in fleet.run("jobs.active").json[waiting]["queued"], what="the second one is queued")
    status = fleet.call("m1", "sys.status").json["m1"]["return"]
    assert (status["running"], status["queued"], status["max_jobs"]) == (1, 1, 1)
    assert abs(status["clock_offset"]) < 30
    assert status["start"] >= 2
    assert status["connection_age"] >= 0

    fleet.send("m1", signal.SIGTERM)
    until(lambda: fleet.pid("m1") is None, what="the agent is gone")
    fleet.up()
    told = fleet.run("manage.status").json["m1"]
    # Its Hello came before the job that it found was looked at anew, or after: both are the truth of a moment.
    assert told["load"]["containment"] == status["containment"]
    assert (told["load"]["running"] + told["load"]["queued"], told["load"]["spool"]) == (2, 0)
    assert (told["start"], told["load"]["age"] < 60) == (status["start"] + 1, True)
    assert "HELD BY" in fleet.command("jr-run", "manage.status").out
    for jid in (holding, waiting):
        fleet.run("jobs.kill", jid)


def test_a_spool_that_nobody_takes_is_seen(fleet: Fleet) -> None:
    fleet.end("master", signal.SIGTERM)
    fleet.call("m1", "cmd.run", "true")
    status = fleet.call("m1", "sys.status").json["m1"]["return"]
    assert status["unacked"] == 1
    assert status["oldest_unacked"] >= 0
    assert status["connection_age"] is None
    fleet.up()
    fleet.acked("m1")


def test_the_master_tells_how_it_does(fleet: Fleet) -> None:
    jid = fleet.start("m1", "cmd.run", "sleep 100")
    fleet.running(jid)
    status = until(lambda: (told := fleet.run("manage.master").json)["canary_proved"] is not None and told,
                   what="the canary has its proof")
    assert (status["connected"], status["accepted"], status["open_jobs"], status["open_pairs"]) == (1, 1, 1, 1)
    assert status["unanswered_stops"] == 0
    assert status["disk"]["database"] > 0
    assert status["disk"]["ballast"] > 0
    assert status["disk"]["free"] > 0
    assert all(queue["waiting"] <= queue["bound"] for queue in status["queues"].values())
    assert status["queues"]["pending keys"] == {"waiting": 0, "bound": 100}
    assert "canary_proved" in fleet.command("jr-run", "manage.master").out
    fleet.run("jobs.kill", jid)
