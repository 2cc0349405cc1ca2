"""S03, S04, S06: signals, TERM and KILL from the master and from the minion itself, and what they answer."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.control import Connection
from tests.lib.fleet import USER, Fleet, started
from tests.lib.wait import until

UNKNOWN = "20200101000000000000"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def trapping(fleet: Fleet, name: str, signals: str = "TERM", target: str = "m1") -> tuple[str, Path]:
    """A job that writes a line for each of these signals and goes on; its jid, and the file with the lines."""
    heard = fleet.base / name
    traps = "; ".join(f"trap 'echo {name} >> {heard}' {name}" for name in signals.split())
    jid = fleet.start(target, "cmd.run", f"{traps}; echo ready >> {heard}; while :; do sleep 0.05; done")
    until(lambda: heard.exists() and "ready" in heard.read_text(), what="the traps are set")
    fleet.running(jid)
    return jid, heard


def test_a_signal_reaches_the_process_and_never_makes_it_killed(fleet: Fleet) -> None:
    jid, heard = trapping(fleet, "usr1", "USR1 HUP")
    for sent in ("USR1", "sighup", "10"):
        ended = fleet.run("jobs.signal", jid, sent)
        assert (ended.code, ended.json["minions"]) == (0, {"m1": "signalled"})
        until(lambda: heard.read_text().count("\n") > 1, what="the signal is heard")

    until(lambda: sorted(set(heard.read_text().split())) == ["HUP", "USR1", "ready"], what="both signals")
    assert fleet.lookup(jid)["minions"]["m1"]["state"] == "running"
    assert fleet.run("jobs.kill", jid).code == 0


def test_a_job_that_dies_of_a_signal_failed(fleet: Fleet) -> None:
    jid = fleet.start("m1", "cmd.exec", "sleep", "100")
    fleet.running(jid)
    assert fleet.run("jobs.signal", jid, "INT").json["minions"] == {"m1": "signalled"}

    pair = fleet.ended(jid)
    assert (pair["state"], pair["retcode"], pair["evidence"]["signal"]) == ("failed", 130, signal.SIGINT)
    assert (pair["evidence"]["by"], pair["evidence"]["asked_signal"]) == (USER, signal.SIGINT)


def test_term_lets_a_job_end_in_its_own_way(fleet: Fleet) -> None:
    jid = fleet.start("m1", "cmd.run", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    out = fleet.state("m1") / "output" / f"{jid}.out"
    until(lambda: out.exists() and "ready" in out.read_text(), what="the trap is set")
    ended = fleet.run("jobs.term", jid)

    assert ended.code == 0
    pair = fleet.lookup(jid)["minions"]["m1"]
    assert (pair["state"], pair["stdout"], pair["retcode"]) == ("killed", "ready\nbye\n", 7)
    assert (pair["evidence"]["by"], pair["evidence"]["asked_signal"]) == (USER, signal.SIGTERM)


def test_term_becomes_kill_after_the_grace(fleet: Fleet) -> None:
    jid, heard = trapping(fleet, "deaf")
    ended = fleet.run("jobs.term", jid, "grace=0.3")

    assert ended.code == 0
    assert "TERM" in heard.read_text()
    pair = fleet.lookup(jid)["minions"]["m1"]
    assert (pair["state"], pair["evidence"]["signal"]) == ("killed", signal.SIGKILL)
    assert fleet.of_job(jid) == {}


def test_kill_takes_all_that_the_job_started(fleet: Fleet) -> None:
    # P7: also what left its session, its group and its parent.
    line = "setsid sh -c 'sleep 97 & exec sleep 98' & (sleep 99 &) ; trap '' TERM HUP INT; sleep 100"
    jid = fleet.start("m1", "cmd.run", line)
    until(lambda: sum("sleep" in command for command in fleet.of_job(jid).values()) >= 5, what="all of it runs")
    assert fleet.run("jobs.kill", jid).code == 0

    assert fleet.of_job(jid) == {}
    evidence = fleet.lookup(jid)["minions"]["m1"]["evidence"]
    assert evidence["signalled"] >= 5
    assert not evidence.get("survivors")


def test_the_tables_prove_what_a_kill_did(fleet: Fleet) -> None:  # B03
    jid = fleet.start("m1", "cmd.run", "sleep 99 & setsid sleep 98 & wait")
    until(lambda: len(fleet.of_job(jid)) >= 3, what="all of it runs")
    proof = re.compile(rf"m1  killed: 3 processes, 0 left, [\d.]+ s; by {USER}")
    assert proof.search(fleet.command("jr-run", "jobs.kill", jid).out)
    for runner in ("jobs.lookup_jid", "jobs.print_job"):
        shown = fleet.command("jr-run", runner, jid)
        assert proof.search(shown.out), shown
    ended = fleet.jr("--timeout", "1s", "m1", "cmd.run", "sleep 99 & wait")
    assert re.search(r"m1  timed_out after 1 s: 2 processes, 0 left, [\d.]+ s", ended.out), ended


def test_partial_output_of_a_killed_job_is_kept(fleet: Fleet) -> None:
    # S06
    jid = fleet.start("m1", "cmd.run", "echo one; echo two >&2; sleep 100")
    err = fleet.state("m1") / "output" / f"{jid}.err"
    until(lambda: err.exists() and "two" in err.read_text(), what="the output is there")
    fleet.run("jobs.kill", jid)

    pair = fleet.lookup(jid)["minions"]["m1"]
    assert (pair["state"], pair["stdout"], pair["stderr"]) == ("killed", "one\n", "two\n")


def test_one_minion_alone_can_be_stopped(fleet: Fleet) -> None:
    jid = fleet.start("*", "cmd.run", "sleep 100")
    fleet.running(jid, "m1")
    fleet.running(jid, "m2")
    ended = fleet.run("jobs.kill", jid, "minions=m2")

    assert (ended.code, set(ended.json)) == (0, {"m2"})
    states = {minion: pair["state"] for minion, pair in fleet.lookup(jid)["minions"].items()}
    assert states == {"m1": "running", "m2": "killed"}
    fleet.run("jobs.kill", jid, "minions=ghost").fails(3, "ghost")
    assert fleet.run("jobs.kill", jid).code == 0


def test_the_master_answers_for_a_job_that_is_over(fleet: Fleet) -> None:
    jid = fleet.job("m1", "cmd.run", "true").json["jid"]
    for words in (["jobs.kill", jid], ["jobs.term", jid], ["jobs.signal", jid, "HUP"]):
        ended = fleet.run(*words)
        assert ended.code == 0
        assert "over already" in ended.err
    assert fleet.lookup(jid)["minions"]["m1"]["state"] == "succeeded"


def answer(fleet: Fleet, *words: str) -> tuple[str, str]:
    """State of the asking job and what the minion said of the asked one."""
    pair = fleet.job("m1", *words).pair()
    return pair["state"], (pair["return"] or {}).get("message") or pair["evidence"]["reason"]


def test_a_minion_has_distinct_answers_for_running_finished_and_unknown(fleet: Fleet) -> None:
    # S03; `queued` is in test_lists.
    running = fleet.start("m1", "cmd.run", "trap '' HUP; sleep 100")
    fleet.running(running)
    finished = fleet.job("m1", "cmd.run", "true").json["jid"]

    said = {answer(fleet, "job.signal_job", jid, "HUP") for jid in (running, finished, UNKNOWN)}
    assert sorted(state for state, _ in said) == ["failed", "failed", "succeeded"]
    messages = " | ".join(message for _, message in said)
    for words in (f"{running} is running: it was sent", f"{finished} has ended", f"{UNKNOWN} is unknown"):
        assert words in messages
    state, message = answer(fleet, "job.kill_job", running)
    assert (state, "is being stopped by KILL" in message) == ("succeeded", True)
    pair = fleet.ended(running)
    assert (pair["state"], pair["evidence"]["by"]) == ("killed", USER)


@pytest.mark.parametrize("function", ["job.term_job", "job.kill_job", "saltutil.term_job", "saltutil.kill_job"])
def test_stops_from_the_minion_itself(fleet: Fleet, function: str) -> None:
    jid = fleet.start("m1", "cmd.run", "sleep 100")
    fleet.running(jid)
    assert fleet.job("m1", function, jid).code == 0

    assert fleet.ended(jid)["state"] == "killed"
    assert fleet.of_job(jid) == {}


@pytest.mark.parametrize("function", ["job.kill_all_jobs", "saltutil.term_all_jobs"])
def test_all_jobs_are_stopped_but_the_one_that_asks(fleet: Fleet, function: str) -> None:
    # S04
    jids = [fleet.start("m1", "cmd.run", "sleep 100") for _ in range(3)]
    for jid in jids:
        fleet.running(jid)
    agent = fleet.pid("m1")
    asking = fleet.job("m1", function)

    assert (asking.code, set(asking.pair()["return"])) == (0, set(jids))
    assert [fleet.ended(jid)["state"] for jid in jids] == ["killed"] * 3
    assert fleet.pid("m1") == agent
    assert fleet.job("m1", "job.running").pair()["return"] == []


def test_what_a_job_leaves_behind_is_named_and_lives(fleet: Fleet) -> None:
    # DESIGN 8
    ended = fleet.job("m1", "cmd.run", "setsid sleep 96 >/dev/null 2>&1 & echo started")
    try:
        assert (ended.code, ended.pair()["state"]) == (0, "succeeded")
        (left,) = ended.pair()["evidence"]["left_behind"]
        assert fleet.of_job(ended.json["jid"]).keys() == {left["pid"]}
    finally:
        for pid in fleet.of_job(ended.json["jid"]):
            os.kill(pid, signal.SIGKILL)


def test_the_grace_of_the_settings_holds_where_none_is_given(fleet: Fleet) -> None:
    # Without it this would take the 10 s that are the default.
    fleet.configure("m1", grace="0.3s")
    fleet.restart("m1")
    for function in ("job.term_job", "job.term_all_jobs"):
        jid, _ = trapping(fleet, function)
        assert fleet.jr("m1", function, *([jid] if function == "job.term_job" else [])).code == 0
        pair = fleet.ended(jid)
        assert (pair["state"], pair["evidence"]["signal"]) == ("killed", signal.SIGKILL)
        assert 0.3 <= pair["evidence"]["took"] < 8  # as the supervisor counted it


def test_the_master_tells_the_grace_that_a_stop_has(fleet: Fleet) -> None:
    fleet.configure("master", grace="0.7s")
    fleet.restart("master")
    jid = fleet.start("m1", "cmd.exec", "sleep", "100")
    fleet.running(jid)
    with Connection(fleet.root / "run/jr/master.sock") as master:
        graces = [master.ask("stop", jid=jid, **fields)["grace"] for fields in (
            {"how": "signal", "signal": 18}, {"how": "term", "grace": 5.0}, {"how": "term"}, {"how": "kill"})]
        fleet.ended(jid)
        graces.append(master.ask("stop", jid=jid, how="term")["grace"])  # it is over
    assert graces == [0.0, 5.0, 0.7, 0.0, 0.7]
