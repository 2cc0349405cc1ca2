"""`jr-key` against a real control server whose answers are written down here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import NotFoundError
from master.cli.jr_key import command
from tests.lib.commands import Ended, run
from tests.lib.control import Script, serving

KEYS = [
    {"id": "m1", "key": "k" * 40, "fingerprint": "11:22", "state": "accepted", "filed": 5.0},
    {"id": "m2", "key": "l" * 40, "fingerprint": "33:44", "state": "pending", "filed": 6.0},
]
ANSWER = {"keys": KEYS, "master": {"key": "m" * 40, "fingerprint": "55:66"}}


class JrKey:
    """Runs `jr-key` on the root of one test."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._root = root
        self._capsys = capsys

    def __call__(self, verb: str, *words: str) -> Ended:
        return run(self._capsys, command, verb, "--root", str(self._root), *words)

    def json(self, verb: str, *words: str) -> Any:
        ended = self(verb, *words, "-o", "json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)


@pytest.fixture
def jr_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> JrKey:
    return JrKey(tmp_path, capsys)


def test_list(jr_key: JrKey, socket: Path) -> None:  # S23
    with serving(socket, Script(keys=[ANSWER])):
        assert jr_key.json("list") == ANSWER
        table = jr_key("list").out
    assert "m1" in table
    assert "pending" in table


@pytest.mark.parametrize("verb", ["accept", "reject", "delete"])
def test_changing_some(jr_key: JrKey, socket: Path, verb: str) -> None:
    script = Script(**{f"keys_{verb}": [{"changed": ["m1", "m2"]}]})
    with serving(socket, script):
        assert jr_key.json(verb, "m1", "m2") == {"changed": ["m1", "m2"]}
        assert jr_key(verb, "m1", "m2").out == "m1\nm2\n"
    assert script.last() == {"verb": f"keys.{verb}", "ids": ["m1", "m2"], "all": False}


@pytest.mark.parametrize("words", [["accept", "--all"], ["reject", "--all"], ["delete", "--all", "--yes"]])
def test_changing_all(jr_key: JrKey, socket: Path, words: list[str]) -> None:
    script = Script(**{f"keys_{words[0]}": [{"changed": []}]})
    with serving(socket, script):
        ended = jr_key(*words)
    assert script.last() == {"verb": f"keys.{words[0]}", "ids": None, "all": True}
    assert (ended.code, ended.out, "nothing to" in ended.err) == (0, "", True)


def test_what_accepting_all_has_left_is_named(jr_key: JrKey, socket: Path) -> None:  # S23, R-A14
    left = [{"id": "m2", "fingerprint": "33:44"}]
    with serving(socket, Script(keys_accept=[{"changed": ["m1"], "left": left}])):
        ended = jr_key("accept", "--all")
    assert (ended.code, "m1" in ended.out) == (1, True)
    assert ended.err == "jr-key: left m2 33:44: another key holds or claims this id\n"


def test_a_quarantine_is_listed_with_its_reason(jr_key: JrKey, socket: Path) -> None:  # R-A13
    rows = [{**KEYS[0], "state": "quarantined", "reason": "two hosts answer"}, KEYS[1]]
    with serving(socket, Script(keys=[{**ANSWER, "keys": rows}])):
        head, *_, first, second = jr_key("list").out.splitlines()
    assert head.split()[-1] == "WHY"
    assert first.endswith("two hosts answer")
    assert "quarantined" in first
    assert "pending" in second
    with serving(socket, Script(keys=[ANSWER])):
        assert "WHY" not in jr_key("list").out


@pytest.mark.parametrize(("words", "reason"), [
    (["accept"], "name minions or fingerprints, or say --all"), (["accept", "m1", "--all"], "and not both"),
    (["delete", "--all"], "say --all --yes"), (["nope"], "'nope'"), (["list", "x"], "x"),
    (["token", "--ttl", "soon"], "'soon' is not"), (["finger", "a", "b"], "b"),
])
def test_bad_usage_is_one_line(jr_key: JrKey, words: list[str], reason: str) -> None:
    ended = jr_key(*words)
    assert (ended.code, ended.out) == (2, "")
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_without_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, command)
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_an_unknown_minion(jr_key: JrKey, socket: Path) -> None:
    error = NotFoundError("cannot accept the key of 'm9': it is unknown")
    with serving(socket, Script(keys_accept=[error])):
        assert jr_key("accept", "m9") == Ended(3, "", f"jr-key: {error}\n")


def test_fingerprints(jr_key: JrKey, socket: Path) -> None:
    with serving(socket, Script(keys=[ANSWER])):
        assert jr_key.json("finger") == {"master": "55:66", "m1": "11:22", "m2": "33:44"}
        assert jr_key.json("finger", "m2") == {"m2": "33:44"}
        assert jr_key("finger", "m9").code == 3


def test_options_before_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], socket: Path
) -> None:
    with serving(socket, Script(keys=[ANSWER])):
        ended = run(capsys, command, "--root", str(tmp_path), "-o", "json", "list")
        assert json.loads(ended.out) == ANSWER
        ended = run(capsys, command, "--root", "/nowhere", "-o", "json", "list", "--root", str(tmp_path), "-o", "table")
        assert ended.out.startswith("ID") or "m1" in ended.out


def test_token(jr_key: JrKey, socket: Path) -> None:
    script = Script(token=[{"join": "jr1-abc", "expires": 1_800_000_000.0, "address": "master.example.org"}])
    with serving(socket, script):
        ended = jr_key("token")
        assert (ended.code, ended.out) == (0, "jr1-abc\n")
        assert "good once, until 2027-01-" in ended.err
        assert script.last() == {"verb": "token", "minion": None, "ttl": 3600.0, "address": None}
        assert jr_key.json("token", "--minion", "m3", "--ttl", "2d", "--address", "jr.example.org") == {
            "join": "jr1-abc", "expires": 1_800_000_000.0, "address": "master.example.org"}
    assert script.last() == {"verb": "token", "minion": "m3", "ttl": 172_800.0, "address": "jr.example.org"}


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "jr-key accept web1" in run(capsys, command, "--help").out
    assert "--ttl" in run(capsys, command, "token", "--help").out
