"""The functions of a minion beside commands: test, facts, sys, job, a user's own ones, and how arguments are read."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lib.fleet import USER, Fleet, started

MINE = '''
"""Functions of an operator."""
import socket


def add(left: int, right: int = 1, *more: int, note: str = "") -> dict:
    """Add numbers.

    Example: jr '*' mine.add 1 2
    """
    return {"sum": left + right + sum(more), "note": note}


def anything(value):
    return [type(value).__name__, value]


def who(job):
    return None


def a_socket():
    return {"list": [1, {"deep": socket.socket()}]}


def an_object():
    return object()


def too_big_a_number():
    return 2 ** 80


def large():
    return "x" * 600_000


def breaks():
    print("before")
    raise ValueError("it broke\\nin two lines")


def leaves():
    raise SystemExit(3)


def stops_itself():
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)


def _hidden():
    return 1
'''
BROKEN = "import no_such_module_anywhere\n"


def prepare(base: Path) -> Mapping[str, str]:
    """A folder with modules of a user."""
    folder = base / "functions"
    folder.mkdir(mode=0o755)
    (folder / "mine.py").write_text(MINE)
    (folder / "broken.py").write_text(BROKEN)
    for path in folder.iterdir():
        path.chmod(0o644)
    return {"JR_MINION_FUNCTION_DIRS": f"[{folder}]", "JR_MINION_FACTS": "{role: web, rack: {row: 3}}"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1, prepare=prepare) as fleet:
        yield fleet


def value(fleet: Fleet, *words: str) -> Any:
    """What m1 returns; it must succeed."""
    ended = fleet.job("m1", *words)
    assert ended.code == 0, ended
    return ended.pair()["return"]


def reason(fleet: Fleet, state: str, *words: str) -> str:
    """Why m1 did not succeed, as one line."""
    pair = fleet.job("m1", *words).pair()
    assert pair["state"] == state, pair
    text: str = pair["evidence"]["reason"]
    assert "\n" not in text
    return text


def test_test(fleet: Fleet) -> None:
    assert value(fleet, "test.ping") is True
    assert value(fleet, "test.sleep", "0.05") == 0.05
    assert reason(fleet, "failed", "test.fail", "out of coffee") == "out of coffee"


@pytest.mark.parametrize(("typed", "meant"), [
    ("hello", "hello"), ("42", 42), ("2.5", 2.5), ("true", True), ("null", None), ("[1, two]", [1, "two"]),
    ("{a: {b: [c]}}", {"a": {"b": ["c"]}}), ("'42'", "42"), ("yes", "yes"), ("007", "007"),
    ("2026-01-02", "2026-01-02"), ("", ""), ("ü\u202e", "ü\u202e"),
])
def test_echo_shows_how_text_is_understood(fleet: Fleet, typed: str, meant: Any) -> None:
    assert value(fleet, "test.echo", typed) == meant


def test_user_functions_and_their_hints(fleet: Fleet) -> None:
    assert value(fleet, "mine.add", "1", "2", "3", "4", "note=0012") == {"sum": 10, "note": "0012"}
    assert value(fleet, "mine.add", "left=5") == {"sum": 6, "note": ""}
    assert value(fleet, "mine.anything", "value=12") == ["int", 12]
    assert "right" in reason(fleet, "refused", "mine.add", "1", "two")
    assert "left" in reason(fleet, "refused", "mine.add")
    assert "hint" in reason(fleet, "refused", "mine.add", "1", "hint=x")


def test_hidden_names_are_no_functions(fleet: Fleet) -> None:
    for name in ("mine._hidden", "mine.socket", "mine.__doc__", "mine", "os.system", "mine.add.__call__", "../x.y"):
        assert reason(fleet, "refused", name)


def test_a_broken_module_costs_only_itself(fleet: Fleet) -> None:
    assert "no_such_module_anywhere" in reason(fleet, "refused", "broken.anything")
    assert "no_such_module_anywhere" in value(fleet, "sys.status")["broken"]["broken"]


@pytest.mark.parametrize(("function", "words"), [
    ("mine.a_socket", ["socket", "deep"]), ("mine.an_object", ["object"]), ("mine.too_big_a_number", ["64 bits"]),
])
def test_what_cannot_be_packed_fails_alone_and_is_named(fleet: Fleet, function: str, words: list[str]) -> None:
    line = reason(fleet, "failed", function)
    for word in words:
        assert word in line
    assert value(fleet, "test.ping") is True


def test_an_exception_is_one_line_and_its_trace_is_stderr(fleet: Fleet) -> None:
    pair = fleet.command("jr", "-o", "json", "m1", "mine.breaks", traced=True).pair()

    assert pair["state"] == "failed"
    assert pair["stdout"] == "before\n"
    assert pair["evidence"]["reason"].startswith("ValueError: it broke")
    assert "mine.py" in pair["stderr"]
    assert "common/" not in pair["stderr"]


def test_exits_and_deaths_of_a_function_are_seen_for_what_they_are(fleet: Fleet) -> None:
    # P5
    left = fleet.command("jr", "-o", "json", "m1", "mine.leaves", traced=True).pair()
    assert (left["state"], left["evidence"]["reason"]) == ("failed", "SystemExit: 3")
    died = fleet.job("m1", "mine.stops_itself").pair()
    assert (died["state"], died["evidence"]["signal"]) == ("failed", 9)


def test_a_value_above_the_limit_is_cut_and_the_state_stays(fleet: Fleet) -> None:
    pair = fleet.job("m1", "mine.large").pair()

    assert (pair["state"], pair["truncated"]) == ("succeeded", True)
    assert len(pair["return"]) < 600_000


def test_facts(fleet: Fleet) -> None:
    facts = value(fleet, "facts.items")

    assert facts["id"] == "m1"
    assert facts["host"] == socket.gethostname()
    assert facts["kernel"]["release"] == platform.release()
    assert facts["cpus"] == os.cpu_count()
    assert facts["python"] == platform.python_version()
    assert facts["memory"]["total"] > 1e7
    assert isinstance(facts["addresses"], list)
    assert facts["role"] == "web"
    assert value(fleet, "facts.get", "rack:row") == 3
    assert value(fleet, "facts.get", "no:such") is None
    assert value(fleet, "facts.get", "no:such", "default=here") == "here"
    assert value(fleet, "grains.get", "id") == "m1"


def test_sys(fleet: Fleet) -> None:
    names = value(fleet, "sys.functions")
    assert {"test.ping", "cmd.run", "job.running", "saltutil.running", "mine.add", "schedule.list"} <= set(names)
    assert "mine._hidden" not in names
    assert value(fleet, "sys.functions", "mine.a*") == ["mine.a_socket", "mine.add", "mine.an_object", "mine.anything"]
    assert "Add numbers." in value(fleet, "sys.doc", "mine.add")["mine.add"]
    assert set(value(fleet, "sys.doc", "facts")) == {"facts.get", "facts.items"}
    assert "no.such" in reason(fleet, "failed", "sys.doc", "no.such")
    status = value(fleet, "sys.status")
    assert (status["id"], status["connection"]) == ("m1", "online")
    assert status["containment"] in ("cgroup", "subreaper")


def test_every_function_has_help_with_an_example(fleet: Fleet) -> None:
    for name, text in value(fleet, "sys.doc").items():
        if not name.startswith("mine."):
            assert "Example: jr " in text or "Example: jr-call " in text, name


@pytest.mark.parametrize("module", ["job", "saltutil"])
def test_jobs_of_the_minion_come_from_its_proc_directory(fleet: Fleet, module: str) -> None:
    # S02
    jid = fleet.start("m1", "cmd.run", "sleep 100")
    pid = fleet.running(jid)["pid"]
    shown = value(fleet, f"{module}.find_job", jid)

    assert (shown["jid"], shown["function"], shown["args"]) == (jid, "cmd.run", ["sleep 100"])
    assert (shown["user"], shown["state"], shown["pid"]) == (USER, "running", pid)
    assert value(fleet, f"{module}.running") == [shown]
    assert value(fleet, f"{module}.is_running", "cmd.*") == [shown]
    assert value(fleet, f"{module}.is_running", "test.*") == []
    assert value(fleet, f"{module}.find_job", "20200101000000000000") == {}
    assert "yesterday" in reason(fleet, "failed", f"{module}.find_job", "yesterday")
    assert fleet.job("m1", f"{module}.signal_job", jid, "KILL").code == 0
    assert fleet.ended(jid)["state"] == "failed", "a signal alone never makes a job killed"
    assert value(fleet, f"{module}.find_job", jid) == {}
