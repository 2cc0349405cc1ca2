"""Two hosts with one key, and all that looks like it and is one host. # R-A13, DESIGN 5 rule 1"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from common.codec import pack
from common.ids import MinionId
from common.link import Key
from common.messages import Hello, Ping, Pong
from common.states import State
from master.core.doubles import ANSWER, TURNING
from tests.lib.cores import Ruled, minion
from tests.lib.stored import jid, job, pair

SAVED = "save key k-m1 of m1 accepted"


class Master(Ruled):
    """A master of m1, to which hosts say Hello."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**({"minions": [minion("m1")]} | given))

    def greet(self, connection: int, start: int, number: int = 1, boot: str = "b") -> list[str]:
        return self.say(connection, "m1", Hello(version="1", boot_id=boot, start=start, connection=number,
                                                facts=Raw(b"\x80")))

    def pong(self, connection: int, ping: int = 1) -> list[str]:
        return self.say(connection, "m1", Pong(n=ping))

    @property
    def state(self) -> tuple[str, str]:
        (row,) = self.core.keys.rows()
        return row.state, row.reason


@pytest.fixture
def master() -> Master:
    """Connection 1 is up, of start 5."""
    master = Master()
    assert master.greet(1, 5)[-1] == "to 1: welcome"
    master.holds(1, "m1")
    return master


# one host


def test_a_closed_connection_is_replaced_at_once(master: Master) -> None:
    """A restart, a kill, a reboot: the old connection is over just after the new one speaks, or before."""
    assert master.greet(2, 6) == ["to 1: ping 1", "to 2: ping 1"]
    assert master.gone(1, "m1") == ["event down m1: cut", SAVED, SAVED, "event up m1", "to 2: welcome"]
    master.gone(2, "m1")
    assert master.greet(3, 6, 2)[-1] == "to 3: welcome"
    assert master.state == ("accepted", "")


def test_a_mute_connection_is_replaced_after_a_while(master: Master) -> None:
    """Half-open, another address of a NAT, an agent that stood still: nobody answers on the old connection."""
    master.greet(2, 5, 2)
    assert master.pong(2) == []
    assert master.after(ANSWER - 0.1) == []
    assert master.after(0.2) == [SAVED, "cut 1: replaced by a newer connection", "to 2: welcome"]
    assert master.say(1, "m1", Ping(n=1)) == []
    assert master.gone(1, "m1") == []
    assert master.state == ("accepted", "")


def test_until_then_the_older_connection_is_the_minions(master: Master) -> None:
    master.greet(2, 6)
    assert master.say(1, "m1", Ping(n=7)) == ["to 1: pong 7"]
    assert master.say(2, "m1", Ping(n=7)) == []


@pytest.mark.parametrize(("start", "number"), [(4, 9), (5, 1), (5, 0)])
def test_a_greeting_that_comes_late_changes_nothing(master: Master, start: int, number: int) -> None:
    """A last word of a socket that is closed by now, while its successor is well and answers."""
    assert master.greet(2, start, number) == ["to 1: ping 1", "to 2: ping 1"]
    assert master.pong(1) == []
    assert master.after(ANSWER) == ["cut 2: an older connection of the same minion"]
    assert master.core.fleet.synced(MinionId("m1")) == 1
    assert master.state == ("accepted", "")


def test_an_answer_to_an_earlier_question_proves_nothing(master: Master) -> None:
    master.greet(2, 5, 2)
    master.after(ANSWER)
    master.greet(3, 5, 3)
    assert master.pong(2, 1) == []
    assert master.pong(1, 2) == []
    assert master.pong(3, 2) == []
    assert master.after(ANSWER)[-1] == "to 3: welcome"


def test_who_tries_again_meanwhile_takes_the_place_of_its_own_try(master: Master) -> None:
    master.greet(2, 5, 2)
    assert master.greet(3, 5, 3) == ["cut 2: replaced by a newer connection", "to 1: ping 2", "to 3: ping 2"]
    assert master.gone(2, "m1") == []
    assert master.gone(1, "m1")[-1] == "to 3: welcome"


def test_a_second_hello_of_who_waits_costs_the_connection(master: Master) -> None:  # R-B25
    master.greet(2, 5, 2)
    assert master.greet(2, 5, 3) == ["cut 2: it said hello twice"]
    assert master.after(ANSWER) == []
    assert master.core.fleet.synced(MinionId("m1")) == 1


def test_a_newcomer_that_goes_leaves_all_as_it_was(master: Master) -> None:
    master.greet(2, 5, 2)
    assert master.gone(2, "m1") == []
    assert master.pong(1) == []
    assert master.after(ANSWER) == []
    assert master.core.fleet.synced(MinionId("m1")) == 1


def test_a_reboot_loop_is_no_clone() -> None:
    master = Master()
    for number in range(10):
        assert master.greet(number, 5 + number, boot=f"b{number}")[-1] == f"to {number}: welcome"
        master.gone(number, "m1")
        master.after(30)


def test_a_key_that_is_deleted_meanwhile_is_not_welcomed(master: Master) -> None:
    master.greet(2, 6)
    master.core.delete_keys([Key("k-m1")], master.now)
    assert master.after(ANSWER) == []


# an older copy of the state folder


def test_a_restored_agent_is_let_in_when_it_is_alone() -> None:
    master = Master(minions=[minion("m1", start=7)])
    assert master.greet(1, 3) == ["to 1: ping 1"]
    assert master.pong(1) == [SAVED, "event up m1", "event m1 is behind: 3 of 7", "to 1: welcome"]
    master.gone(1, "m1")
    assert master.greet(2, 3, 2)[-1] == "to 2: welcome"  # it goes on from there
    master.gone(2, "m1")
    assert master.greet(3, 8)[-1] == "to 3: welcome"  # and it was told where to go on after a restart
    assert master.state == ("accepted", "")


def test_a_restored_agent_is_not_sent_what_it_may_have_run() -> None:  # P2
    master = Master(minions=[minion("m1", start=7)], jobs=[job(1)], pairs=[pair(jid(1), "m1", State.SENT)])
    master.greet(1, 3)
    master.pong(1)
    assert master.holds(1, "m1")[:2] == ["save 1 m1=lost", "event 1 m1=lost"]


def test_what_was_sent_to_an_earlier_boot_is_not_sent_again() -> None:  # P2: it may be a boot of another host
    master = Master()
    master.meet(1, "m1")
    name, _ = master.publish("m1")
    master.gone(1, "m1")
    master.greet(2, 9, boot="other")
    master.gone(2, "m1")  # it does not come to a comparison: the next one has to know
    master.greet(3, 9, 2, boot="other")
    assert f"save 0 m1={State.LOST}" in master.holds(3, "m1")
    assert name not in master.core.ledger.jobs
    again, _ = master.publish("m1")
    master.gone(3, "m1")
    master.greet(4, 10, boot="other")
    assert [line for line in master.holds(4, "m1") if "publish" in line] == ["to 4: publish 0+1us"]
    assert again in master.core.ledger.jobs


# two hosts


def test_two_that_answer_are_put_into_quarantine(master: Master) -> None:
    name, _ = master.publish("m1")
    master.greet(2, 6, boot="other")
    effects = master.pong(1)
    why = "two hosts answer with this key: one (boot b, start 5), and one (boot other, start 6)"
    assert effects == ["save key k-m1 of m1 quarantined", "cut key k-m1", f"event key of m1 quarantined: {why}",
                       "event down m1: its key is in quarantine"]
    assert master.state == ("quarantined", why)
    assert master.core.ledger.jobs[name].pairs[MinionId("m1")].state is State.SENT
    assert master.pong(2) == []
    assert master.gone(1, "m1") == master.gone(2, "m1") == []


def test_the_alarm_names_both_hosts_as_far_as_they_say_who_they_are(master: Master) -> None:
    facts = {"host": "web1" + "x" * 100, "addresses": ["192.0.2.7", "192.0.2.8", "192.0.2.9"]}
    master.say(2, "m1", Hello(version="1", boot_id="0123456789", start=6, connection=1, facts=Raw(pack(facts))))
    master.pong(1)
    assert master.state[1].endswith(f", and web1{'x' * 60} at 192.0.2.7 192.0.2.8 (boot 01234567, start 6)")


@pytest.mark.parametrize("facts", [b"\xc1", b"\x90", b"\x81\xa9addresses\x01"])
def test_facts_that_are_none_do_no_harm(master: Master, facts: bytes) -> None:  # P8
    master.say(2, "m1", Hello(version="1", boot_id="other", start=6, connection=1, facts=Raw(facts)))
    master.pong(1)
    assert master.state[1].endswith("and one (boot other, start 6)")


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_that_answer_whatever_their_numbers_say(master: Master, order: tuple[int, int]) -> None:
    master.greet(2, 1, boot="other")
    first, last = order
    assert master.pong(first) == []
    assert master.pong(last)[0] == "save key k-m1 of m1 quarantined"


def test_a_key_in_quarantine_gets_no_job_and_is_told_why(master: Master) -> None:
    master.greet(2, 6)
    master.pong(1)
    name, effects = master.publish("*")
    assert effects[0] == "save job 0 m1=undelivered"
    assert master.greet(3, 7) == ["cut 3: its key is not accepted"]
    again = Master(minions=[row for row in master.core.keys.rows()])  # a new master on the same store
    assert again.state == master.state
    assert again.publish("*")[1][0] == "save job 0 m1=undelivered"
    assert name not in master.core.ledger.jobs


def test_an_operator_ends_it(master: Master) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", Ping(n=1))
    master.greet(2, 6)
    master.pong(1)
    master.core.accept_keys([Key("k-m1")])
    assert master.state == ("accepted", "")
    assert master.greet(3, 5, 2)[-1] == "to 3: welcome"
    assert "to 3: publish 0" in master.holds(3, "m1")  # the same boot that it was sent to: its claims tell
    assert name in master.core.ledger.jobs


def test_hosts_that_take_turns_are_found(master: Master) -> None:
    """Never both at once: each is cut off while the other one is there."""
    boots = ["b", "other"]
    effects: list[str] = []
    for turn in range(1, 5):
        master.gone(turn, "m1")
        effects = master.greet(turn + 1, 4 + turn + 1, boot=boots[turn % 2])
        if "quarantined" in effects[0]:
            break
        master.after(60)
    assert "event key of m1 quarantined: two hosts took turns with this key, 3 times within 10 minutes" in effects


def test_turns_that_are_far_apart_are_no_sign(master: Master) -> None:
    for turn in range(1, 8):
        master.gone(turn, "m1")
        assert master.greet(turn + 1, 5 + turn, boot=["b", "other"][turn % 2])[-1] == f"to {turn + 1}: welcome"
        master.after(TURNING / 2 + 1)
