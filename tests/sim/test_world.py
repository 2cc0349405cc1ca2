"""Whole fleets in virtual time: stories that can be read, and many worlds in which everything dies at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.host.jobs import Jobs
from common.host.outbox import WINDOW, Outbox
from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import Return
from common.states import State, Verdict
from master.core import effects as do
from master.core import track
from master.core.ledger import Ledger, OpenJob
from master.records import Outcome
from tests.sim import soak, stories
from tests.sim.commands import Commands
from tests.sim.world import Broken, World

STORIES = Path(__file__).parent / "stories"
WORLDS = 50
EACH = 5
"""Worlds in one test: fewer tests, and still a short name for what failed."""


@pytest.mark.parametrize("name", [
    "weather",  # R-A19: lost, repeated and late messages
    "clocks",  # R-B31: wall clocks step
    "frozen",  # R-B36: SIGSTOP of each process
    "reboot",  # R-A5: both down, the host rebooted
    "deadline",  # S18: never after its time to start
    "queue",  # S20: max_jobs
    "full_disk",  # R-A20: no room on the disk of a minion
    "refused",  # R-A20: what was refused on a full disk never starts
    "commit",  # R-A3: the master dies at its commits
    "clone",  # R-A13: two machines with one key
    "keys",  # R-A11, R-A12: a rejected key, and its return
    "half_open",  # R-A18: nothing passes, nobody is told
    "rotation",  # R-B37: keys of minions and of the master are replaced
    "schedule",  # S25: planned runs, through crashes, reboots and clocks
    "supervisors",  # R-A2: agents and supervisors are killed
])
def test_story(name: str) -> None:
    """`python -m tests.sim.stories --rewrite` brings a story up to date; read what changed before you believe it."""
    assert stories.differences(STORIES / f"{name}.txt") == []


def test_every_story_is_told() -> None:
    told = {name for mark in test_story.pytestmark for name in mark.args[1]}  # type: ignore[attr-defined]
    assert told == {path.stem for path in STORIES.iterdir()}


@pytest.mark.parametrize("first", range(0, WORLDS, EACH))
def test_worlds_heal(first: int) -> None:  # R-A1, R-A13, R-A19, S25: crash, loss, doubling at every step; P1 to P5, P9
    for seed in range(first, first + EACH):
        soak.live(seed)


class Fleet:
    """A world with its commands."""

    def __init__(self, minions: int = 20, seed: int = 1, max_jobs: int = 0) -> None:
        self.world = World(seed, minions, max_jobs=max_jobs)
        self.commands = Commands(self.world)
        self.play("wait 10")

    def play(self, *lines: str) -> None:
        for line in lines:
            self.commands.play(line)

    def states(self, job: str) -> dict[MinionId, State]:
        jid = self.commands.jobs[job]
        return {pair.minion: pair.state for pair in self.world.master.store.pairs(jid)}

    def counts(self, job: str) -> dict[State, int]:
        states = list(self.states(job).values())
        return {state: states.count(state) for state in sorted(set(states))}


def test_all_twenty_minions_come_up() -> None:
    core = Fleet().world.master.core
    assert core is not None
    assert len(core.fleet.up()) == 20


def test_a_job_runs_once_on_each_and_is_done() -> None:
    fleet = Fleet()
    fleet.play("publish * 2 as one", "settle")
    assert fleet.counts("one") == {State.SUCCEEDED: 20}
    assert len(fleet.world.truth.starts) == 20


def test_a_minion_that_is_away_is_undelivered_at_once() -> None:  # S13
    fleet = Fleet(3)
    fleet.play("crash m2", "wait 1", "publish * 0.1 as one", "wait 0.01")
    assert fleet.states("one") == {"m1": State.SENT, "m2": State.UNDELIVERED, "m3": State.SENT}


def test_what_a_minion_no_longer_holds_is_lost_and_a_late_return_corrects_it() -> None:
    fleet = Fleet(1)
    fleet.play("publish m1 1 as one", "wait 0.5", "crash m1", "wait 5")
    minion = fleet.world.minions[MinionId("m1")]
    disk, minion.machine.disk = minion.machine.disk, type(minion.machine.disk)()
    minion.machine.disk.starts = disk.starts
    fleet.play("start m1", "wait 5")
    assert fleet.counts("one") == {State.LOST: 1}
    fleet.play("crash m1")
    disk.starts = minion.machine.disk.starts
    minion.machine.disk = disk
    fleet.play("settle")
    assert fleet.counts("one") == {State.SUCCEEDED: 1}


def test_the_spool_of_a_long_absence_drains_through_its_window() -> None:  # R-A4
    fleet = Fleet(1)
    jobs = 2 * WINDOW + 50
    for _ in range(jobs):
        fleet.play("publish m1 3")
    fleet.play("wait 1", "crash master", "wait 3600", "start master", "wait 60")
    assert len(fleet.world.truth.done) == jobs
    assert not fleet.world.minions[MinionId("m1")].machine.disk.spool
    fleet.play("settle")


def test_a_transcript_can_be_played_again() -> None:
    transcript = "\n".join(soak.live(3).transcript) + "\n"
    assert stories.play("# the third world\n" + transcript) == "# the third world\n" + transcript


# The promises are watched: each of these worlds lies, and is found out.


def _broken(*lines: str, minions: int = 2) -> str:
    """Play until a promise breaks; what the transcript says at its end."""
    with pytest.raises(Broken) as found:
        Fleet(minions).play(*lines, "settle")
    return str(found.value).splitlines()[-1]


def test_a_return_that_is_forgotten_before_it_is_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P3
    def word(self: track.Tracker, opened: OpenJob, minion: MinionId, connection: Connection, word: Any,
             now: float) -> list[do.Effect]:
        effects = honest(self, opened, minion, connection, word, now)
        return [*effects[-1:], *effects[:-1]] if isinstance(word, Return) else effects

    honest = track.Tracker.word
    monkeypatch.setattr(track.Tracker, "word", word)
    assert "P3: J1" in _broken("publish * 1")


def test_a_second_start_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P2
    monkeypatch.setattr(Jobs, "seen", lambda self, jid: True)
    fleet = Fleet(1)
    fleet.play("publish m1 1 as one", "wait 5")
    minion = fleet.world.minions[MinionId("m1")]
    with pytest.raises(Broken, match=r"P2: one .* starts twice on m1"):
        fleet.world.truth.payload_starts(fleet.commands.jobs["one"], minion.id)
        fleet.world.verify()


def test_a_start_that_is_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P2
    monkeypatch.setattr("tests.sim.machine.Machine._refuse", lambda *_: False)
    assert "too late" in _broken("slow m1 3", "publish m1 1 within 0.5", "wait 10")


def test_a_pair_that_nobody_closes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P4
    for verb in ("_give_up", "_repeat", "reconcile"):
        monkeypatch.setattr(track.Tracker, verb, lambda *_, **__: [])
    assert "P9: J1 on m1 is sent" in _broken("weather 1 0 0", "publish m1 1 within 5", "wait 1", "weather 0 0 0")


def test_a_party_that_never_rests_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track.Tracker, "tick", lambda *_: [])
    assert "master was woken" in _broken("publish m1 100 within 5", "wait 120")


def test_a_false_success_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P5
    def close(self: Ledger, opened: OpenJob, minion: MinionId, *_: Any) -> list[do.Effect]:
        return self.move(opened, minion, State.SUCCEEDED, outcome=Outcome())

    monkeypatch.setattr(Ledger, "close", close)
    assert "P5: J1" in _broken("publish m1 100", "wait 1", "delete m1")


def test_a_stale_word_that_moves_a_pair_is_found(monkeypatch: pytest.MonkeyPatch) -> None:  # P4
    monkeypatch.setattr(track, "judge", lambda state, word: Verdict.MOVE)
    assert "cannot go from" in _broken("weather 0 1 0", "publish * 1", "wait 60", minions=4)


def test_a_flood_beyond_the_window_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.host.outbox.WINDOW", WINDOW + 50)
    lines = ["publish m1 3"] * (WINDOW + 60)
    assert f"{WINDOW + 1} returns on their way" in _broken(*lines, "wait 1", "crash master", "wait 9", "start master")


def test_memory_that_differs_from_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "acked", lambda self, jid: False)
    assert "P9: m1 still has" in _broken("publish m1 1")
    fleet = Fleet(1)
    fleet.play("publish m1 100", "wait 1")
    core = fleet.world.master.core
    assert core is not None
    core.ledger.jobs.clear()
    with pytest.raises(Broken, match="P4: "):
        fleet.play("publish m1 1", "settle")


def test_what_stands_in_nobodys_disk_is_found() -> None:
    fleet = Fleet(1)
    fleet.play("publish m1 100", "wait 1")
    minion = fleet.world.minions[MinionId("m1")]
    minion.machine.locks.clear()
    minion.machine.disk.records.clear()
    with pytest.raises(Broken, match="P3: m1 holds J1 as running"):
        fleet.play("wait 40")


def test_a_world_says_which_command_it_cannot_play() -> None:
    fleet = Fleet(1)
    fleet.play("publish nobody 1", "stop J9 kill")
    assert "cannot publish: no minion matches 'nobody'" in fleet.world.transcript[-2]
    assert Jid("20261121000000000000") not in fleet.world.names
