"""S22, R-B36: an agent that stands still for longer than a connection lives, as the master's core sees it."""

from __future__ import annotations

from common.ids import Jid
from common.messages import Accepted, Ping, Started
from common.states import State
from master.core.presence import SILENCE
from tests.lib.cores import Ruled, returned
from tests.lib.stored import NOON


def running(master: Ruled) -> Jid:
    """A job that m1 runs."""
    name, _ = master.publish("m1")
    master.say(1, "m1", Accepted(jid=name, at=NOON))
    master.say(1, "m1", Started(jid=name, pid=7, at=NOON))
    return name


def frozen() -> tuple[Ruled, Jid]:
    """m1 runs a job, falls silent and is down."""
    master = Ruled("m1")
    master.meet(1, "m1")
    name = running(master)
    assert master.after(SILENCE - 1) == []
    assert [line for line in master.after(1) if "down" in line]
    return master, name


def test_a_frozen_agent_is_down_and_its_job_is_not_lost() -> None:
    master, name = frozen()
    assert master.core.fleet.up() == []
    assert master.after(600) == []
    assert master.core.ledger.jobs[name].pairs
    assert {pair.state for pair in master.core.ledger.jobs[name].pairs.values()} == {State.RUNNING}


def test_what_it_says_over_the_old_connection_counts_for_nothing() -> None:
    master, name = frozen()
    assert master.say(1, "m1", Ping(n=9)) == []
    assert master.say(1, "m1", returned(name)) == []


def test_it_catches_up_over_a_new_one_and_nothing_is_sent_twice() -> None:
    master, name = frozen()
    assert not [line for line in master.meet(2, "m1", {name: State.SUCCEEDED}) if "publish" in line or "lost" in line]
    assert master.say(2, "m1", returned(name))[0].endswith("m1=succeeded")
    assert name not in master.core.ledger.jobs
