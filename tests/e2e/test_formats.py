"""S17: what the commands print, for people and for programs; data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.lib.fleet import SCRIPTS, USER, Fleet, started

KEYS = ["jid", "function", "args", "kwargs", "target", "target_type", "user", "published", "done", "minions", "counts"]
PAIR = ["state", "retcode", "return", "stdout", "stderr", "started", "ended", "duration", "pid", "evidence"]
ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def test_the_document_has_the_keys_of_the_reference_and_no_others(fleet: Fleet) -> None:
    ended = fleet.job("*", "cmd.run", "echo out; echo err >&2", "cwd=/tmp")
    document = ended.json

    assert list(document) == KEYS
    assert ended.err == ""
    assert (document["function"], document["args"]) == ("cmd.run", ["echo out; echo err >&2"])
    assert (document["kwargs"], document["target"], document["target_type"]) == ({"cwd": "/tmp"}, "*", "glob")
    assert document["user"] == USER
    assert document["counts"] == {"succeeded": 2}
    for pair in document["minions"].values():
        assert list(pair) == PAIR
        assert (pair["state"], pair["retcode"], pair["return"]) == ("succeeded", 0, "out")
        assert (pair["stdout"], pair["stderr"]) == ("out\n", "err\n")
        assert document["published"] <= pair["started"] <= pair["ended"] <= document["done"]
        assert 0 < pair["duration"] <= pair["ended"] - pair["started"] + 0.1
        assert isinstance(pair["pid"], int)


@pytest.mark.parametrize("words", [
    ["*", "test.echo", "{a: [1, 2.5, null, true], b: ü}"], ["*", "cmd.run", "exit 3"], ["-L", "m1,ghost", "test.ping"],
    ["-E", "m[12]", "test.fail", "boom"], ["*", "no.such"], ["--metadata", "ticket=42", "m2", "test.ping"],
])
def test_lookup_prints_the_very_document_of_the_first_invocation(fleet: Fleet, words: list[str]) -> None:
    # S09
    first = fleet.job(*words)
    jid = first.json["jid"]

    for runner in ("jobs.lookup_jid", "jobs.list_job", "jobs.wait"):
        assert fleet.run(runner, jid).out == first.out
    assert fleet.run("jobs.print_job", jid).json == {jid: first.json}
    assert fleet.run("jobs.exit_success", jid).code == first.code


def test_metadata_stands_in_the_document_only_when_it_was_given(fleet: Fleet) -> None:
    document = fleet.job("--metadata", "ticket=42", "--metadata", "who=me", "m1", "test.ping").json

    assert document["metadata"] == {"ticket": "42", "who": "me"}
    assert list(document) == [*KEYS, "metadata"]


def test_jsonl_prints_a_line_for_each_return_as_it_arrives(fleet: Fleet) -> None:
    gate = fleet.base / "gate"
    waiting = fleet.spawn("jr", "-o", "jsonl", "-L", "m1,ghost", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done")
    assert waiting.stdout is not None
    first = json.loads(waiting.stdout.readline())
    assert (first["minion"], first["state"]) == ("ghost", "undelivered")
    assert set(first) == {"jid", "minion", *PAIR}
    assert waiting.poll() is None
    gate.touch()

    out, err = waiting.communicate(timeout=60)
    (second,) = map(json.loads, out.splitlines())
    assert (second["jid"], second["minion"], second["state"]) == (first["jid"], "m1", "succeeded")
    assert (waiting.returncode, err) == (6, "")


def test_yaml_is_the_same_document(fleet: Fleet) -> None:
    first = fleet.job("m1", "cmd.run", "printf 'a\\nb: c\\n'; echo >&2 'ä'")
    shown = fleet.command("jr-run", "jobs.lookup_jid", first.json["jid"], "-o", "yaml")

    assert yaml.safe_load(shown.out) == first.json


def test_raw_is_what_came_back_and_nothing_else(fleet: Fleet) -> None:
    assert fleet.jr("-o", "raw", "m1", "cmd.run", "printf 'one\\ntwo\\n'").out == "one\ntwo\n"
    assert fleet.jr("-o", "raw", "m1", "test.echo", "[1, {a: b}]").out.strip() == '[1, {"a": "b"}]'


def test_a_table_is_for_people_and_its_total_goes_to_stderr(fleet: Fleet) -> None:
    ended = fleet.jr("*", "test.ping")

    assert sorted(line.split() for line in ended.out.splitlines()) == [["m1", "succeeded", "true"],
                                                                       ["m2", "succeeded", "true"]]
    assert "2 succeeded" in ended.err
    assert ESCAPE not in ended.out + ended.err


def test_output_of_a_minion_cannot_paint_the_terminal(fleet: Fleet) -> None:
    for words in (["cmd.run", "printf '\\033[31mred\\007\\n'"], ["test.echo", "\x1b]0;title\x07"],
                  ["test.fail", "\x1b[2J"]):
        ended = fleet.jr("m1", *words)
        assert "\x1b" not in ended.out + ended.err
        assert "\x07" not in ended.out + ended.err


def on_terminal(fleet: Fleet, *words: str, **env: str) -> str:
    """What `jr` prints when stdout is a terminal."""
    leader, follower = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "JR_ROOT": str(fleet.root), "TERM": "xterm", **env}
    with subprocess.Popen([str(SCRIPTS / "jr"), *words], stdin=subprocess.DEVNULL, stdout=follower, env=environ,
                          stderr=subprocess.DEVNULL) as process:
        os.close(follower)
        data = b""
        try:
            while chunk := os.read(leader, 4096):
                data += chunk
        except OSError:  # the terminal is closed on the other side
            pass
        finally:
            os.close(leader)
        process.wait(60)
    return data.decode()


def test_colour_is_for_terminals_that_want_it(fleet: Fleet) -> None:
    assert ESCAPE in on_terminal(fleet, "m1", "test.ping")
    assert ESCAPE not in on_terminal(fleet, "m1", "test.ping", NO_COLOR="1")
    assert ESCAPE not in on_terminal(fleet, "m1", "test.ping", TERM="dumb")
    assert ESCAPE not in on_terminal(fleet, "m1", "test.ping", "-o", "json")


@pytest.mark.parametrize("words", [
    ["jr-run", "jobs.active"], ["jr-run", "jobs.list_jobs"], ["jr-run", "manage.status"], ["jr-run", "manage.up"],
    ["jr-key", "list"], ["jr-key", "finger"], ["jr-key", "token"], ["jr-run", "--list"],
])
def test_json_and_yaml_of_every_other_command_are_one_document(fleet: Fleet, words: list[str]) -> None:
    program, *rest = words
    as_json = fleet.command(program, *rest, "-o", "json")
    as_yaml = fleet.command(program, *rest, "-o", "yaml")

    assert (as_json.code, as_json.err, as_yaml.code) == (0, "", 0)
    if words[1] != "token":  # of which no two are the same
        assert _timeless(yaml.safe_load(as_yaml.out)) == _timeless(as_json.json)
    for line in fleet.command(program, *rest, "-o", "jsonl").out.splitlines():
        json.loads(line)


def _timeless(value: Any) -> Any:
    """Without what goes on while the test runs."""
    if isinstance(value, dict):
        passing = ("last_seen", "age", "connection_age", "load")
        return {key: _timeless(item) for key, item in value.items() if key not in passing}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("program", ["jr", "jr-run", "jr-key", "jr-call", "jr-master", "jr-minion", "jr-local"])
def test_help_teaches_by_example(fleet: Fleet, program: str) -> None:
    ended = fleet.command(program, "--help", root=fleet.base / "nowhere")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count(f"{program} ") >= 2
    assert "--root" in ended.out or program == "jr-local"


def test_a_reader_that_goes_away_causes_no_noise(fleet: Fleet) -> None:
    piped = subprocess.run(["sh", "-c", f"{SCRIPTS}/jr --root {fleet.root} '*' test.echo hello | true"],
                           capture_output=True, text=True, timeout=30, check=False)

    assert (piped.returncode, piped.stdout) == (0, "")
    assert "Traceback" not in piped.stderr
    assert "rror" not in piped.stderr
