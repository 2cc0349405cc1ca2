"""`jr-run` against a real control server whose answers are written down here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.control_server import Caller, Reply
from common.errors import NotFoundError
from runners import registry
from runners.client import ControlMaster
from tests.lib.commands import Ended
from tests.lib.control import Script, serving
from tests.lib.jr_run import HALF, HEAD, JID, ROW, WELL, JrRun, end, pair, stop

# what there is


@pytest.mark.parametrize("words", [[], ["--list"]])
def test_the_list_of_runners(jr_run: JrRun, words: list[str]) -> None:
    ended = jr_run(*words)
    assert ended.code == 0
    assert "cannot list the custom runners: " in ended.err  # no master is there to name them
    assert [line.split()[0] for line in ended.out.splitlines()] == list(registry.BUILT_IN)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in ended.out.splitlines())


CUSTOM = {"mine.nap": "mine.nap(seconds: float = 100)\n\nSleep on the master.\n\nAnd no more.",
          "mine.bare": "mine.bare()", "manage.up": "manage.up()\n\nNot reached by this name."}


def test_custom_runners_are_listed_and_explained(jr_run: JrRun, socket: Path) -> None:
    with serving(socket, Script(runners=[{"runners": CUSTOM}])):
        listed = jr_run.json("--list")
        explained = jr_run("-d", "mine.nap")
        unknown = jr_run("-d", "mine.nope")
    assert (listed["mine.nap"], listed["mine.bare"]) == ("Sleep on the master.", "")
    assert listed["manage.up"] != "Not reached by this name."
    assert (explained.code, explained.out.strip()) == (0, CUSTOM["mine.nap"])
    assert (unknown.code, "mine.nope" in unknown.err) == (3, True)


def test_the_list_for_programs(jr_run: JrRun) -> None:
    assert list(jr_run.json("--list")) == list(registry.BUILT_IN)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_every_runner_is_explained_by_example(jr_run: JrRun, name: str) -> None:
    ended = jr_run("-d", name)
    assert ended.code == 0
    assert ended.out.startswith(name)
    assert f"jr-run {name}" in ended.out.replace("jr-run --wait 60 ", "jr-run ")


def test_there_is_nothing_to_explain(jr_run: JrRun) -> None:
    assert jr_run("-d").code == 2
    assert jr_run("-d", "jobs.nope").code == 3


def test_help(jr_run: JrRun) -> None:
    assert "jr-run jobs.kill" in jr_run("--help").out


# looking


def test_lookup_jid_is_the_document_of_the_first_invocation(jr_run: JrRun, socket: Path) -> None:  # S09
    script = Script(watch=WELL)
    with serving(socket, script):
        document = jr_run.json("jobs.lookup_jid", JID)
        assert script.last() == {"verb": "watch", "jid": JID, "follow": False}
        assert document["minions"]["m1"] == pair("m1")["pair"]
        assert (document["jid"], document["done"], document["counts"]) == (JID, 9.0, {"succeeded": 2})
        assert jr_run.json("jobs.list_job", JID) == document
        assert jr_run.json("jobs.print_job", JID) == {JID: document}


def test_raw_says_when_it_is_not_all(jr_run: JrRun, socket: Path) -> None:
    cut = pair("m1")
    cut["pair"] |= {"return": "begin\nend", "truncated": True}
    with serving(socket, Script(watch=[HEAD, cut, pair("m2"), end(succeeded=2)])):
        for runner in ("lookup_jid", "print_job"):
            assert jr_run(f"jobs.{runner}", JID, "-o", "raw") == Ended(
                0, "begin\nend\n", "jr-run: cut: this is not all that m1 returned; -o table says why\n")


def test_lookup_of_a_failed_job_is_a_success(jr_run: JrRun, socket: Path) -> None:
    with serving(socket, Script(watch=[HEAD, pair("m1", "failed"), pair("m2"), end(failed=1, succeeded=1)])):
        assert jr_run("jobs.lookup_jid", JID).code == 0


def test_an_unknown_jid(jr_run: JrRun, socket: Path) -> None:  # S09
    error = NotFoundError(f"cannot find the job {JID}: it is unknown")
    with serving(socket, Script(watch=[error], stop=[error])):
        for runner in ("lookup_jid", "list_job", "print_job", "exit_success", "wait", "kill", "term"):
            assert jr_run(f"jobs.{runner}", JID) == Ended(3, "", f"jr-run: {error}\n")


def test_a_killed_job_says_by_whom(jr_run: JrRun, socket: Path) -> None:  # S06
    with serving(socket, Script(watch=[HEAD, pair("m1", "killed"), pair("m2"), end(killed=1, succeeded=1)])):
        evidence = jr_run.json("jobs.lookup_jid", JID)["minions"]["m1"]["evidence"]
        assert "root" in jr_run("jobs.lookup_jid", JID).out
    assert evidence["by"] == "root"


def test_active(jr_run: JrRun, socket: Path) -> None:  # S08
    running = {"m1": {"pid": 7, "age": 3.5}}
    jobs = {JID: {**ROW, "running": running, "queued": [], "waiting": ["m3"], "returned": ["m2"]}}
    script = Script(active=[{"jobs": jobs, "next": None}])
    with serving(socket, script):
        assert jr_run.json("jobs.active") == jobs
        assert script.last() == {"verb": "active", "minion": None, "limit": 500, "cursor": None}
        assert jr_run.json("jobs.active", "minion=m1") == jobs
        assert script.last()["minion"] == "m1"
        assert JID in jr_run("jobs.active").out


def test_active_asks_until_it_has_all(jr_run: JrRun, socket: Path) -> None:
    jobs = {f"2026010203040512345{number}": ROW for number in range(5)}
    cursors: list[str | None] = []

    async def paged(request: dict[str, Any], caller: Caller, reply: Reply) -> dict[str, Any]:
        cursors.append(request["cursor"])
        left = [name for name in jobs if request["cursor"] is None or name > request["cursor"]]
        return {"jobs": {name: jobs[name] for name in left[:2]}, "next": left[1] if len(left) > 2 else None}

    with serving(socket, paged):
        assert jr_run.json("jobs.active") == jobs
    assert cursors == [None, "20260102030405123451", "20260102030405123453"]


def test_list_jobs(jr_run: JrRun, socket: Path) -> None:  # S10
    script = Script(jobs=[{"jobs": [ROW], "next": JID}])
    with serving(socket, script):
        assert jr_run.json("jobs.list_jobs") == {"jobs": [ROW], "next": JID}
        assert script.last() == {"verb": "jobs", "limit": 50, "cursor": None, "filter": {}}
        ended = jr_run("jobs.list_jobs", "limit=3", f"cursor={JID}", "function=cmd.*", "minion=m1", "state=failed",
                       "metadata.ticket=7", "until=1700000000")
    assert script.last() == {"verb": "jobs", "limit": 3, "cursor": JID, "filter": {
        "function": "cmd.*", "minion": "m1", "state": "failed", "metadata": {"ticket": "7"}, "until": 1_700_000_000.0}}
    assert JID in ended.out
    assert f"cursor={JID}" in ended.err


def test_the_last_page_says_nothing_more(jr_run: JrRun, socket: Path) -> None:
    with serving(socket, Script(jobs=[{"jobs": [ROW], "next": None}])):
        assert jr_run("jobs.list_jobs").err == ""


def test_nothing_to_list_is_said(jr_run: JrRun, socket: Path) -> None:
    with serving(socket, Script(jobs=[{"jobs": [], "next": None}], active=[{"jobs": {}, "next": None}])):
        assert jr_run("jobs.list_jobs") == Ended(0, "", "jr-run: no job is stored\n")
        assert jr_run("jobs.list_jobs", "user=ann") == Ended(0, "", "jr-run: no job fits these filters\n")
        assert jr_run("jobs.list_jobs", f"cursor={JID}") == Ended(0, "", "jr-run: no more jobs\n")
        assert jr_run("jobs.active") == Ended(0, "", "jr-run: no job is open\n")
        assert jr_run("jobs.active", "minion=m1") == Ended(0, "", "jr-run: no job is open on m1\n")
        assert jr_run("jobs.active", "-o", "json") == Ended(0, "{}\n", "")


def test_last_run(jr_run: JrRun, socket: Path) -> None:
    script = Script(jobs=[{"jobs": [ROW], "next": None}], watch=WELL)
    with serving(socket, script):
        assert jr_run.json("jobs.last_run", "function=cmd.*")["jid"] == JID
        assert script.requests[0]["filter"] == {"function": "cmd.*"}
        assert script.requests[0]["limit"] == 1
        script.answers["jobs"] = [{"jobs": [], "next": None}]
        assert jr_run("jobs.last_run", "function=nope").code == 3


@pytest.mark.parametrize(("states", "code"), [
    (["succeeded", "succeeded"], 0), (["failed", "succeeded"], 1), (["lost", "succeeded"], 6),
    (["running", "failed"], 124),
])
def test_exit_success_reads_states(jr_run: JrRun, socket: Path, states: list[str], code: int) -> None:  # S10
    counts = {state: states.count(state) for state in states}
    with serving(socket, Script(watch=[HEAD, pair("m1", states[0]), pair("m2", states[1]), end(**counts)])):
        ended = jr_run("jobs.exit_success", JID, "-o", "json")
    assert json.loads(ended.out) == {"m1": states[0] == "succeeded", "m2": states[1] == "succeeded"}
    assert ended.code == code


# minions


MINIONS = {
    "m2": {"up": False, "since": None, "last_seen": 4.0, "version": "0.1.0"},
    "m1": {"up": True, "since": 3.0, "last_seen": 5.0, "version": "0.1.0"},
}


def test_presence(jr_run: JrRun, socket: Path) -> None:  # S22
    with serving(socket, Script(presence=[{"minions": MINIONS}])):
        assert jr_run.json("manage.up") == ["m1"]
        assert jr_run.json("manage.down") == ["m2"]
        assert jr_run.json("manage.status") == MINIONS
        assert "m2" in jr_run("manage.status").out
        assert jr_run("manage.up").out == "m1\n"  # a name a line, for a loop in a shell


def test_nobody_is_down(jr_run: JrRun, socket: Path) -> None:
    with serving(socket, Script(presence=[{"minions": {"m1": MINIONS["m1"]}}])):
        assert jr_run("manage.down") == Ended(0, "", "")
        assert jr_run.json("manage.down") == []


# waiting


@pytest.mark.parametrize(("states", "code"), [(["succeeded", "succeeded"], 0), (["failed", "lost"], 1)])
def test_wait(jr_run: JrRun, socket: Path, states: list[str], code: int) -> None:  # B01
    counts = {state: states.count(state) for state in states}
    script = Script(watch=[HEAD, pair("m1", states[0]), pair("m2", states[1]), end(**counts)])
    with serving(socket, script):
        ended = jr_run("jobs.wait", JID, "-o", "json")
    assert ended.code == code
    assert script.last() == {"verb": "watch", "jid": JID, "follow": True}
    assert json.loads(ended.out)["counts"] == counts


@pytest.mark.parametrize("words", [["--wait", "0.05", "jobs.wait", JID], ["jobs.wait", JID, "wait=50ms"]])
def test_the_wait_is_over(jr_run: JrRun, socket: Path, words: list[str]) -> None:
    with serving(socket, Script(watch=[HEAD, pair("m2"), "wait", {}], look=HALF)):
        ended = jr_run(*words, "-o", "json")
    assert ended.code == 124
    assert json.loads(ended.out)["minions"]["m1"]["state"] == "running"
    assert f"{JID} goes on" in ended.err


# custom runners


RUNNER = [{**HEAD, "function": "deploy.all", "target": "master", "target_type": "runner", "minions": ["master"]},
          pair("master"), end(succeeded=1)]


def test_a_custom_runner_is_a_job(jr_run: JrRun, socket: Path) -> None:  # S21
    script = Script(run=RUNNER)
    with serving(socket, script):
        document = jr_run.json("--timeout", "1m", "deploy.all", "web", "dry=true")
    assert script.last() == {"verb": "run", "function": "deploy.all", "args": ["web"], "kwargs": {"dry": "true"},
                             "typed": True, "timeout": 60.0, "follow": True}
    assert list(document["minions"]) == ["master"]


def test_a_custom_runner_that_is_left_alone(jr_run: JrRun, socket: Path) -> None:
    script = Script(run=[RUNNER[0], {"done": None, "counts": {}}])
    with serving(socket, script):
        assert jr_run("--async", "deploy.all") == Ended(0, f"{JID}\n", "")


def test_a_custom_runner_that_takes_long(jr_run: JrRun, socket: Path) -> None:
    look = [RUNNER[0], pair("master", "running"), end(running=1)]
    with serving(socket, Script(run=[RUNNER[0], "wait", {}], watch=look)):
        assert jr_run("--wait", "0.05", "deploy.all").code == 124


def test_a_runner_that_does_not_exist(jr_run: JrRun, socket: Path) -> None:
    error = NotFoundError("cannot run deploy.al: no such runner; did you mean deploy.all?")
    with serving(socket, Script(run=[error])):
        assert jr_run("deploy.al") == Ended(3, "", f"jr-run: {error}\n")


@pytest.mark.parametrize("words", [["jobs.activ"], ["-d", "jobs.activ"]])
def test_a_slip_in_the_name_of_a_built_in_runner(jr_run: JrRun, words: list[str]) -> None:
    """No master is asked: nobody else can have that name."""
    assert jr_run(*words) == Ended(3, "", "jr-run: cannot run jobs.activ: there is no such runner; did you mean "
                                          "jobs.active? `jr-run --list` shows them all\n")


# bad usage


@pytest.mark.parametrize(("words", "reason"), [
    (["jobs.lookup_jid"], "missing a required argument: 'jid'; it is called as: jobs.lookup_jid JID"),
    (["jobs.lookup_jid", JID, "x"], "too many positional arguments"),
    (["jobs.lookup_jid", JID, "x=1"], "unexpected keyword argument 'x'"),
    (["jobs.active", "master=m1"], "multiple values for argument 'master'"),
    (["jobs.list_jobs", "limit=x"], "limit=x is wrong, it takes a whole number"),
    (["jobs.list_jobs", "limit=0"], "limit must be 1 or more"),
    (["jobs.list_jobs", "nope=1"], "cannot filter jobs by 'nope'"),
    (["jobs.list_jobs", "since=whenever"], "cannot read since=whenever"),
    (["jobs.term", JID, "grace=x"], "grace=x is wrong, it takes a length of time"),
    (["--wait", "3", "jobs.lookup_jid", JID], "it takes no --wait"),
    (["--timeout", "3", "jobs.active"], "it takes no --timeout"),
    (["--async", "jobs.active"], "it takes no --async"),
    (["--nope", "jobs.active"], "--nope"),
])
def test_bad_usage_is_one_line(jr_run: JrRun, words: list[str], reason: str) -> None:
    ended = jr_run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_no_master(jr_run: JrRun) -> None:
    ended = jr_run("jobs.active")
    assert (ended.code, "no such socket; start it with jr-master" in ended.err) == (5, True)


# from Python


def test_runners_are_called_with_values_as_well(socket: Path) -> None:
    script = Script(stop=[stop({"m1": "sent"})],
                    watch=[HEAD, pair("m1", "killed"), end(killed=1)])
    with serving(socket, script):
        report = registry.call("jobs.term", ControlMaster(socket), [JID], {"minions": ["m1"], "grace": 2.5})
    assert (script.requests[0]["minions"], script.requests[0]["grace"], report.exit) == (["m1"], 2.5, 0)


class Bounds(ControlMaster):
    """Keeps how long each stream was to be followed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waits: list[float] = []

    def watch(self, jid: str, *, follow: bool, until: float | None = None) -> Iterator[dict[str, Any]]:
        self.waits.append((until or 0.0) - clock.boottime())
        return super().watch(jid, follow=follow, until=until)


@pytest.mark.parametrize(("runner", "words", "grace", "seconds"), [
    ("jobs.term", {}, 90.0, 105), ("jobs.term", {"grace": 5.0}, 5.0, 20), ("jobs.term", {"wait": 3.0}, 90.0, 3),
    ("jobs.kill", {}, 0.0, 15),
])
def test_a_stop_is_waited_for_as_long_as_the_grace_that_the_master_tells(
    socket: Path, runner: str, words: dict[str, float], grace: float, seconds: int
) -> None:
    script = Script(stop=[stop({"m1": "sent"}, grace)],
                    watch=[HEAD, pair("m1", "killed"), end(killed=1)])
    with serving(socket, script):
        master = Bounds(socket)
        registry.call(runner, master, [JID], words)
    (wait,) = master.waits
    assert seconds - 2 < wait <= seconds


def test_names_that_are_no_runner_are_never_looked_up() -> None:
    for name in ("jobs._stop", "jobs.clock", "registry.find", "jobs", "jobs.active.x", "os.system", ""):
        assert registry.find(name) is None
