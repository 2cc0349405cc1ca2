"""S18: jobs that wait for minions that are away: as the master's core decides it."""

from __future__ import annotations

import pytest
from msgspec import structs

from common.ids import Jid, MinionId
from common.link import Key
from common.messages import Accepted
from common.states import State
from common.targets import parse
from master.core import wishes
from master.core.wishes import Wish
from tests.lib.cores import FIELDS, Ruled, minion, returned
from tests.lib.stored import NOON, jid, job, pair
from tests.lib.told import told


@pytest.fixture
def master() -> Ruled:
    """m1 connected over 1, m2 away; a minute after the start, so nobody is about to come."""
    ruled = Ruled("m1", "m2")
    ruled.after(60)
    ruled.meet(1, "m1")
    ruled.time = 100
    return ruled


def queue(master: Ruled, target: str, kind: str = "list", within: float = 300.0) -> tuple[Jid, list[str]]:
    wish = Wish(fields=FIELDS, target=target, target_type=kind, start_within=within, queue=True)
    name, effects = master.core.wishes.publish(wish, parse(kind, target), master.now)
    return name, told(effects)


def state(master: Ruled, name: Jid, minion: str = "m2") -> State:
    return master.core.ledger.jobs[name].pairs[MinionId(minion)].state


def quiet(master: Ruled, seconds: float) -> list[str]:
    """Let time pass in which m1 stays connected."""
    presence = master.core.fleet.get(MinionId("m1"))
    assert presence is not None
    presence.heard = master.now + seconds
    return master.after(seconds)


def test_a_job_waits_for_who_is_away_and_goes_to_who_is_there(master: Ruled) -> None:
    name, effects = queue(master, "*", "glob")
    assert effects == ["save job 100 m1=sent m2=planned", "event job 100 for m1 m2", "to 1: publish 100"]
    assert master.core.ledger.planned(name) == ["m2"]


def test_it_goes_out_once_when_the_minion_comes(master: Ruled) -> None:  # P2
    name, _ = queue(master, "m2")
    assert "to 2: publish 100" in master.meet(2, "m2")
    assert state(master, name) is State.SENT
    master.say(2, "m2", Accepted(jid=name, at=NOON))
    master.gone(2, "m2")
    assert master.meet(3, "m2", {name: State.RUNNING}) == ["save 100 m2=running", "event 100 m2=running"]
    assert master.say(3, "m2", returned(name))[:1] == ["save 100 m2=succeeded"]


def test_it_is_undelivered_when_its_time_to_start_passes(master: Ruled) -> None:
    name, _ = queue(master, "m2", within=200)
    assert quiet(master, 199) == []
    assert quiet(master, 1)[0] == "save 100 m2=undelivered"
    assert name not in master.core.ledger.jobs
    assert not [line for line in master.meet(2, "m2") if "publish" in line]  # never after its expiry


def test_who_connects_and_leaves_before_it_was_sent_is_still_waited_for(master: Ruled) -> None:
    name, _ = queue(master, "m2")
    master.hello(2, "m2")  # and does not say what it holds
    assert master.gone(2, "m2")[0].startswith("event")
    assert state(master, name) is State.PLANNED


def test_a_kill_ends_it_at_once(master: Ruled) -> None:
    name, _ = queue(master, "m2")
    done, effects = master.stop(name)
    assert done == {"m2": "cancelled"}
    assert effects[:2] == ["save 100 m2=killed", "event 100 m2=killed"]
    assert not [line for line in master.meet(2, "m2") if "publish" in line]


def test_unknown_ids_are_not_waited_for(master: Ruled) -> None:
    _, effects = queue(master, "m2,ghost")
    assert effects[0] == "save job 100 ghost=undelivered m2=planned"


def test_absence_does_not_end_it_but_the_key_does(master: Ruled) -> None:
    short = Ruled("m1", "m2", lost_after=300.0)
    short.after(60)
    short.meet(1, "m1")
    name, _ = queue(short, "m2", within=1000)
    quiet(short, 500)
    assert state(short, name) is State.PLANNED
    _, effects = short.core.delete_keys([Key("k-m2")], short.now)
    assert [line for line in told(effects) if "undelivered" in line]


def test_a_restart_of_the_master_keeps_it(master: Ruled) -> None:
    waiting = structs.replace(job(1), start_by=NOON + 500, queue=True)
    others = structs.replace(job(2), start_by=NOON + 500)
    again = Ruled(minions=[minion("m1", last_seen=NOON, start=1), minion("m2", last_seen=NOON - 900, start=1)],
                  jobs=[waiting, others], pairs=[pair(jid(1), "m2", State.PLANNED), pair(jid(2), "m1", State.PLANNED)])
    assert "save 2 m1=undelivered" in again.after(60)  # it was about to come and did not
    assert state(again, jid(1)) is State.PLANNED
    assert "save 1 m2=undelivered" in again.after(440)


def test_a_restart_gives_the_minions_their_time_to_answer_again() -> None:
    sent = structs.replace(job(1), start_by=NOON - 900)
    again = Ruled(minions=[minion("m1", last_seen=NOON, start=1)], jobs=[sent], pairs=[pair(jid(1), "m1", State.SENT)])
    assert not [line for line in again.after(59) if "lost" in line]
    assert [line for line in again.after(1) if "m1=lost" in line]


def test_the_queue_of_one_minion_is_bounded(master: Ruled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "WAITING_MOST", 2)
    for _ in range(2):
        queue(master, "m2")
    name, effects = queue(master, "m2")
    assert "m2=undelivered" in effects[0]
    assert name not in master.core.ledger.jobs
