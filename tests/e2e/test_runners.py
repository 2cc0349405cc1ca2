"""S21: an operator's own runners are jobs on the master: seen, waited for, killed like all others."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.lib.fleet import USER, Fleet, started, with_runners

RUNNERS = '''
"""Runners of an operator."""
import os
import time


def nap(seconds: float = 100) -> float:
    """Sleep on the master."""
    time.sleep(seconds)
    return seconds


def until(gate: str) -> str:
    """Wait for a file."""
    while not os.path.exists(gate):
        time.sleep(0.02)
    return "through"


def survey(master) -> dict:
    """Who is up."""
    return master.presence()


def ups(master: "Master") -> list:
    """Who is up, by the protocol."""
    return sorted(minion for minion, here in master.presence().items() if here["up"])


def wrong() -> None:
    raise RuntimeError("no luck")
'''


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1, prepare=partial(with_runners, RUNNERS)) as fleet:
        yield fleet


def test_it_runs_as_a_job_and_shows_its_return(fleet: Fleet) -> None:
    ended = fleet.run("mine.nap", "0.05")

    assert ended.code == 0
    document = ended.json
    assert (document["function"], document["target"], document["target_type"]) == ("mine.nap", "master", "runner")
    assert (document["user"], document["minions"]["master"]["return"]) == (USER, 0.05)
    assert fleet.lookup(document["jid"]) == document
    assert fleet.run("jobs.list_jobs", "minion=master", "limit=1").json["jobs"][0]["jid"] == document["jid"]


def test_a_long_one_is_in_active_and_can_be_killed(fleet: Fleet) -> None:
    started = fleet.command("jr-run", "--async", "mine.nap")
    jid = started.out.strip()
    assert (started.code, len(jid)) == (0, 20)
    run = fleet.running(jid, "master")

    job = fleet.run("jobs.active").json[jid]
    assert (job["function"], job["user"], set(job["running"])) == ("mine.nap", USER, {"master"})
    assert run["pid"] in fleet.of_job(jid)
    assert (fleet.state("master") / "proc" / f"{jid}.json").exists()
    assert fleet.run("jobs.kill", jid).code == 0
    pair = fleet.lookup(jid)["minions"]["master"]
    assert (pair["state"], pair["evidence"]["by"]) == ("killed", USER)
    assert fleet.of_job(jid) == {}
    assert not (fleet.state("master") / "proc" / f"{jid}.json").exists()


def test_it_sees_the_master(fleet: Fleet) -> None:
    assert fleet.run("mine.ups").pair("master")["return"] == ["m1"]


def test_it_fails_with_exit_code_1_and_a_line(fleet: Fleet) -> None:
    ended = fleet.command("jr-run", "-o", "json", "mine.wrong", traced=True)

    assert (ended.code, ended.pair("master")["state"]) == (1, "failed")
    assert ended.pair("master")["evidence"]["reason"] == "RuntimeError: no luck"


def test_a_timeout_and_a_bounded_wait(fleet: Fleet) -> None:
    ended = fleet.run("--timeout", "0.3", "mine.nap")
    assert (ended.code, ended.pair("master")["state"]) == (1, "timed_out")

    ended = fleet.run("--wait", "0.3", "mine.nap")
    assert ended.code == 124
    assert fleet.run("jobs.kill", ended.json["jid"]).code == 0


def test_it_outlives_the_master(fleet: Fleet) -> None:
    # P6
    gate = fleet.base / "outlives"
    jid = fleet.command("jr-run", "--async", "mine.until", str(gate)).out.strip()
    pid = fleet.running(jid, "master")["pid"]
    fleet.restart("master", number=signal.SIGKILL)
    gate.touch()

    pair = fleet.ended(jid, "master")
    assert (pair["state"], pair["return"], pair["pid"]) == ("succeeded", "through", pid)


def test_it_ends_while_the_master_is_dead_and_its_return_is_stored(fleet: Fleet) -> None:
    # P3, P6
    gate = fleet.base / "meanwhile"
    jid = fleet.command("jr-run", "--async", "mine.until", str(gate)).out.strip()
    fleet.running(jid, "master")
    fleet.end("master")
    gate.touch()
    fleet.over(jid, "master")
    fleet.up()
    pair = fleet.ended(jid, "master")
    assert (pair["state"], pair["return"]) == ("succeeded", "through")


def test_a_restarted_master_can_kill_it(fleet: Fleet) -> None:
    # P6, P7
    jid = fleet.command("jr-run", "--async", "mine.nap").out.strip()
    fleet.running(jid, "master")
    fleet.restart("master", number=signal.SIGKILL)
    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.lookup(jid)["minions"]["master"]["state"] == "killed"
    assert fleet.of_job(jid) == {}


def test_they_are_listed_and_explained(fleet: Fleet) -> None:
    assert fleet.run("--list").json["mine.nap"] == "Sleep on the master."
    assert "mine.nap(seconds: float = 100)" in fleet.command("jr-run", "-d", "mine.nap").out


def test_ctrl_c_detaches_from_it(fleet: Fleet) -> None:
    waiting = fleet.spawn("jr-run", "mine.nap")
    jid = fleet.open_job()
    fleet.running(jid, "master")
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)

    assert (waiting.returncode, jid in err) == (130, True)
    assert fleet.run("jobs.active").json.keys() == {jid}
    assert fleet.run("jobs.kill", jid).code == 0


@pytest.mark.parametrize(("words", "said"), [
    (["mine.napp"], ["mine.napp", "mine.nap"]), (["jobs.kil", "x"], ["jobs.kil"]),
    (["os.system", "true"], ["os.system"]),
])
def test_an_unknown_runner(fleet: Fleet, words: list[str], said: list[str]) -> None:
    fleet.run(*words).fails(3, *said)


def test_the_built_in_ones_explain_themselves(fleet: Fleet) -> None:
    shown = fleet.command("jr-run").out
    for name in ("jobs.active", "jobs.lookup_jid", "jobs.list_jobs", "jobs.kill", "manage.status"):
        assert name in shown
        assert f"jr-run {name}" in fleet.command("jr-run", "-d", name).out
