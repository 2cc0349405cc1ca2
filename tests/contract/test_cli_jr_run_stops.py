"""What `jr-run` asks of a stop or a signal, waits for, and tells of what became of it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lib.control import Script, serving
from tests.lib.jr_run import HEAD, JID, PROGRAM, WELL, JrRun, end, pair, stop
from tests.lib.wait import until


@pytest.mark.parametrize(("words", "request_fields"), [
    (["jobs.kill", JID], {"how": "kill", "signal": None, "grace": None, "minions": None}),
    (["jobs.kill", JID, "minions=m1, m2"], {"how": "kill", "signal": None, "grace": None, "minions": ["m1", "m2"]}),
    (["jobs.term", JID], {"how": "term", "signal": None, "grace": None, "minions": None}),
    (["jobs.term", JID, "grace=1m"], {"how": "term", "signal": None, "grace": 60.0, "minions": None}),
])
def test_what_a_stop_asks_for(jr_run: JrRun, socket: Path, words: list[str], request_fields: dict[str, Any]) -> None:
    script = Script(stop=[stop({"m1": "sent", "m2": "terminal:succeeded"})],
                    watch=[HEAD, pair("m2"), pair("m1", "killed"), "wait", {}])
    with serving(socket, script):
        ended = jr_run(*words, "-o", "json")
    assert script.requests[0] == {"v": 1, "verb": "stop", "jid": JID, **request_fields}
    assert ended.code == 0
    # Only what was open is shown, with who asked for it; the rest of the job is not waited for.
    assert list(json.loads(ended.out)) == ["m1"]
    assert json.loads(ended.out)["m1"]["evidence"]["by"] == "root"


@pytest.mark.parametrize(("states", "code"), [
    (["killed", "killed"], 0), (["killed", "succeeded"], 1), (["succeeded", "succeeded"], 1), (["killed", "failed"], 1),
    (["lost", "killed"], 6),
])
def test_exit_code_of_a_stop(jr_run: JrRun, socket: Path, states: list[str], code: int) -> None:
    script = Script(stop=[stop({"m1": "sent", "m2": "sent"})],
                    watch=[HEAD, pair("m1", states[0]), pair("m2", states[1]), end(killed=2)])
    with serving(socket, script):
        assert jr_run("jobs.kill", JID).code == code


def test_a_stop_that_takes_too_long(jr_run: JrRun, socket: Path) -> None:
    script = Script(stop=[stop({"m1": "kept", "m2": "sent"})],
                    watch=[HEAD, pair("m2", "killed"), "wait", {}],
                    look=[HEAD, pair("m1", "running"), pair("m2", "killed"), end(running=1, killed=1)])
    with serving(socket, script):
        ended = jr_run("--wait", "0.05", "jobs.kill", JID, "-o", "json")
    assert ended.code == 124
    shown = json.loads(ended.out)
    assert (shown["m1"]["state"], shown["m2"]["state"]) == ("running", "killed")
    assert "not yet over on m1: the stop stands" in ended.err


def test_a_stop_of_who_is_away_is_not_waited_for(jr_run: JrRun, socket: Path) -> None:  # B03
    script = Script(stop=[stop({"m1": "sent", "m2": "kept"})], watch=[HEAD, pair("m1", "killed"), "wait", {}],
                    look=[HEAD, pair("m1", "killed"), pair("m2", "running"), end(running=1, killed=1)])
    with serving(socket, script):
        ended = jr_run("jobs.kill", JID)
    assert ended.code == 124
    assert "m1  killed" in ended.out
    assert "m2  running" in ended.out
    assert f"not yet over on m2: the stop stands, jr-run jobs.wait {JID} waits; not connected: m2" in ended.err


@pytest.mark.parametrize(("words", "script", "said"), [
    (["jobs.kill", JID], {"stop": ["wait", {}]}, f"jobs.lookup_jid {JID}"),
    (["jobs.kill", JID], {"stop": [stop({"m1": "sent"})], "watch": [HEAD, "wait", {}]}, f"the stop of {JID} stands"),
    (["jobs.term", JID], {"stop": [stop({"m1": "sent"})], "watch": [HEAD, "wait", {}]}, f"jobs.wait {JID}"),
    (["jobs.wait", JID], {"watch": [HEAD, "wait", {}]}, f"detached from {JID}, which goes on; look it up: jr-run"),
    (["--wait", "60", "schedule.run_job", "tidy"],
     {"schedule": [{"answer": {"verdict": "ran", "jid": JID}}], "watch": [HEAD, "wait", {}]},
     f"detached from {JID}, which goes on; look it up: jr-run jobs.lookup_jid {JID}; kill it: jr-run jobs.kill {JID}"),
])
def test_ctrl_c_tells_how_things_stand(
    tmp_path: Path, socket: Path, words: list[str], script: dict[str, Any], said: str,
) -> None:  # S14
    played = Script(**script)
    argv = [*PROGRAM, "--root", str(tmp_path), *words]
    with serving(socket, played), subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                   stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: len(played.requests) == len(script), what="the last request")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err.count("\n")) == (130, "", 1), err
    assert said in err


def test_stopping_what_is_over(jr_run: JrRun, socket: Path) -> None:  # S03
    script = Script(stop=[stop({"m1": "terminal:succeeded", "m2": "terminal:lost"})],
                    watch=WELL)
    with serving(socket, script):
        ended = jr_run("jobs.kill", JID, "-o", "json")
    assert ended.code == 0
    assert "was over already" in ended.err
    assert list(json.loads(ended.out)) == ["m1", "m2"]


@pytest.mark.parametrize(("name", "number"), [("HUP", 1), ("sigusr1", 10), ("15", 15), ("40", 40), (" term ", 15)])
def test_signals(jr_run: JrRun, socket: Path, name: str, number: int) -> None:
    script = Script(stop=[stop({"m1": "signalled"})])
    with serving(socket, script):
        document = jr_run.json("jobs.signal", JID, name)
    assert (script.last()["how"], script.last()["signal"]) == ("signal", number)
    assert document == {"jid": JID, "stop": "s", "minions": {"m1": "signalled"}}


@pytest.mark.parametrize("name", ["", "NOPE", "0", "65", "-9", "SIGSIGHUP", "²"])
def test_unknown_signals(jr_run: JrRun, name: str) -> None:
    ended = jr_run("jobs.signal", JID, "--", name)
    assert (ended.code, "cannot signal a job: " in ended.err, "is no signal" in ended.err) == (2, True, True)


@pytest.mark.parametrize(("outcomes", "code", "note"), [
    ({"m1": "failed: not permitted", "m2": "signalled"}, 1, False), ({"m1": "terminal:lost", "m2": "ended"}, 0, True),
    ({"m1": "ended", "m2": "sent"}, 0, False),
])
def test_what_became_of_a_signal(jr_run: JrRun, socket: Path, outcomes: dict[str, str], code: int, note: bool) -> None:
    with serving(socket, Script(stop=[stop(outcomes)])):
        ended = jr_run("jobs.signal", JID, "HUP")
    assert (ended.code, "was over already" in ended.err) == (code, note)


def test_the_table_of_a_signal(jr_run: JrRun, socket: Path) -> None:
    outcomes = {"web10": "signalled", "m1": "terminal:failed", "m2": "failed: not permitted", "m3": "not connected",
                "m4": "sent", "m5": "ended"}
    with serving(socket, Script(stop=[stop(outcomes)])):
        assert jr_run("jobs.signal", JID, "HUP").out.splitlines() == [
            "m1     over already: failed", "m2     failed: not permitted", "m3     not connected",
            "m4     sent, no answer yet", "m5     over already", "web10  signalled"]
