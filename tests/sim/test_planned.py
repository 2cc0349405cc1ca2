"""Planned runs in a simulated fleet are watched: each of these worlds lies about one, and is found out."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from common.errors import JrError
from common.ids import Jid, MinionId
from common.messages import Noted
from common.schedule.engine.board import Board
from common.schedule.engine.loading import Loading
from common.schedule.model import Step
from master.core import core
from master.core import effects as do
from minion.courier import Courier
from minion.runs import Left, Runs
from tests.sim.commands import Commands
from tests.sim.world import Broken, World

WALL = "entry m1 wall 2 cron */1_*_*_*_*"


def play(*lines: str) -> World:
    world = World(1, 2, scheduled=1)
    commands = Commands(world)
    for line in lines:
        commands.play(line)
    return world


def broken(*lines: str) -> str:
    """Play until a promise breaks; what the transcript says at its end."""
    with pytest.raises(Broken) as found:
        play(*lines, "settle")
    return str(found.value).splitlines()[-1]


def test_a_second_verdict_is_found() -> None:
    world = play(WALL, "wait 60")
    verdicts = world.truth.verdicts
    one = next(iter(verdicts.given.values()))
    another = structs.replace(one, verdict="missed", jid=None)
    verdicts.decides(world.minions[MinionId("m1")], Step(occurrences=(another,)))
    with pytest.raises(Broken, match=r"m1/wall@40 has two verdicts"):
        world.verify()


def test_a_run_that_begins_two_jobs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(self: Runs, unended: Any, ended: Any) -> Left:
        found = honest(self, unended, ended)
        again = [structs.replace(one, jid=self.mint(one.at)) for one in found.running]
        return found._replace(running=[], unbegun=[*found.unbegun, *again])

    honest = Runs.left
    monkeypatch.setattr(Runs, "left", left)
    assert "which is in no journal" in broken("entry m1 wall 9 cron */1_*_*_*_*", "wait 45", "crash m1", "start m1")


def test_a_run_that_began_and_is_said_to_have_failed_to_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def begin(self: Runs, one: Any) -> None:
        await honest(self, one)
        raise JrError("it looks as if it could not")

    honest = Runs.begin
    monkeypatch.setattr(Runs, "begin", begin)
    assert "is failed_to_start" in broken(WALL, "wait 60")


def test_planned_times_that_nobody_judges_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Board, "judge_stretch", lambda *_: None)
    crash = ("wait 60", "crash m1", "wait 400", "start m1")
    assert "m1/wall@460 comes after 40" in broken(WALL, *crash)
    assert "m1/rhythm@" in broken("entry m1 rhythm 2 every 50 catch_up none", *crash)


def test_a_run_that_waited_and_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Loading, old: Any, now: Any, out: Any) -> None:
        honest(self, structs.replace(old, waiting=()), now, out)

    honest = Loading._forget
    monkeypatch.setattr(Loading, "_forget", forget)
    entries = (WALL.replace("wall 2", "wall 90") + " overlap queue", "wait 120", "unplan m1 wall")
    assert "m1/wall@100 waited, and is forgotten" in broken(*entries)


def test_a_verdict_that_is_noted_and_not_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "_file_runs", lambda line, minion, page: [do.Send(line, Noted(n=page.n))])
    assert "m1/wall@40 is noted, and not stored" in broken(WALL, "wait 60")


def test_verdicts_that_nobody_tells_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Courier, "noted", lambda *_: None)
    assert "m1 still has" in broken(WALL, "wait 60")


def test_a_second_start_is_found() -> None:
    world = play(WALL, "wait 60")
    run, jid = next(iter(world.truth.verdicts.started.items()))
    another = Jid("20240101000000000000-" + jid.suffix)
    world.truth.verdicts.runs[another] = run
    world.truth.verdicts.starts(another)
    with pytest.raises(Broken, match="starts two jobs"):
        world.verify()
