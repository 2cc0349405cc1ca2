"""A minion's next key beside its accepted one: who is let in, and when the old one is over. # R-B37"""

from __future__ import annotations

import pytest

from common.errors import NotFoundError
from common.ids import MinionId
from common.link import Connection, Key
from common.messages import Enrol, Offer, Trusts
from master.core.core import Terms
from master.core.rotation import ASKED
from tests.lib.cores import Ruled, minion
from tests.lib.told import told

OLD, NEW, NEWER = Key("k-m1"), Key("n" * 40), Key("o" * 40)
M1 = MinionId("m1")


@pytest.fixture
def master() -> Ruled:
    """A master with m1 connected over 1."""
    master = Ruled(minions=[minion("m1"), minion("m2")])
    master.meet(1, "m1")
    master.core.rotation.ask(M1, master.now)
    return master


def used(master: Ruled, key: Key) -> list[str]:
    return told(master.core.rotation.used(key, master.now))


def states(master: Ruled) -> dict[str, str]:
    return {row.key: row.state for row in master.core.keys.rows() if row.id == "m1"}


def test_the_old_key_is_over_at_the_first_use_of_the_new_one(master: Ruled) -> None:
    assert told(master.core.rotation.ask(M1, master.now)) == ["to 1: rotate"]
    assert master.say(1, "m1", Offer(key=NEW)) == [
        f"save key {NEW} of m1 next", "event key of m1 offered", "to 1: taken n"]
    assert master.core.keys.admit(OLD) == master.core.keys.admit(NEW) == "m1"
    assert master.core.keys.fleet().count(M1) == 1, "two keys are one minion"
    assert used(master, OLD) == []
    assert used(master, NEW) == [f"save key {NEW} of m1 accepted", "save no key k-m1", "cut key k-m1",
                                 "event key of m1 rotated"]
    assert states(master) == {NEW: "accepted"}
    assert master.core.keys.admit(OLD) is None
    assert used(master, NEW) == []


def test_a_question_does_not_stay_open_for_ever(master: Ruled) -> None:
    """Else whoever steals the key later could still put one of its own in its place."""
    master.time += ASKED + 1
    assert f"save key {NEW} of m1 next" not in master.say(1, "m1", Offer(key=NEW))
    assert states(master) == {"k-m1": "accepted"}


def test_numbers_of_connections_go_on_with_the_new_key(master: Ruled) -> None:
    before = master.core.keys.accepted(M1)
    master.say(1, "m1", Offer(key=NEW))
    used(master, NEW)
    after = master.core.keys.accepted(M1)
    assert before is not None
    assert after is not None
    assert (after.start, after.connection) == (before.start, before.connection) != (0, 0)


def test_the_overlap_ends_by_itself(master: Ruled) -> None:
    master.say(1, "m1", Offer(key=NEW))
    assert "event key of m1 rotated" not in master.after(86_399)
    assert "event key of m1 rotated" in master.after(1)
    assert states(master) == {NEW: "accepted"}


def test_a_master_that_was_restarted_remembers_the_end_of_the_overlap() -> None:
    next_key = minion("m1", "next")
    rows = [minion("m1"), type(next_key)(id=M1, key=NEW, state="next", filed=next_key.filed)]
    master = Ruled(minions=rows)
    at = master.core.rotation.next()
    assert at == rows[1].filed + 86_400
    master.time += at - master.now
    assert "event key of m1 rotated" in told(master.core.tick(master.now))


def test_a_repeated_offer_is_answered_again_and_another_replaces_it(master: Ruled) -> None:
    master.say(1, "m1", Offer(key=NEW))
    assert master.say(1, "m1", Offer(key=NEW)) == ["to 1: taken n"]
    master.core.rotation.ask(M1, master.now)
    assert master.say(1, "m1", Offer(key=NEWER)) == [
        f"save no key {NEW}", f"cut key {NEW}", f"save key {NEWER} of m1 next", "event key of m1 offered",
        "to 1: taken o"]
    assert states(master) == {OLD: "accepted", NEWER: "next"}


def test_a_key_of_somebody_else_is_no_offer(master: Ruled) -> None:
    master.core.keys.claim(NEW, Enrol(id=MinionId("m3"), version="1"), master.now)
    refused = "this key is filed already"
    assert master.say(1, "m1", Offer(key=NEW)) == [
        f"event key of m1 offer refused: {refused}", f"to 1: taken n, refused: {refused}"]
    assert master.core.keys.admit(NEW) is None
    master.core.keys.reject([OLD])
    assert told(master.core.rotation.offered(Connection(1), M1, Offer(key=NEWER), master.now))[-1] \
        == "to 1: taken o, refused: this minion is not accepted"


def test_an_offer_that_nobody_asked_for_changes_nothing(master: Ruled) -> None:  # S4
    """Else whoever stole a key could make it their own for good."""
    assert master.meet(2, "m2") == []
    refused = "nobody asked for a new key"
    lines = [f"alarm m2: {refused}", f"to 2: taken n, refused: {refused}"]
    assert master.say(2, "m2", Offer(key=NEW)) == lines
    master.core.rotation.ask(MinionId("m2"), master.now)
    assert master.say(2, "m2", Offer(key=NEW))[0] == f"save key {NEW} of m2 next"
    assert master.say(2, "m2", Offer(key=NEWER))[0] == lines[0], "asked once is offered once"


def test_who_is_not_connected_is_not_asked(master: Ruled) -> None:
    assert master.core.rotation.ask(MinionId("m2"), master.now) == []
    with pytest.raises(NotFoundError, match="m9"):
        master.core.rotation.ask(MinionId("m9"), master.now)


@pytest.mark.parametrize("verb", ["reject", "delete"])
def test_who_is_cut_is_cut_with_both_keys(master: Ruled, verb: str) -> None:
    master.say(1, "m1", Offer(key=NEW))
    changed, effects = getattr(master.core.keys, verb)([OLD])
    assert [row.id for row in changed] == ["m1"]
    assert {"cut key k-m1", f"cut key {NEW}", f"save no key {NEW}"} <= set(told(effects))
    assert master.core.keys.admit(OLD) is None
    assert master.core.keys.admit(NEW) is None
    assert used(master, NEW) == []


def test_a_next_key_that_enrols_is_told_that_it_is_accepted(master: Ruled) -> None:
    master.say(1, "m1", Offer(key=NEW))
    assert master.core.keys.claim(NEW, Enrol(id=M1, version="1"), master.now)[0].status == "accepted"


def test_a_job_that_comes_between_the_two_connections_waits(master: Ruled) -> None:
    master.say(1, "m1", Offer(key=NEW))
    master.gone(1, "m1")
    _, effects = master.publish("m1")
    assert not [line for line in effects if "undelivered" in line]
    used(master, NEW)
    assert any(line.startswith("to 2: publish") for line in master.meet(2, "m1"))


def test_a_job_for_one_that_does_not_come_back_is_undelivered(master: Ruled) -> None:
    master.say(1, "m1", Offer(key=NEW))
    master.gone(1, "m1")
    master.publish("m1")
    assert any("m1=undelivered" in line for line in master.after(60))


# the master's key


X, Y = Key("x" * 40), Key("y" * 40)


@pytest.fixture
def changing(master: Ruled) -> Ruled:
    """The master has X and is about to have Y; m1 is told of it, m2 is away."""
    told(master.core.change_terms(Terms(master="us", key=X), master.now))
    assert told(master.core.change_terms(Terms(master="us", key=X, next_key=Y), master.now)) == ["to 1: masterkey y"]
    return master


def knows(master: Ruled) -> dict[str, bool | None]:
    return {row.id: master.core.rotation.knows(row) for row in master.core.keys.rows()}


def test_who_has_confirmed_the_next_key(changing: Ruled) -> None:
    assert knows(changing) == {"m1": False, "m2": False}
    assert changing.say(1, "m1", Trusts(key=NEW)) == [], "another key is no answer"
    assert changing.say(1, "m1", Trusts(key=Y)) == ["save key k-m1 of m1 accepted", "event key of m1 confirmed"]
    assert changing.say(1, "m1", Trusts(key=Y)) == []
    assert (knows(changing), changing.core.rotation.missing()) == ({"m1": True, "m2": False}, ["m2"])
    assert changing.hello(2, "m2")[-1] == "to 2: welcome, next key y"
    assert knows(changing) == {"m1": True, "m2": False}, "it has proved the present key, not the next"
    assert changing.say(2, "m2", Trusts(key=Y))
    changing.gone(1, "m1")
    changing.hello(3, "m1")
    assert changing.core.rotation.missing() == []


def test_a_confirmation_is_kept(changing: Ruled) -> None:
    changing.say(1, "m1", Trusts(key=Y))
    again = Ruled(minions=changing.core.keys.rows())
    again.core.change_terms(Terms(master="us", key=X, next_key=Y), again.now)
    assert again.core.rotation.missing() == ["m2"]


def test_who_missed_the_change_is_shown_until_it_comes(changing: Ruled) -> None:
    changing.hello(2, "m2")
    changing.say(1, "m1", Trusts(key=Y))
    assert told(changing.core.change_terms(Terms(master="us", key=Y), changing.now)) == []
    assert knows(changing) == {"m1": True, "m2": False}
    changing.gone(2, "m2")
    assert changing.hello(3, "m2")[-1] == "to 3: welcome"
    assert knows(changing) == {"m1": True, "m2": True}


def test_without_a_change_there_is_nothing_to_know(master: Ruled) -> None:
    assert knows(master) == {"m1": None, "m2": None}


def test_a_job_that_comes_while_the_master_changes_over_waits(changing: Ruled) -> None:
    changing.core.change_terms(Terms(master="us", key=Y), changing.now)
    changing.gone(1, "m1")
    _, effects = changing.publish("m*")
    assert [line for line in effects if line.startswith("save job")] == ["save job 0 m1=planned m2=undelivered"]
    assert any(line.startswith("to 2: publish") for line in changing.meet(2, "m1"))
