"""jr-call: functions on a minion's own host, through its agent and without one, with a master and without."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lib.fleet import SCRIPTS, USER, Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def test_through_the_agent(fleet: Fleet) -> None:
    ended = fleet.call("m1", "test.ping")
    assert (ended.code, ended.json["m1"]["return"]) == (0, True)

    ended = fleet.call("m1", "cmd.run", "echo out; echo err >&2; exit 3")
    assert (ended.code, ended.json["m1"]["retcode"]) == (1, 3)
    assert (ended.json["m1"]["stdout"], ended.json["m1"]["stderr"]) == ("out\n", "err\n")


def test_what_was_called_stands_in_the_masters_list(fleet: Fleet) -> None:
    # DESIGN 5 rule 5: filed under its sender alone.
    assert fleet.call("m1", "cmd.run", "echo from below").code == 0
    def told() -> list[Any]:
        found: list[Any] = fleet.run("jobs.list_jobs", "function=cmd.run", "limit=1").json["jobs"]
        return found if found and found[0]["args"] == ["echo from below"] else []

    (job,) = until(told, what="the master knows")
    document = fleet.lookup(job["jid"])
    assert "-" in job["jid"]
    assert document["user"] == USER
    assert document["minions"].keys() == {"m1"}


def test_exit_codes(fleet: Fleet) -> None:
    fleet.call("m1", "no.such").fails(3, "no.such")
    fleet.call("m1", "test." + "x" * 200).fails(2, "function", "200")
    fleet.call("m1", "test.echo", "x" * 70_000, "x" * 70_000).fails(2, "bytes of arguments: the limit is 131072")
    assert fleet.call("m1", "--timeout", "0.3", "test.sleep", "100").code == 1
    assert fleet.command("jr-call", "--nonsense", root=fleet.minion("m1")).code == 2


def test_functions_see_what_runs_here(fleet: Fleet) -> None:
    jid = fleet.start("m1", "cmd.run", "sleep 100")
    fleet.running(jid)
    assert [job["jid"] for job in fleet.call("m1", "job.running").json["m1"]["return"]] == [jid]
    assert fleet.call("m1", "job.kill_job", jid).code == 0
    assert fleet.ended(jid)["evidence"]["by"] == USER


def test_without_a_master(fleet: Fleet) -> None:
    fleet.end("master", signal.SIGTERM)
    ended = fleet.call("m1", "cmd.run", "echo alone")
    assert (ended.code, ended.json["m1"]["stdout"]) == (0, "alone\n")
    assert fleet.call("m1", "sys.status").json["m1"]["return"]["connection"] != "online"
    fleet.up()

    def told() -> bool:
        rows = fleet.run("jobs.list_jobs", "function=cmd.run", "state=succeeded", "limit=1").json["jobs"]
        return bool(rows) and rows[0]["args"] == ["echo alone"]

    until(told, what="the master is told of it")


@pytest.mark.parametrize("agent", [True, False])
def test_ctrl_c_names_the_job_that_goes_on(fleet: Fleet, agent: bool) -> None:  # S13
    if not agent:
        fleet.end("m1", signal.SIGTERM)
    said = fleet.base / f"said-{agent}"
    with said.open("w") as output:  # no pipe: without an agent the supervisor holds it, too
        waiting = subprocess.Popen([str(SCRIPTS / "jr-call"), "--root", str(fleet.minion("m1")), "cmd.run", "sleep 60"],
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    proc = fleet.state("m1") / "proc"
    record = until(lambda: next((path for path in proc.glob("*.json") if '"started": null' not in path.read_text()),
                                None), what="the job runs")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(60) == 130
    assert f"detached from {record.stem}, which goes on" in said.read_text()
    fleet.up()
    assert fleet.call("m1", "job.kill_job", record.stem).code == 0
    until(lambda: not record.exists(), what="it is over")


def test_without_an_agent(fleet: Fleet) -> None:
    fleet.end("m1", signal.SIGTERM)
    try:
        ended = fleet.call("m1", "cmd.run", "echo nobody; exit 4")
        assert (ended.code, ended.json["m1"]["stdout"], ended.json["m1"]["retcode"]) == (1, "nobody\n", 4)
        assert "no agent" in ended.err
        assert fleet.call("m1", "test.ping").json["m1"]["return"] is True
        assert fleet.call("m1", "job.running").json["m1"]["return"] == []
        assert fleet.call("m1", "no.such").code == 3
    finally:
        fleet.up()

    def told() -> bool:
        rows = fleet.run("jobs.list_jobs", "function=cmd.run", "state=failed", "limit=1").json["jobs"]
        return bool(rows) and rows[0]["args"] == ["echo nobody; exit 4"]

    until(told, what="the agent delivers the return when it starts")


def test_an_agent_that_ends_in_the_middle_of_a_call(fleet: Fleet) -> None:
    # P2: the job was accepted, so it must not be run a second time without the agent.
    marker, gate = fleet.base / "started", fleet.base / "ended"
    process = fleet.spawn("jr-call", "--root", str(fleet.minion("m1")), "cmd.run",
                          f"echo start >> {marker}; until [ -e {gate} ]; do sleep 0.02; done")
    jid = fleet.open_job()
    until(lambda: marker.exists() and marker.read_text(), what="the job runs")
    try:
        fleet.end("m1", signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.count("\n")) == (5, 1), err
        assert f"its job {jid} was begun, and is not begun again" in err
    finally:
        gate.touch()
        fleet.up()

    assert fleet.ended(jid)["state"] == "succeeded"
    assert marker.read_text() == "start\n"


def test_an_agent_that_is_stopped(fleet: Fleet) -> None:
    """It is said, and soon: the job has no name yet, so nothing of it is lost. What runs long is waited for."""
    pid = fleet.pid("m1")
    process = fleet.spawn("jr-call", "--root", str(fleet.minion("m1")), "cmd.run", "sleep 20")
    jid = fleet.open_job()
    fleet.send("m1", signal.SIGSTOP)
    try:
        fleet.call("m1", "schedule.list").fails(5, "the minion's agent", "no answer within 10 s", "stopped")
        assert process.poll() is None, "its job was begun, and may take its time"
    finally:
        fleet.send("m1", signal.SIGCONT)
    assert fleet.call("m1", "schedule.list").code == 0
    assert fleet.call("m1", "job.kill_job", jid).code == 0
    process.communicate(timeout=60)
    assert (process.returncode, fleet.pid("m1")) == (1, pid)


def test_on_a_host_that_never_had_an_agent(fleet: Fleet) -> None:
    root = fleet.base / "fresh"
    ended = fleet.command("jr-call", "-o", "json", "test.echo", "hello", root=root, env={"JR_MINION_ID": "fresh"})

    assert (ended.code, ended.json["fresh"]["return"]) == (0, "hello")


def test_a_mistyped_root_is_refused_and_nothing_made_there(fleet: Fleet) -> None:
    typo, master = fleet.base / "typo", fleet.root
    fleet.command("jr-call", "--root", str(typo), "test.ping").fails(2, str(typo), "--root")
    assert not typo.exists()
    fleet.command("jr-call", "test.ping", root=master).fails(2, str(master))
    assert not (master / "var/lib/jr/minion").exists()


def test_ctrl_c_leaves_the_job_to_itself(fleet: Fleet) -> None:
    gate = fleet.base / "gate"
    process = fleet.spawn("jr-call", "--root", str(fleet.minion("m1")), "cmd.run",
                          f"until [ -e {gate} ]; do sleep 0.02; done")
    jid = fleet.open_job()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130

    gate.touch()
    assert fleet.ended(jid)["state"] == "succeeded"
