"""Daemons are killed in the middle of jobs. The jobs go on, and every return is there afterwards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

GATED = "until [ -e {gate} ]; do sleep 0.02; done; echo through"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def gated(fleet: Fleet, name: str, target: str = "m1") -> str:
    """A job that runs until the test opens its gate; it runs when this returns."""
    jid = fleet.start(target, "cmd.run", GATED.format(gate=fleet.base / name))
    fleet.running(jid, "m1")
    return jid


def test_the_agent_dies_and_comes_back_before_the_job_ends(fleet: Fleet) -> None:
    # P6, P3
    jid = gated(fleet, "a")
    payload = fleet.running(jid)["pid"]
    fleet.end("m1", signal.SIGKILL)
    fleet.up()

    assert fleet.running(jid)["pid"] == payload
    (fleet.base / "a").touch()
    pair = fleet.ended(jid)
    assert (pair["state"], pair["retcode"], pair["stdout"], pair["pid"]) == ("succeeded", 0, "through\n", payload)


def test_the_job_ends_while_the_agent_is_dead(fleet: Fleet) -> None:
    # P3, S13: the pair is never missing meanwhile.
    jid = gated(fleet, "b")
    fleet.end("m1", signal.SIGKILL)
    assert fleet.record(jid).exists()
    (fleet.base / "b").touch()
    fleet.over(jid)
    until(lambda: not fleet.of_job(jid), what="its processes are gone")
    assert [path.name for path in (fleet.state("m1") / "spool").iterdir()] == [f"{jid}.msgpack"]
    assert fleet.lookup(jid)["minions"]["m1"]["state"] == "running"
    fleet.up()

    pair = fleet.ended(jid)
    assert (pair["state"], pair["stdout"]) == ("succeeded", "through\n")
    fleet.acked()


def test_a_kill_reaches_a_job_whose_agent_died_and_came_back(fleet: Fleet) -> None:
    # S03, P7
    jid = gated(fleet, "never")
    fleet.end("m1", signal.SIGKILL)
    fleet.up()

    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.lookup(jid)["counts"] == {"killed": 1}
    assert fleet.of_job(jid) == {}


def test_a_kill_waits_for_a_minion_that_is_away(fleet: Fleet) -> None:
    # DESIGN 8: kept until it returns.
    jid = gated(fleet, "never")
    fleet.end("m1", signal.SIGKILL)
    until(lambda: not fleet.run("manage.status").json["m1"]["up"], what="the master sees it go")
    killing = fleet.run("jobs.kill", jid, "wait=0")
    assert killing.code == 124
    assert "is not yet over on m1" in killing.err
    fleet.up()

    pair = fleet.ended(jid)
    assert pair["state"] == "killed"
    assert fleet.of_job(jid) == {}


def test_a_supervisor_that_is_killed_makes_the_job_lost_and_leaves_nothing(fleet: Fleet) -> None:
    # P4, P5: nobody saw how it ended.
    jid = gated(fleet, "never")
    os.kill(json.loads(fleet.record(jid).read_text())["supervisor"], signal.SIGKILL)

    pair = fleet.ended(jid)
    assert (pair["state"], pair["retcode"]) == ("lost", None)
    assert pair["evidence"]["reason"]
    until(lambda: not fleet.of_job(jid), what="what it left is cleaned up")
    assert fleet.run("jobs.exit_success", jid).code == 6


def test_a_time_limit_holds_while_nobody_but_the_supervisor_lives(fleet: Fleet) -> None:
    # P6, P7
    jid = fleet.start("m1", "--timeout", "3s", "cmd.run", "setsid sleep 600 & echo begun; sleep 600")
    fleet.running(jid)
    fleet.end("m1", signal.SIGKILL)
    fleet.end("master", signal.SIGKILL)
    fleet.over(jid)
    until(lambda: not fleet.of_job(jid), what="its processes are gone")
    fleet.up()

    pair = fleet.ended(jid)
    assert (pair["state"], pair["stdout"]) == ("timed_out", "begun\n")
    assert pair["evidence"]["signalled"] >= 2
    assert "survivors" not in pair["evidence"]


def test_the_master_dies_and_comes_back_before_the_job_ends(fleet: Fleet) -> None:
    # P1, P6
    jid = gated(fleet, "c", "*")
    fleet.end("master", signal.SIGKILL)
    assert fleet.jr("*", "test.ping").code == 5
    fleet.up()

    fleet.running(jid, "m1")
    fleet.running(jid, "m2")
    (fleet.base / "c").touch()
    for minion in ("m1", "m2"):
        pair = fleet.ended(jid, minion)
        assert (pair["state"], pair["stdout"]) == ("succeeded", "through\n")
    assert fleet.lookup(jid)["counts"] == {"succeeded": 2}


def test_the_job_ends_while_the_master_is_dead(fleet: Fleet) -> None:
    # P3
    jid = gated(fleet, "d", "*")
    fleet.end("master", signal.SIGKILL)
    (fleet.base / "d").touch()
    for minion in ("m1", "m2"):
        fleet.over(jid, minion)
        assert (fleet.state(minion) / "spool" / f"{jid}.msgpack").exists()
    fleet.up()

    for minion in ("m1", "m2"):
        assert fleet.ended(jid, minion)["stdout"] == "through\n"
    assert fleet.lookup(jid)["counts"] == {"succeeded": 2}


def test_who_ran_while_the_master_was_away_is_waited_for_by_name(fleet: Fleet) -> None:
    """Their back-off may have grown; here one is stopped, so that it cannot come before it is named."""
    fleet.send("m2", signal.SIGSTOP)
    try:
        fleet.end("master", signal.SIGKILL)
        starting = fleet.spawn("jr-local", "up", "--minions", "2")
        assert starting.stderr is not None
        line = starting.stderr.readline()
        assert line.startswith("Waiting for "), line
        assert "m2" in line
    finally:
        fleet.send("m2", signal.SIGCONT)
    assert starting.wait(120) == 0
    starting.communicate()


def test_everything_dies_at_once(fleet: Fleet) -> None:
    # P6, P9
    jid = gated(fleet, "e", "*")
    for name in ("master", "m1", "m2"):
        fleet.send(name, signal.SIGKILL)
    (fleet.base / "e").touch()
    until(lambda: fleet.command("jr-local", "status").code == 3, what="all daemons are gone")
    fleet.up()

    for minion in ("m1", "m2"):
        assert fleet.ended(jid, minion)["state"] == "succeeded"


def test_a_waiting_command_is_told_of_the_jid_when_the_master_dies(fleet: Fleet) -> None:
    # S14: the job is not lost with the one who waits for it.
    waiting = fleet.spawn("jr", "m1", "cmd.run", GATED.format(gate=fleet.base / "f1"))
    jid = fleet.open_job()
    fleet.running(jid)
    fleet.end("master", signal.SIGKILL)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (5, "")
    assert jid in err
    assert f"jobs.lookup_jid {jid}" in err
    fleet.up()

    (fleet.base / "f1").touch()
    assert fleet.ended(jid)["state"] == "succeeded"


def test_an_orderly_stop_and_start_of_the_daemons_stops_no_job(fleet: Fleet) -> None:
    # P6
    jid = gated(fleet, "g", "*")
    fleet.restart("m1", "m2", "master", number=signal.SIGTERM)

    fleet.running(jid, "m2")
    (fleet.base / "g").touch()
    for minion in ("m1", "m2"):
        assert fleet.ended(jid, minion)["state"] == "succeeded"


def test_the_agent_refuses_a_damaged_record_and_keeps_the_rest(fleet: Fleet) -> None:
    # S01: a corrupt, empty or foreign file is never listed, and hides no other.
    jid = gated(fleet, "h")
    proc = fleet.state("m1") / "proc"
    fleet.end("m1", signal.SIGKILL)
    (proc / "20260101000000000001.json").write_text("{not json")
    (proc / "20260101000000000002.json").touch()
    (proc / "notes.txt").write_text("mine")
    fleet.up()

    assert [job["jid"] for job in fleet.job("m1", "job.running").pair()["return"]] == [jid]
    assert not (proc / "20260101000000000001.json").exists()
    assert not (proc / "20260101000000000002.json").exists()
    (fleet.base / "h").touch()
    assert fleet.ended(jid)["state"] == "succeeded"


def test_a_return_that_was_damaged_is_lost_and_says_why(fleet: Fleet) -> None:
    # R-B30, P4: what cannot be read any more is not waited for.
    jid = gated(fleet, "damaged")
    fleet.end("master", signal.SIGKILL)
    (fleet.base / "damaged").touch()
    fleet.over(jid)
    spooled = fleet.state("m1") / "spool" / f"{jid}.msgpack"
    until(spooled.exists, what="the return is in the spool")
    data = spooled.read_bytes()
    spooled.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    fleet.up()

    pair = fleet.ended(jid)
    assert pair["state"] == "lost"
    assert "quarantine" in pair["evidence"]["reason"]
    assert any(jid in path.name for path in (fleet.state("m1") / "quarantine").iterdir())
    fleet.acked()
