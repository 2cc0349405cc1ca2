"""`jr` against a real control server whose answers are written down here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import DeniedError, NotFoundError, UnreachableError
from master.cli.jr import command
from tests.lib.commands import Ended, run
from tests.lib.control import Script, serving
from tests.lib.wait import until

PROGRAM = [sys.executable, "-c", "from master.cli.jr import main; main()"]
JID = "20260102030405123456"
HEAD = {
    "event": "job", "jid": JID, "function": "test.ping", "args": [], "kwargs": {}, "target": "*", "target_type": "glob",
    "user": "root", "published": 5.0, "minions": ["m1", "m2"], "schedule": None, "metadata": {},
}


def pair(minion: str, state: str = "succeeded", value: Any = True) -> dict[str, Any]:
    return {"event": "pair", "minion": minion, "pair": {
        "state": state, "retcode": 0 if state == "succeeded" else 1, "return": value, "stdout": "", "stderr": "",
        "started": 5.1, "ended": 5.2, "duration": 0.1, "pid": 7, "evidence": None,
    }}


def end(**counts: int) -> dict[str, Any]:
    return {"done": 9.0, "counts": counts}


WELL = [HEAD, pair("m2"), pair("m1"), end(succeeded=2)]


class Jr:
    """Runs `jr` on the root of one test."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        return run(self._capsys, command, "--root", str(self.root), *words)


@pytest.fixture
def jr(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Jr:
    monkeypatch.delenv("JR_ROOT", raising=False)
    return Jr(tmp_path, capsys)


# what is asked for


def asked(script: Script, jr: Jr, socket: Path, *words: str) -> dict[str, Any]:
    with serving(socket, script):
        assert jr(*words).code == 0
    return script.last()


def test_a_request_with_nothing_but_its_names(jr: Jr, socket: Path) -> None:
    assert asked(Script(publish=WELL), jr, socket, "*", "test.ping") == {
        "verb": "publish", "target": "*", "target_type": "glob", "function": "test.ping", "args": [], "kwargs": {},
        "typed": True, "timeout": None, "start_within": None, "grace": None, "metadata": {}, "follow": True,
    }


def test_a_request_with_everything(jr: Jr, socket: Path) -> None:
    request = asked(
        Script(publish=WELL), jr, socket, "-L", "--timeout", "5m", "--expires=2h", "--grace", "30s", "--metadata",
        "ticket=7", "m1,m2", "--metadata", "by=me=you", "cmd.exec", "ls", "-l", "cwd=/srv", "-o", "json",
        "--offline", "queue", "--left-behind", "kill", "--", "a=b", "-o",
    )
    assert request == {
        "verb": "publish", "target": "m1,m2", "target_type": "list", "function": "cmd.exec",
        "args": ["ls", "-l", "a=b", "-o"], "kwargs": {"cwd": "/srv"}, "typed": True, "timeout": 300.0,
        "start_within": 7200.0, "grace": 30.0, "metadata": {"ticket": "7", "by": "me=you"}, "follow": True,
        "offline": "queue", "left_behind": "kill",
    }


@pytest.mark.parametrize(("flag", "kind"), [("-L", "list"), ("-E", "regex")])
def test_kinds_of_target(jr: Jr, socket: Path, flag: str, kind: str) -> None:  # S12
    assert asked(Script(publish=WELL), jr, socket, flag, "m1", "test.ping")["target_type"] == kind


def test_arguments_stay_the_very_text_that_was_typed(jr: Jr, socket: Path) -> None:
    request = asked(Script(publish=WELL), jr, socket, "*", "test.echo", "007", " x ", "", "ü", "{a: 1}", "a= b ")
    assert (request["args"], request["kwargs"]) == (["007", " x ", "", "ü", "{a: 1}"], {"a": " b "})


def test_the_root_may_come_from_the_environment(
    socket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JR_ROOT", str(tmp_path))
    with serving(socket, Script(publish=WELL)):
        assert run(capsys, command, "*", "test.ping").code == 0


# what is printed


def test_json_is_one_document(jr: Jr, socket: Path) -> None:  # S17
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.ping", "-o", "json")
    document = json.loads(ended.out)
    assert list(document) == ["jid", "function", "args", "kwargs", "target", "target_type", "user", "published", "done",
                              "minions", "counts"]
    assert document["minions"]["m1"] == pair("m1")["pair"]
    assert (document["done"], document["counts"]) == (9.0, {"succeeded": 2})
    assert ended.err == ""


def test_a_table_shows_each_minion_and_the_totals_beside(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.ping")
    assert "m1" in ended.out
    assert "m2" in ended.out
    assert JID not in ended.out
    assert JID in ended.err
    assert "2 succeeded" in ended.err


@pytest.mark.parametrize("fmt", ["table", "jsonl"])
def test_returns_are_printed_as_they_come(socket: Path, tmp_path: Path, fmt: str) -> None:
    """The second return is never sent, and the first one is there all the same."""
    script = Script(publish=[HEAD, pair("m2"), "wait", {}])
    with serving(socket, script), started(tmp_path, "*", "test.ping", "-o", fmt) as process:
        assert process.stdout is not None
        assert b"m2" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_jsonl_is_a_line_for_each_return(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.ping", "-o", "jsonl")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["minion"] for line in lines] == ["m2", "m1"]
    assert all(line["jid"] == JID and line["state"] == "succeeded" for line in lines)
    assert ended.err == ""


def test_yaml_is_one_document(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.ping", "-o", "yaml")
    assert f"jid: '{JID}'" in ended.out
    assert "m1:" in ended.out


def test_raw_says_when_it_is_not_all(jr: Jr, socket: Path) -> None:
    cut = pair("m1", value="begin\nend")
    cut["pair"]["truncated"] = True
    with serving(socket, Script(publish=[HEAD, pair("m2", value="whole"), cut, end(succeeded=2)])):
        ended = jr("*", "cmd.run", "x", "-o", "raw")
    assert ended == Ended(0, "whole\nbegin\nend\n",
                          "jr: cut: this is not all that m1 returned; -o table says why\n")


def test_nothing_of_a_minion_reaches_the_terminal_raw(jr: Jr, socket: Path) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J"
    answer = [{**HEAD, "minions": ["m1"]}, pair("m1", value=nasty), end(succeeded=1)]
    with serving(socket, Script(publish=answer)):
        assert "\x1b" not in jr("*", "test.ping").out
    with serving(socket, Script(publish=[NotFoundError(f"cannot find {nasty}\nx")])):
        ended = jr("*", "test.ping")
    assert "\x1b" not in ended.err
    assert ended.err.count("\n") == 1


def test_async_prints_the_jid_alone(jr: Jr, socket: Path) -> None:  # S14
    script = Script(publish=[HEAD, {"done": None, "counts": {}}])
    with serving(socket, script):
        ended = jr("--async", "*", "test.ping")
    assert ended == Ended(0, f"{JID}\n", "")
    assert script.last()["follow"] is False


# exit codes


@pytest.mark.parametrize(("states", "code"), [
    (["succeeded", "succeeded"], 0), (["succeeded", "failed"], 1), (["killed", "succeeded"], 1),
    (["timed_out", "undelivered"], 1), (["undelivered", "succeeded"], 6), (["lost", "lost"], 6),
    (["refused", "succeeded"], 6),
])
def test_exit_codes_of_states(jr: Jr, socket: Path, states: list[str], code: int) -> None:  # S17
    counts = {state: states.count(state) for state in states}
    with serving(socket, Script(publish=[HEAD, pair("m1", states[0]), pair("m2", states[1]), end(**counts)])):
        assert jr("*", "test.ping").code == code


@pytest.mark.parametrize(("error", "code"), [
    (NotFoundError("cannot publish: nothing matches"), 3), (DeniedError("cannot publish: no"), 4),
    (UnreachableError("cannot publish: too much"), 5),
])
def test_exit_codes_of_errors(jr: Jr, socket: Path, error: Exception, code: int) -> None:
    with serving(socket, Script(publish=[error])):
        assert jr("*", "test.ping") == Ended(code, "", f"jr: {error}\n")


def test_no_master(jr: Jr, socket: Path) -> None:
    assert jr("*", "test.ping") == Ended(
        5, "", f"jr: cannot reach the master at {socket}: no such socket; "
        "start it with jr-master, or name its root with --root or JR_ROOT\n")


@pytest.mark.parametrize(("words", "reason"), [
    ([], "'TARGET'"), (["*"], "'FUNCTION'"), (["--nope", "*", "f"], "--nope"), (["-L", "-E", "a", "f"], "-L and -E"),
    (["-o", "xml", "*", "f"], "'xml'"), (["*", "f", "-o"], "-o needs a value"),
    (["*", "f", "a=1", "a=2"], "a= is given twice"),
    (["--wait", "soon", "*", "f"], "'soon' is not a length of time"), (["--timeout", "0", "*", "f"], "no time at all"),
    (["--expires", "-1", "*", "f"], "'-1' is not"), (["--metadata", "x", "*", "f"], "'x' is not KEY=VALUE"),
    (["--metadata", "x=1", "--metadata", "x=2", "*", "f"], "given twice"),
    (["--metadata", "=1", "*", "f"], "KEY=VALUE"),
])
def test_bad_usage_is_one_line(jr: Jr, words: list[str], reason: str) -> None:
    ended = jr(*words)
    assert (ended.code, ended.out) == (2, "")
    assert reason in ended.err
    assert ended.err.startswith("jr: ")
    assert ended.err.count("\n") == 1


def test_an_argument_that_is_no_text(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.echo", os.fsdecode(b"\xff"))
    assert (ended.code, "not valid UTF-8" in ended.err) == (2, True)


def test_too_many_arguments_for_a_frame(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        ended = jr("*", "test.echo", "x" * 2_000_000)
    assert (ended.code, "the limit is" in ended.err) == (2, True)


def test_help_teaches_by_example(jr: Jr) -> None:
    ended = jr("--help")
    assert ended.code == 0
    for example in ("jr '*' test.ping", "-L web1,web2", "Exit codes", "--wait SECONDS"):
        assert example in ended.out


# waiting


RUNNING = pair("m1", "running", None)


@pytest.mark.parametrize("fmt", ["table", "json", "jsonl"])
def test_the_wait_is_over(jr: Jr, socket: Path, fmt: str) -> None:  # S13
    script = Script(publish=[HEAD, pair("m2"), "wait", {}],
                    look=[HEAD, RUNNING, pair("m2"), {"done": None, "counts": {"running": 1, "succeeded": 1}}])
    script.answers["watch"] = script.answers["look"]
    with serving(socket, script):
        ended = jr("--wait", "0.05", "*", "test.ping", "-o", fmt)
    assert ended.code == 124
    assert f"waited 0.05 s; {JID} goes on" in ended.err
    assert f"jr-run --root {jr.root} jobs.kill {JID}" in ended.err
    assert ended.out.count("m2") == 1
    if fmt == "json":
        document = json.loads(ended.out)
        assert {minion: pair["state"] for minion, pair in document["minions"].items()} == {
            "m1": "running", "m2": "succeeded"}
    else:
        # What is not over yet has a place in a table, but is no return.
        assert ("m1" in ended.out) == (fmt == "table")
    assert script.gone.wait(60)


def test_a_wait_that_is_long_enough(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        assert jr("--wait", "1m", "*", "test.ping").code == 0


def test_everything_ended_at_the_last_moment(jr: Jr, socket: Path) -> None:
    """The wait was over, although the look after it shows that all have ended: the code says what was waited for."""
    script = Script(publish=[HEAD, "wait", {}], watch=WELL)
    with serving(socket, script):
        ended = jr("--wait", "0", "*", "test.ping")
    assert ended.code == 124
    assert "m1" in ended.out


# when the master goes away


def test_the_master_goes_away_in_the_middle(jr: Jr, socket: Path) -> None:
    with serving(socket, Script(publish=[HEAD, pair("m2"), UnreachableError("cannot go on: stopping")])):
        ended = jr("*", "test.ping")
    assert ended.code == 5
    assert f"jr: cannot go on: stopping; {JID} goes on; look it up: jr-run --root" in ended.err
    assert "m2" in ended.out


# as a process


@contextmanager
def started(root: Path, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`jr` as a process of its own, ended at the end of the `with`."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    program = [*PROGRAM, "--root", str(root), *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(program, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_detaches(socket: Path, tmp_path: Path) -> None:  # S14
    script = Script(publish=[HEAD, pair("m2"), "wait", {}])
    with serving(socket, script), started(tmp_path, "*", "test.ping") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert script.gone.wait(60)
    text = err.decode()
    assert f"jr: detached from {JID}, which goes on" in text
    assert f"jr-run --root {tmp_path} jobs.lookup_jid {JID}" in text
    assert f"jr-run --root {tmp_path} jobs.kill {JID}" in text
    assert "Traceback" not in text


def test_ctrl_c_before_the_master_has_answered(socket: Path, tmp_path: Path) -> None:
    for words in (["*", "test.ping"], ["--async", "*", "test.ping"]):
        script = Script(publish=["wait", {}])
        with serving(socket, script), started(tmp_path, *words) as process:
            until(lambda script=script: script.requests, what="the request")  # type: ignore[misc]
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert b"interrupted before the master had answered" in err
        assert b"jobs.list_jobs" in err


def test_a_reader_that_stops_is_no_traceback(socket: Path, tmp_path: Path) -> None:
    answer = [HEAD, *[pair("m1", value="x" * 1000) for _ in range(500)], end(succeeded=1)]
    with serving(socket, Script(publish=answer)), started(tmp_path, "*", "test.ping") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.parametrize(("words", "goes_on"), [
    (["*", "test.ping", "-o", "json"], False), (["*", "test.ping"], True), (["--async", "*", "test.ping"], True)])
def test_output_that_cannot_be_written(socket: Path, tmp_path: Path, words: list[str], goes_on: bool) -> None:
    """Nobody else may know of the job: its jid is told."""
    answer = [HEAD, {"done": None, "counts": {"sent": 2}}] if "--async" in words else WELL
    with Path("/dev/full").open("wb") as full, serving(socket, Script(publish=answer)):
        with started(tmp_path, *words, stdout=full) as process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith(b"jr: cannot write to stdout: No space left on device; ")
    assert (f"{JID} goes on" in err.decode(), f"jobs.lookup_jid {JID}" in err.decode()) == (goes_on, True)
    assert err.count(b"\n") == 1


def test_no_output_at_all(socket: Path, tmp_path: Path) -> None:
    with serving(socket, Script(publish=WELL)):
        shell = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"]
        closed = subprocess.run([*shell, *PROGRAM, "--root", str(tmp_path), "*", "test.ping"], timeout=20, check=False)
    assert closed.returncode == 0


def test_text_that_the_terminal_cannot_show(socket: Path, tmp_path: Path) -> None:
    answer = [{**HEAD, "minions": ["m1"]}, pair("m1", value="ü漢"), end(succeeded=1)]
    with serving(socket, Script(publish=answer)):
        with started(tmp_path, "*", "test.ping", env={"PYTHONIOENCODING": "latin-1"}) as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"\xfc\\u6f22" in out


def test_the_command_loads_nothing_heavy() -> None:
    """A command costs little more than the interpreter: see the budget of `jr '*' test.ping`."""
    heavy = "asyncio zmq yaml msgspec logging psutil sqlite3 common.ids common.codec"
    code = f"import sys; import master.cli.jr; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert out.stdout.strip() == "[]"
