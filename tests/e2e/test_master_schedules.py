"""The master's own schedule: fleet jobs and runners by plan, changed at run time, each planned run with its verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lib.fleet import USER, Fleet, started, with_runners
from tests.lib.wait import until

RUNNERS = '''
"""Runners of an operator."""
import sys


def leave() -> None:
    """End the process that it runs in."""
    sys.exit(3)


def raises() -> None:
    """Fail."""
    raise RuntimeError("no luck today")


def fine(text: str = "") -> str:
    """Do nothing."""
    return text
'''
FAR = "2040-01-01T00:00"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2, prepare=partial(with_runners, RUNNERS)) as fleet:
        until(lambda: len(fleet.run("manage.up").json) == 2, what="both are up")
        yield fleet


@pytest.fixture(autouse=True)
def _bare(fleet: Fleet) -> Iterator[None]:
    """Each test begins without entries, and not held."""
    yield
    fleet.run("schedule.reload", "forget=true")
    fleet.run("schedule.release", "pending=drop")


def ask(fleet: Fleet, verb: str, *words: str) -> Any:
    """What `jr-run schedule.VERB` answers when it does what was asked."""
    ended = fleet.run(f"schedule.{verb}", *words)
    assert ended.code == 0, ended
    return ended.json


def add(fleet: Fleet, name: str, function: str, *words: str) -> Any:
    return ask(fleet, "add", name, function, *words)


def audit(fleet: Fleet, name: str, *words: str) -> list[Any]:
    """The planned runs of an entry of the master, the latest first."""
    runs: list[Any] = ask(fleet, "audit", f"name={name}", "minion=master", "limit=1000", *words)["runs"]
    return runs


def test_a_run_is_a_job_of_the_fleet_with_its_verdict(fleet: Fleet) -> None:  # R-S24, R-B05
    add(fleet, "tick", "cmd.run", "args=[echo hello]", "target=*", "every=1s", "metadata={team: web}")
    runs = until(lambda: [run for run in audit(fleet, "tick", "verdict=ran") if run.get("states")], what="it ran")
    done = fleet.ended(runs[-1]["jid"], "m2") and fleet.lookup(runs[-1]["jid"])
    assert (done["function"], done["target"], done["user"], done["schedule"]) == ("cmd.run", "*", "schedule", "tick")
    assert done["metadata"] == {"team": "web"}
    assert {pair["return"] for pair in done["minions"].values()} == {"hello"}
    listed = fleet.run("jobs.list_jobs", "schedule=tick").json["jobs"]
    assert {job["jid"] for job in listed} >= {run["jid"] for run in runs}
    table = fleet.command("jr-run", "schedule.audit", "name=ti*", "limit=1")
    assert "VERDICT" in table.out
    assert "2 succeeded" in table.out or "running" in table.out or "accepted" in table.out or "sent" in table.out
    assert "1 ran" in table.err
    assert "job cmd.run for 2 minions of the schedule tick" in fleet.log("master")  # R-I08
    assert "done: 2 succeeded" in fleet.log("master")
    assert "\x1b" not in fleet.log("master")


def test_a_target_that_matches_nobody_says_so(fleet: Fleet) -> None:  # R-B05
    add(fleet, "nobody", "test.ping", "target=zz*", f"once={FAR}")
    ended = fleet.run("schedule.run_job", "nobody")
    assert ended.code == 1
    assert (ended.json["verdict"], ended.json["reason"]) == (
        "failed_to_start", "no minion matches 'zz*'; nothing was sent")
    run = until(lambda: audit(fleet, "nobody"), what="its verdict")[0]
    assert (run["verdict"], run["by"], "states" in run) == ("failed_to_start", USER, False)
    assert "cannot run nobody: no minion matches" in fleet.log("master")  # R-I08
    add(fleet, "nothing", "mine.nothing", f"once={FAR}")
    assert "mine.nothing" in fleet.run("schedule.run_job", "nothing").json["reason"]


def test_what_can_never_be_a_job_is_refused_at_once(fleet: Fleet) -> None:  # R-S24
    ended = fleet.run("schedule.add", "report", "jobs.active", "at=03:00")
    assert (ended.code, "function is 'jobs.active': built-in runners are no jobs" in ended.err) == (2, True), ended
    assert add(fleet, "tidy", "schedule.save", "target=m1", "at=03:00")["zone"]


def test_every_change_survives_a_kill(fleet: Fleet) -> None:  # R-S24
    fleet.configure("master", schedule={"filed": {"function": "test.ping", "target": "*", "once": FAR},
                                        "gone": {"function": "test.ping", "target": "*", "once": FAR}})
    ask(fleet, "reload")
    ask(fleet, "modify", "filed", "target=m1", "metadata={team: db}")
    ask(fleet, "delete", "gone")
    add(fleet, "own", "mine.fine", "cron=0 3 * * *", "timezone=Asia/Tokyo")
    ask(fleet, "copy", "own", "second")
    ask(fleet, "move", "second", "third")
    ask(fleet, "disable", "own")
    ask(fleet, "skip_job", "third")
    skipped = ask(fleet, "show", "third")["skips"]
    ask(fleet, "postpone_job", "filed", "2041-01-01T00:00")
    ask(fleet, "hold")
    fleet.end("master")
    fleet.up_alone("master")
    entries = {entry["name"]: entry for entry in ask(fleet, "list")}
    assert set(entries) == {"filed", "own", "third"}
    filed = entries["filed"]
    assert (filed["target"], filed["metadata"], filed["once"]) == ("m1", {"team": "db"}, FAR)
    assert "master.yaml line" in filed["origin"]
    assert f"run time by {USER}" in filed["origin"]
    assert (len(filed["waiting"]), entries["own"]["enabled"], entries["third"]["timezone"]) == (1, False, "Asia/Tokyo")
    assert entries["third"]["skips"] == skipped != []
    assert {entry["status"] for entry in entries.values()} == {"held", "disabled"}
    saved = Path(ask(fleet, "save")["saved"])
    assert saved.stat().st_mode & 0o077 == 0
    assert {entry["name"] for entry in ask(fleet, "list")} == {"filed", "own", "third"}
    saved.unlink()
    fleet.configure("master", schedule={})
    ask(fleet, "reload")
    assert ask(fleet, "list") == []


def test_a_disabled_entry_never_runs_and_says_so(fleet: Fleet) -> None:  # R-I04, R-P09
    add(fleet, "off", "test.ping", "target=*", "every=1s", "enabled=false")
    add(fleet, "on", "test.ping", "target=*", "every=1s")
    until(lambda: audit(fleet, "on"), what="the other one runs")
    shown = ask(fleet, "job_status", "off")
    assert (shown["status"], shown["next"], audit(fleet, "off")) == ("disabled", None, [])
    refused = fleet.run("schedule.run_job", "off")
    refused.fails(2, "it is disabled", "force=true")
    assert ask(fleet, "run_job", "off", "force=true")["verdict"] == "ran"
    assert len(audit(fleet, "off")) == 1
    assert ask(fleet, "enable", "off")["next"] is not None


def test_a_hold_stops_everything_and_run_pending_runs_what_is_due_once(fleet: Fleet) -> None:  # R-I04, R-I05, R-P23
    add(fleet, "due", "test.ping", "target=*", "every=1s")
    add(fleet, "later", "test.ping", "target=*", f"once={FAR}")
    add(fleet, "asks", "mine.fine", "should_run=test -e /", "every=1s")
    add(fleet, "declines", "mine.fine", "should_run=test ! -e /", "every=1s")
    until(lambda: audit(fleet, "due", "verdict=ran"), what="it runs")
    held = ask(fleet, "hold")
    assert held["held"] is True
    before = len(audit(fleet, "due", "verdict=ran"))
    due = {"due", "asks", "declines"}
    until(lambda: {entry["name"] for entry in ask(fleet, "list") if entry["waiting"]} == due, what="all three are due")
    pending = fleet.run("schedule.run_pending")
    runs = {run["name"]: run for run in pending.json}
    assert (pending.code, runs.keys()) == (0, due)
    assert (runs["due"]["states"], runs["asks"]["states"]) == ({"succeeded": 2}, {"succeeded": 1})
    assert runs["declines"]["verdict"] == "skipped_should_run"
    assert ask(fleet, "hold") == held, "it goes on"
    assert audit(fleet, "later") == []
    fleet.run("schedule.run_job", "due").fails(2, "all schedules are held", f"by {USER}")
    ask(fleet, "modify", "due", "every=1h")
    assert ask(fleet, "release", "pending=drop")["held"] is False
    assert ask(fleet, "show", "due")["waiting"] == []
    assert len(audit(fleet, "due", "verdict=ran")) == before + 1
    assert fleet.run("schedule.run_pending").json == []
    shown = fleet.command("jr-run", "schedule.run_pending")
    assert (shown.out, "nothing was due" in shown.err) == ("", True)


def test_run_pending_tells_of_failures_by_its_exit_code(fleet: Fleet) -> None:  # R-I05
    ask(fleet, "hold")
    add(fleet, "wrong", "test.fail", "target=*", "every=1s")
    until(lambda: ask(fleet, "show", "wrong")["waiting"], what="it is due")
    pending = fleet.run("schedule.run_pending")
    assert (pending.code, pending.json[0]["states"]) == (1, {"failed": 2})
    until(lambda: ask(fleet, "show", "wrong")["waiting"], what="it is due again")
    before = len(audit(fleet, "wrong", "verdict=ran"))
    ask(fleet, "modify", "wrong", "max_runs=2")
    ask(fleet, "release")  # what came due runs now, once: R-P23
    until(lambda: len(audit(fleet, "wrong", "verdict=ran")) == before + 1, what="it runs")


def test_run_now_answers_at_once_and_can_wait_for_the_end(fleet: Fleet) -> None:  # R-I06, R-I24, R-P09
    add(fleet, "slow", "test.sleep", "args=[100]", "target=m1", f"once={FAR}")
    run = ask(fleet, "run_job", "slow")
    fleet.running(run["jid"])
    skipped = fleet.run("schedule.run_job", "slow")
    assert (skipped.code, skipped.json["verdict"]) == (1, "skipped_overlap")  # R-P17
    assert fleet.run("jobs.kill", run["jid"]).code == 0
    until(lambda: ask(fleet, "show", "slow").get("last_state") == "killed", what="its end is known")
    add(fleet, "wrong", "test.fail", "target=m1", f"once={FAR}")
    assert fleet.run("--wait", "30", "schedule.run_job", "wrong").code == 1
    add(fleet, "right", "test.ping", "target=*", f"once={FAR}")
    waited = fleet.run("--wait", "30", "schedule.run_job", "right")
    assert (waited.code, waited.json[0]["states"]) == (0, {"succeeded": 2})
    fleet.run("schedule.run_job", "rigth").fails(3, "rigth", 'did you mean "right"?')


def test_a_runner_that_leaves_or_raises_is_recorded_and_harms_nobody(fleet: Fleet) -> None:  # R-P13
    add(fleet, "after", "mine.fine", "args=[told]")
    add(fleet, "leaves", "mine.leave", f"once={FAR}", "on_failure=[after]")
    add(fleet, "raises", "mine.raises", f"once={FAR}")
    master = fleet.pid("master")
    for name in ("leaves", "raises"):
        assert fleet.run("--wait", "30", "schedule.run_job", name).code == 1
    raised = fleet.command("jr-run", "-o", "json", "jobs.last_run", "schedule=raises", traced=True).json
    assert "no luck today" in str(raised["minions"]["master"])
    followed = until(lambda: [run for run in audit(fleet, "after") if run.get("states") == {"succeeded": 1}],
                     what="what follows a failure has run")[0]
    assert (followed["cause"], followed["by"]) == ("on_failure", "leaves")
    assert fleet.pid("master") == master


def test_a_question_decides_before_a_job_is_made(fleet: Fleet) -> None:  # R-S24
    gate = fleet.base / "gate"
    add(fleet, "asks", "mine.fine", f"should_run=test -e {gate}", f"once={FAR}")
    refused = fleet.run("schedule.run_job", "asks")
    assert (refused.code, refused.json["verdict"], refused.json["jid"]) == (1, "skipped_should_run", None)
    gate.touch()
    assert ask(fleet, "run_job", "asks")["verdict"] == "ran"


def test_a_second_master_refuses_to_start(fleet: Fleet) -> None:  # R-P17
    again = fleet.command("jr-master")
    assert again.code != 0
    assert "another" in again.err or "lock" in again.err or "runs" in again.err, again


def test_entries_go_from_one_minion_to_others(fleet: Fleet) -> None:  # R-S24
    assert fleet.job("m1", "schedule.add", "tidy", "function=test.ping", "every=1h", "splay=5m").code == 0
    copied = fleet.run("schedule.copy", "tidy", "source=m1", "target=m2")
    assert copied.code == 0, copied
    shown = {minion: fleet.job(minion, "schedule.show", "tidy").pair(minion)["return"] for minion in ("m1", "m2")}
    assert shown["m2"]["every"] == shown["m1"]["every"] == "1h"
    assert shown["m2"]["splay"] == "5m"
    assert fleet.run("schedule.copy", "tidy", "source=m1", "target=m2").code == 1
    moved = fleet.run("schedule.move", "tidy", "tidier", "source=m1", "target=m2")
    assert moved.code == 0, moved
    assert fleet.job("m1", "schedule.show", "tidy").code == 1
    assert fleet.job("m2", "schedule.show", "tidier").code == 0
    fleet.run("schedule.copy", "tidy", "source=m9", "target=m2").fails(1, "m9")
    fleet.run("schedule.copy", "tidy", "source=m2").fails(2, "source=", "target=")
    for name, after in (("first", "second"), ("second", "third")):
        assert fleet.run("schedule.add", name, "mine.fine", f"then={after}").code == 0
    fleet.run("schedule.modify", "second", "then=first").fails(2, "then leads back to itself: second, first, second")
    for name in ("first", "second"):
        assert fleet.run("schedule.delete", name).code == 0
    for name in ("tidy", "tidier"):
        assert fleet.job("m2", "schedule.delete", name).code == 0


def test_a_kill_in_the_due_second_runs_nothing_twice_and_loses_none(fleet: Fleet) -> None:  # R-S25
    add(fleet, "pulse", "mine.fine", "every=1s", "base=grid", "anchor=2026-01-01T00:00:00Z", "catch_up={runs: all, "
        "window: 1h}", "overlap={allow: 100}")
    until(lambda: audit(fleet, "pulse"), what="it runs")
    # Within a millisecond or two of the planned time, before or after: what is done then is what this is about.
    time.sleep(1 - time.time() % 1)
    for _ in range(2):
        fleet.end("master")
        fleet.up_alone("master")
    now = time.time()
    until(lambda: any(run["planned"] > now for run in audit(fleet, "pulse")), what="it is up to date")
    ask(fleet, "disable", "pulse")
    runs = [run for run in audit(fleet, "pulse") if run["planned"] <= now]
    planned = [run["planned"] for run in reversed(runs)]
    assert planned == [planned[0] + number for number in range(len(planned))]
    assert {run["count"] for run in runs} == {1}
    assert {run["verdict"] for run in runs} <= {"ran", "late", "caught_up"}
    jids = [run["jid"] for run in runs]
    assert len(set(jids)) == len(jids)
    jobs = fleet.run("jobs.list_jobs", "schedule=pulse", "limit=1000").json["jobs"]
    assert set(jids) <= {job["jid"] for job in jobs}
    until(lambda: ask(fleet, "show", "pulse")["running"] == [], what="all of them end")
    assert len({job["jid"] for job in fleet.run("jobs.list_jobs", "schedule=pulse", "limit=1000").json["jobs"]}) == \
        len(audit(fleet, "pulse"))
