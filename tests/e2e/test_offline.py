"""S18: jobs for minions that are away, through restarts, kills and expiry. The master begins with no grace of its own:
what waits here waits because it was asked to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.fleet import USER, Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        fleet.configure("master", offline_grace="0s")
        fleet.restart("master")
        yield fleet


@pytest.fixture
def away(fleet: Fleet) -> Iterator[Fleet]:
    """m2 is down, and the master knows it."""
    fleet.end("m2", signal.SIGTERM)
    until(lambda: fleet.run("manage.down").json == ["m2"], what="m2 is down")
    yield fleet
    fleet.up()


def ran(fleet: Fleet, name: str) -> tuple[str, Path]:
    """A command line that leaves a trace, and where."""
    trace = fleet.base / name
    return f"echo ran >> {trace}", trace


def test_it_runs_once_when_the_minion_comes_also_through_a_crash_of_the_master(away: Fleet) -> None:
    line, trace = ran(away, "once")
    jid = away.start("--offline", "queue", "--expires", "1h", "m2", "cmd.run", line)
    away.end("master")
    away.up_alone("master")
    job = away.run("jobs.active").json[jid]
    assert (job["waiting"], job["start_by"] > 0) == (["m2"], True)
    assert away.lookup(jid)["minions"]["m2"]["state"] == "planned"
    assert "waits for the minion to connect" in away.command("jr-run", "jobs.lookup_jid", jid).out

    away.up()
    assert away.ended(jid, "m2")["state"] == "succeeded"
    away.restart("m2")
    away.acked("m2")
    assert trace.read_text() == "ran\n"  # P2


def test_a_command_says_whom_it_waits_for_and_ends_with_the_job(away: Fleet) -> None:  # S13
    waiting = away.spawn("jr", "--offline", "queue", "--expires", "1h", "*", "test.ping")
    assert waiting.stderr is not None
    said = waiting.stderr.readline()
    assert "waits for m2 to connect, until 20" in said
    away.up()
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out.count("succeeded")) == (0, 2)


def test_ctrl_c_leaves_it_waiting(away: Fleet) -> None:
    waiting = away.spawn("jr", "--offline", "queue", "m2", "test.ping")
    assert waiting.stderr is not None
    jid = waiting.stderr.readline().split()[1]
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, f"detached from {jid}" in err) == (130, True)
    assert away.lookup(jid)["minions"]["m2"]["state"] == "planned"
    assert away.run("jobs.kill", jid).code == 0


def test_a_kill_ends_what_waits_at_once(away: Fleet) -> None:  # B03
    line, trace = ran(away, "killed")
    jid = away.start("--offline", "queue", "m2", "cmd.run", line)
    assert away.run("jobs.kill", jid).code == 0
    pair = away.lookup(jid)["minions"]["m2"]
    assert (pair["state"], pair["evidence"]["by"]) == ("killed", USER)
    assert pair["evidence"]["reason"] == "stopped before it was sent"
    away.up()
    assert away.job("m2", "test.ping").code == 0
    assert not trace.exists()


def test_it_never_runs_after_its_expiry(away: Fleet) -> None:
    line, trace = ran(away, "late")
    ended = away.job("--offline", "queue", "--expires", "1s", "m2", "cmd.run", line)
    assert (ended.code, ended.pair("m2")["state"]) == (6, "undelivered")
    assert "its time to start passed" in ended.pair("m2")["evidence"]["reason"]
    away.up()
    assert away.job("m2", "test.ping").code == 0
    assert not trace.exists()


def test_without_it_who_is_away_is_told_at_once(away: Fleet) -> None:
    assert away.job("m2", "test.ping").pair("m2")["state"] == "undelivered"
    assert away.job("--offline", "fail", "m2", "test.ping").pair("m2")["state"] == "undelivered"


def test_the_settings_can_make_waiting_the_rule(away: Fleet) -> None:
    away.configure("master", offline="queue")
    away.end("master", signal.SIGTERM)
    away.up_alone("master")
    jid = away.start("m2", "test.ping")
    assert away.lookup(jid)["minions"]["m2"]["state"] == "planned"
    assert away.job("--offline", "fail", "m2", "test.ping").pair("m2")["state"] == "undelivered"
    away.up()
    assert away.ended(jid, "m2")["state"] == "succeeded"


def test_a_job_may_sweep_what_it_leaves_behind(fleet: Fleet) -> None:
    # DESIGN 8; without the option it lives: see test_stops.
    ended = fleet.job("--left-behind", "kill", "m1", "cmd.run", "setsid sleep 95 >/dev/null 2>&1 & echo started")
    pair = ended.pair()
    assert (ended.code, pair["state"]) == (0, "succeeded")
    (left,) = pair["evidence"]["left_behind"]
    assert left["name"] in ("setsid", "sleep")  # the one becomes the other, perhaps a moment after the shell has ended
    assert fleet.of_job(ended.json["jid"]) == {}
    shown = fleet.command("jr-run", "jobs.lookup_jid", ended.json["jid"]).out
    assert "left behind and ended: " in shown
