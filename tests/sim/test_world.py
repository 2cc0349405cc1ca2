"""Whole fleets in virtual time: publish, return, loss and restart of either side, at every step."""

from __future__ import annotations

import pytest

from common.ids import MinionId
from common.states import TERMINAL, State
from tests.sim.parties import LOST_AFTER
from tests.sim.world import World

SEEDS = range(12)


def quiet(world: World) -> None:
    """The faults are over: everybody is up, and two minutes pass (P9)."""
    world.master.crash_in = None
    if world.master.core is None:
        world.master.start()
    for minion in world.minions.values():
        minion.reachable = True
        minion.crash_in = None
        if minion.agent is None:
            minion.start()
    world.run(120)


@pytest.fixture
def world() -> World:
    world = World(seed=1)
    world.run(10)
    return world


def test_all_twenty_minions_come_up(world: World) -> None:
    assert world.master.core is not None
    assert len(world.master.core.fleet.up()) == 20


def test_a_job_runs_once_on_each_and_is_done(world: World) -> None:
    jid = world.publish(seconds=2)
    assert set(world.states(jid).values()) == {State.SENT}
    world.run(5)
    assert world.counts(jid) == {State.SUCCEEDED: 20}
    assert world.document(jid).done is not None
    assert all(not minion.disk.spool for minion in world.minions.values())


def test_a_failure_is_told_as_one(world: World) -> None:
    jid = world.publish("m1", code=3)
    world.run(5)
    assert world.counts(jid) == {State.FAILED: 1}


def test_a_minion_that_is_away_is_undelivered_at_once(world: World) -> None:  # S13
    world.minions[MinionId("m7")].crash()
    world.minions[MinionId("m7")].reachable = False
    world.run(1)
    jid = world.publish(seconds=0.1)
    assert world.states(jid)[MinionId("m7")] is State.UNDELIVERED
    world.run(2)
    assert world.counts(jid) == {State.SUCCEEDED: 19, State.UNDELIVERED: 1}
    assert world.document(jid).done is not None


def test_a_kill_reaches_all(world: World) -> None:  # S06
    jid = world.publish(seconds=1000)
    world.run(2)
    assert set(world.stop(jid).values()) == {"sent"}
    world.run(2)
    assert world.counts(jid) == {State.KILLED: 20}


def test_a_job_outlives_its_agent(world: World) -> None:
    jid = world.publish("m3", seconds=30)
    world.run(5)
    world.minions[MinionId("m3")].crash()
    world.run(5)
    world.minions[MinionId("m3")].start()
    world.run(40)
    assert world.counts(jid) == {State.SUCCEEDED: 1}


def test_a_job_that_ends_while_the_agent_is_dead_is_told_later(world: World) -> None:
    jid = world.publish("m3", seconds=5)
    world.run(2)
    world.minions[MinionId("m3")].crash()
    world.run(30)
    assert world.states(jid)[MinionId("m3")] is State.RUNNING
    world.minions[MinionId("m3")].start()
    world.run(5)
    assert world.counts(jid) == {State.SUCCEEDED: 1}


def test_a_job_outlives_the_master(world: World) -> None:
    jid = world.publish(seconds=20)
    world.run(5)
    world.master.crash()
    world.run(60)
    world.master.start()
    world.run(60)
    assert world.counts(jid) == {State.SUCCEEDED: 20}
    assert world.document(jid).done is not None


def test_what_a_minion_no_longer_holds_is_lost(world: World) -> None:
    minion = world.minions[MinionId("m5")]
    jid = world.publish("m5", seconds=100)
    world.run(5)
    minion.crash()
    minion.disk = type(minion.disk)()
    minion.disk.starts = 5  # a restored host keeps its start number, or jr-key would have to accept it anew
    minion.start()
    world.run(60)
    assert world.counts(jid) == {State.LOST: 1}


def test_a_late_true_return_replaces_lost(world: World) -> None:
    minion = world.minions[MinionId("m5")]
    jid = world.publish("m5", seconds=10)
    world.run(5)
    minion.crash()
    world.run(LOST_AFTER + 60)
    assert world.counts(jid) == {State.LOST: 1}
    minion.start()
    world.run(60)
    assert world.counts(jid) == {State.SUCCEEDED: 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_ends_whatever_dies_when(seed: int) -> None:
    """Parties die after a random number of effects, connections break, and still P1 to P4 and P9 hold."""
    world = World(seed)
    world.run(5)
    jids = []
    for _ in range(12):
        if world.master.core is not None:
            jids.append(world.publish(world.chance.choice(["*", "m1*", "m2"]), seconds=world.chance.uniform(0, 8)))
            core = world.master.core
            if core is not None and world.chance.random() < 0.3 and jids[-1] in core.ledger.jobs:
                world.stop(jids[-1], world.chance.choice(["kill", "term"]))
        world.master.crash_in = world.chance.choice([None, None, world.chance.randrange(200)])
        for minion in world.chance.sample(list(world.minions.values()), 5):
            minion.crash_in = world.chance.randrange(30)
        for minion in world.chance.sample(list(world.minions.values()), 3):
            if minion.connection is not None:
                world.cut(minion.connection)
        world.run(world.chance.uniform(0.01, 6))
        if world.master.core is None and world.chance.random() < 0.7:
            world.master.start()
        for minion in world.minions.values():
            if minion.agent is None and world.chance.random() < 0.7:
                minion.start()
    quiet(world)
    world.run(360)  # past every deadline: what never reached anybody is closed then
    kept = [jid for jid in jids if world.master.knows(jid)]
    for jid in kept:
        states = world.states(jid)
        assert set(states.values()) <= TERMINAL, world.story(f"{jid}: {states}")
        for minion, state in states.items():
            truth = world.ends.get((jid, minion))
            assert truth is None or state is truth, world.story(f"{jid} on {minion}: {state}, but it was {truth}")
        assert world.document(jid).done is not None, world.story(f"{jid} is not done")
    for minion in world.minions.values():
        assert not minion.disk.spool, world.story(f"{minion.id} still has returns to send")
        assert not minion.disk.records, world.story(f"{minion.id} still has records")
