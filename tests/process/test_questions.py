"""P12: `should_run` is asked without a job; whatever it does costs its answer alone, and nothing of it is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import common.asking
from common import clock
from common.errors import JrError
from common.functions import Agent, inline
from common.ids import Jid, MinionId, mint
from common.proc import processes
from common.proc.processes import MARK
from common.schedule.model import Check
from minion import asking
from minion.asking import Asker
from tests.lib.wait import until


@inline(reads=True)
def quiet(agent: Agent) -> list[str]:
    """Nobody is there."""
    return []


@inline(reads=True)
async def hangs() -> None:
    await asyncio.sleep(60)  # it takes too long: that is what is tested


@inline(reads=False)
def changes() -> bool:
    return True


@inline(reads=True)
def fails() -> bool:
    raise ValueError("no")


INSIDE: dict[str, Any] = {"a.quiet": quiet, "a.hangs": hangs, "a.changes": changes, "a.fails": fails}
MODULE = """
import os, subprocess, time

def busy() -> list:
    return ["something"]

def leaves() -> bool:
    subprocess.Popen(["sleep", "300"])
    return True

def exits() -> None:
    os._exit(0)
"""


@pytest.fixture
def jid() -> Jid:
    return mint(clock.wall(), None, MinionId("m1"))


@pytest.fixture
def asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asker:
    for module in (asking, common.asking):
        monkeypatch.setattr(module, "SECONDS", 60.0)
    (tmp_path / "site.py").write_text(MODULE)
    (tmp_path / "ours.py").write_text(MODULE)
    sources = {"packages": ["minion.functions"], "dirs": [str(tmp_path)], "entry_points": None}
    return Asker(INSIDE, sources, None)  # type: ignore[arg-type]


def ask(asker: Asker, jid: Jid, function: str, *args: Any, **kwargs: Any) -> bool:
    return asyncio.run(asker.ask(Check(function=function, args=list(args), kwargs=kwargs), jid))


def left(jid: Jid) -> list[int]:
    """Processes with the mark of the question."""
    mark = f"{MARK}={jid}".encode()
    found = []
    for one in processes.living():
        try:
            if mark in Path(f"/proc/{one.pid}/environ").read_bytes():
                found.append(one.pid)
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


@pytest.mark.parametrize(("function", "args", "yes"), [
    ("cmd.run", ["true"], True), ("cmd.run", ["test -e /nowhere"], False), ("cmd.run", ["exit 125"], False),
    ("cmd.run", ["head -c 1000000 /dev/zero"], True), ("cmd.exec", ["false"], False),
    ("test.echo", [""], False), ("test.echo", ["no"], True), ("ours.busy", [], True), ("a.quiet", [], False),
    ("test.echo", [b"\0"], True)])
def test_a_function_answers_by_its_value_and_a_command_by_its_code(
        asker: Asker, jid: Jid, function: str, args: list[Any], yes: bool) -> None:
    assert ask(asker, jid, function, *args) is yes


@pytest.mark.parametrize(("function", "args", "why"), [
    ("test.fail", [], "asked to fail"), ("no.such", [], "there is no such function here"),
    ("cmd.run", ["no-such-command"], "exit code 127: it is not there"),
    ("cmd.run", ["/etc/passwd"], "exit code 126: it cannot be executed"),
    ("cmd.run", ["sh -c 'kill -9 $$'; exit $?"], "exit code 137: something in it was killed"),
    ("cmd.run", ["kill -9 $$"], "ended by SIGKILL"), ("cmd.exec", ["/no/such"], "cannot run /no/such"),
    ("ours.exits", [], "returned nothing"), ("a.fails", [], "ValueError: no"), ("a.changes", [], "changes something")])
def test_what_gives_no_answer_says_why(asker: Asker, jid: Jid, function: str, args: list[Any], why: str) -> None:
    with pytest.raises(JrError, match=why):
        ask(asker, jid, function, *args)
    until(lambda: not left(jid), what="all that it started is gone")


@pytest.mark.parametrize(("function", "args", "why"), [
    ("cmd.run", ["sleep 300 & sleep 301"], "ran longer than its timeout of 1 s"),
    ("a.hangs", [], "took more than 1 s")])
def test_what_takes_too_long_says_so(asker: Asker, jid: Jid, monkeypatch: pytest.MonkeyPatch, function: str,
                                     args: list[Any], why: str) -> None:
    for module in (asking, common.asking):
        monkeypatch.setattr(module, "SECONDS", 1.0)
    with pytest.raises(JrError, match=why):
        ask(asker, jid, function, *args)
    until(lambda: not left(jid), what="all that it started is gone")


def test_what_it_starts_goes_with_its_answer(asker: Asker, jid: Jid) -> None:
    assert ask(asker, jid, "ours.leaves") is True
    until(lambda: not left(jid), what="all that it started is gone")


def test_an_agent_that_ends_takes_its_question_along(
        asker: Asker, jid: Jid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.asking, "SECONDS", 300.0)

    async def story() -> None:
        asked = asyncio.create_task(asker.ask(Check(function="cmd.run", args=["sleep 300"]), jid))
        async with asyncio.timeout(60.0):
            while not left(jid):
                # Nothing tells that a process has begun.
                await asyncio.sleep(0.02)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(story())
    until(lambda: not left(jid), what="all that it started is gone")
