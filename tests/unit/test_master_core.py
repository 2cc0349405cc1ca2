"""The master decides: whom a job goes to, what a greeting brings to light, who is there, what is lost."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw, structs

from common.codec import pack
from common.errors import NotFoundError
from common.ids import MASTER, MinionId
from common.link import Connection, Key
from common.messages import FACTS_LIMIT, NO_SECRETS, Held, HeldJob, Hello, Load, Ping, Started
from common.states import State
from master.core.core import HELD_MOST, LATELY, LOCAL
from master.core.doubles import ANSWER
from master.core.presence import COMPARING, SILENCE
from master.core.wishes import Wish
from master.records import Pair
from tests.lib.cores import FIELDS, Ruled, minion, returned
from tests.lib.stored import NOON, jid, job, pair
from tests.lib.told import number, told


def hello(start: int, connection: int) -> Hello:
    return Hello(version="1", boot_id="b", start=start, connection=connection, facts=Raw(b"\x80"))


@pytest.fixture
def two() -> Ruled:
    """A master with m1 and m2 connected over 1 and 2, and m3 away; the time of the greeting is over."""
    master = Ruled("m1", "m2", "m3")
    master.after(60)
    master.meet(1, "m1")
    master.meet(2, "m2")
    return master


# publishing


def test_a_ping_tells_how_the_minion_does() -> None:
    master = Ruled("m1")
    master.meet(1, "m1")
    presence = master.core.fleet.get(MinionId("m1"))
    assert presence is not None
    assert presence.load is None  # an older minion says nothing
    master.time = 7
    master.say(1, "m1", Ping(n=1, load=Load(running=2)))
    master.say(1, "m1", Ping(n=2))
    assert (presence.load, presence.told) == (Load(running=2), master.now)


def test_a_job_is_saved_with_all_its_targets_before_anything_leaves(two: Ruled) -> None:  # P1, S13
    name, effects = two.publish("*")
    assert effects[:3] == ["save job 60 m1=sent m2=sent m3=undelivered", "event job 60 for m1 m2 m3",
                           "event 60 m3=undelivered"]
    assert sorted(effects[3:]) == ["to 1: publish 60", "to 2: publish 60"]
    assert number(name) == "60"


def test_a_job_for_nobody_who_is_there_is_done_at_once(two: Ruled) -> None:
    _, effects = two.publish("m3,ghost", "list")
    assert effects == ["save job 60 ghost=undelivered m3=undelivered", "event job 60 for ghost m3",
                       "event 60 ghost=undelivered", "event 60 m3=undelivered",
                       "save done 60 undelivered=2", "event done 60 undelivered=2"]


def test_undelivered_says_why(two: Ruled) -> None:
    wish = Wish(fields=FIELDS, target="m3,ghost", target_type="list", start_within=60)
    _, effects = two.core.wishes._publish(wish, [MinionId("ghost"), MinionId("m3")], two.now)
    change: Any = effects[0]
    reasons = [pair.outcome.evidence.reason for pair in change.change.pairs]
    assert reasons == ["no minion of this id is accepted", "the minion is not connected"]


def test_secrets_go_to_the_minions_alone_and_end_with_the_job(two: Ruled) -> None:  # R-A23
    secrets = Raw(pack({"password": "canary"}))
    wish = Wish(fields=FIELDS, target="m1", target_type="glob", start_within=60, secrets=secrets)
    name, effects = two.core.wishes._publish(wish, [MinionId("m1")], two.now)
    assert told(effects)[1:] == ["event job 60 for m1", "to 1: publish 60"]
    saved, event, sent = effects
    assert saved.change.job.secrets == sent.message.secrets == secrets  # type: ignore[union-attr]
    assert event.event.job.secrets == NO_SECRETS  # type: ignore[union-attr]

    assert told(two.core.received(Connection(1), MinionId("m1"), returned(name), two.now))[-3:-1] == [
        "wipe", "event done 60 succeeded=1"]
    assert two.core.ledger.jobs == {}


def test_a_target_that_picks_nobody_sends_nothing(two: Ruled) -> None:
    with pytest.raises(NotFoundError, match=r"^no minion matches 'x\*'; nothing was sent$"):
        two.publish("x*")
    assert number(two.publish("m1")[0]) == "60"  # no jid was spent


def test_jids_grow_also_when_the_clock_steps_back(two: Ruled) -> None:
    names = []
    for time in (60, 60, 30, 61):
        two.time = time
        names.append(two.publish("m1")[0])
    assert [number(name) for name in names] == ["60", "60+1us", "60+2us", "61"]
    assert names == sorted(names)


def test_the_last_jid_of_the_former_run_counts() -> None:
    master = Ruled("m1", last=jid(1000))
    assert number(master.publish("m1")[0]) == "1000+1us"


def test_the_masters_own_host_runs_runner_jobs(two: Ruled) -> None:  # S21
    two.core.local_up(two.now)
    two.holds(0, MASTER)
    wish = Wish(fields=FIELDS, target="master", target_type="runner", start_within=60)
    name, effects = two.core.wishes.run(wish, two.now)
    assert told(effects) == ["save job 60 master=sent", "event job 60 for master", f"to {LOCAL}: publish 60"]
    two.say(0, MASTER, Started(jid=name, pid=1, at=two.now))
    assert two.after(SILENCE * 10)[:1] == ["cut 1: silent for too long"]  # and itself it never finds silent
    assert two.core.fleet.up() == [MASTER]
    assert two.say(0, MASTER, returned(name))[-1] == "to 0: ack 60"


# greeting


def test_a_greeting() -> None:
    master = Ruled("m1")
    assert master.hello(1, "m1") == ["save key k-m1 of m1 accepted", "event up m1", "to 1: welcome"]
    assert master.holds(1, "m1") == []
    assert master.say(1, "m1", Ping(n=4)) == ["to 1: pong 4"]
    assert master.holds(1, "m1") == []  # a second comparison is not asked for


def test_frames_before_the_hello_are_dropped() -> None:
    master = Ruled("m1")
    assert master.say(1, "m1", Ping(n=1)) == []
    assert master.say(1, "m1", returned(jid(1))) == []


def test_a_job_for_a_minion_that_greets_goes_out_after_the_comparison() -> None:
    master = Ruled("m1")
    master.after(60)
    master.hello(1, "m1")
    _, effects = master.publish("m1")
    assert effects == ["save job 60 m1=planned", "event job 60 for m1"]
    assert master.say(1, "m1", Held(jobs=[], last=False)) == []
    assert master.holds(1, "m1") == ["save 60 m1=sent", "event 60 m1=sent", "to 1: publish 60"]


def test_a_minion_that_goes_in_the_middle_of_its_greeting() -> None:
    master = Ruled("m1")
    master.after(60)
    master.hello(1, "m1")
    master.publish("m1")
    assert master.gone(1, "m1") == ["event down m1: cut", "save key k-m1 of m1 accepted", "save 60 m1=undelivered",
                                    "event 60 m1=undelivered", "save done 60 undelivered=1",
                                    "event done 60 undelivered=1"]


def test_a_second_hello_costs_the_connection() -> None:  # R-B25
    master = Ruled("m1")
    master.meet(1, "m1")
    assert master.say(1, "m1", hello(9, 9)) == ["cut 1: it said hello twice", "event down m1: cut",
                                                "save key k-m1 of m1 accepted"]
    assert master.say(1, "m1", Ping(n=1)) == []
    assert master.meet(2, "m1") == []


@pytest.mark.parametrize("state", ["pending", "rejected"])
def test_a_key_that_is_not_accepted_is_not_greeted(state: str) -> None:
    master = Ruled(minions=[minion("m1", state=state)])
    assert master.hello(1, "m1") == ["cut 1: its key is not accepted"]


def test_endless_pages_cost_their_sender_the_connection(two: Ruled) -> None:  # P8
    two.hello(3, "m3")
    page = Held(jobs=[HeldJob(jid(1), State.RUNNING)] * 2000, last=False)
    for _ in range(HELD_MOST // 2000):
        assert two.say(3, "m3", page) == []
    assert two.say(3, "m3", page) == ["cut 3: it says to hold more than any minion can", "event down m3: cut",
                                      "save key k-m3 of m3 accepted"]
    assert two.core.fleet.up() == ["m1", "m2"]


# the minute after the master's start


def lately(*names: str, seen: float | None = None) -> Ruled:
    """A master that starts anew, with minions that were there before."""
    return Ruled(minions=[minion(name, start=1, last_seen=seen) for name in names])


@pytest.mark.parametrize(("seen", "state"), [(None, "planned"), (NOON - LATELY, "planned"),
                                             (NOON - LATELY - 1, "undelivered")])
def test_who_was_there_lately_is_about_to_come(seen: float | None, state: str) -> None:
    assert lately("m1", seen=seen).publish("m1")[1][0] == f"save job 0 m1={state}"


def test_who_never_came_is_not_waited_for() -> None:
    assert Ruled("m1").publish("m1")[1][0] == "save job 0 m1=undelivered"


def test_who_comes_in_the_window_gets_the_job_and_who_does_not_is_told() -> None:
    master = lately("m1", "m2")
    master.publish("*")
    assert master.meet(1, "m1") == ["save 0 m1=sent", "event 0 m1=sent", "to 1: publish 0"]
    master.say(1, "m1", returned(jid(0)))
    master.time = 59
    master.say(1, "m1", Ping(n=1))
    assert master.after(0) == []
    assert master.core.next() == NOON + 60
    assert master.after(1) == ["save 0 m2=undelivered", "event 0 m2=undelivered",
                               "save done 0 succeeded=1 undelivered=1", "event done 0 succeeded=1 undelivered=1"]
    assert master.publish("m2")[1][0] == "save job 60 m2=undelivered"


def test_who_comes_and_goes_in_the_window_may_come_again() -> None:
    master = lately("m1")
    master.publish("m1")
    master.hello(1, "m1")
    assert master.gone(1, "m1") == ["event down m1: cut", "save key k-m1 of m1 accepted"]
    assert master.meet(2, "m1")[-1] == "to 2: publish 0"


# silence and absence


def test_silence_is_found_lazily() -> None:  # S22
    master = Ruled("m1")
    master.after(60)
    master.meet(1, "m1")
    master.time += 40
    master.say(1, "m1", Ping(n=1))
    assert master.after(SILENCE - 40) == []  # the timer of the greeting: there was a word since
    assert master.core.next() == NOON + 60 + 40 + SILENCE
    assert master.after(39) == []
    assert master.after(1) == ["cut 1: silent for too long", "event down m1: silent", "save key k-m1 of m1 accepted"]
    assert master.core.fleet.up() == []


def test_a_minion_that_never_says_what_it_holds_is_cut() -> None:  # P9
    master = Ruled("m1")
    master.after(60)
    master.hello(1, "m1")
    master.publish("m1")
    master.say(1, "m1", Held(jobs=[], last=False))
    master.time += COMPARING - 20
    master.say(1, "m1", Ping(n=1))
    assert not [line for line in master.after(19) if "cut" in line]
    assert master.core.next() == NOON + 60 + COMPARING
    lines = master.after(1)
    assert lines[:2] == ["cut 1: it did not say what it holds", "event down m1: cut"]
    assert "event 60 m1=undelivered" in lines
    assert master.meet(2, "m1") == []


def test_who_said_what_it_holds_has_time_to_be_silent(two: Ruled) -> None:
    two.time += COMPARING
    two.say(1, "m1", Ping(n=1))
    two.say(2, "m2", Ping(n=1))
    assert two.after(0) == []


def test_each_greeting_has_its_own_time() -> None:
    master = Ruled("m1")
    master.after(60)
    master.hello(1, "m1")
    master.time += COMPARING - 1
    assert master.hello(2, "m1") == ["to 1: ping 1", "to 2: ping 1"]
    assert "cut 1: replaced by a newer connection" in master.after(ANSWER)
    assert master.after(COMPARING - 20) == []


@pytest.mark.parametrize(("length", "taken"), [(FACTS_LIMIT, True), (FACTS_LIMIT + 1, False)])
def test_facts_are_bounded(length: int, taken: bool) -> None:  # P8
    master = Ruled("m1")
    facts = b"\x81\xa1a\xc5" + (length - 6).to_bytes(2, "big") + bytes(length - 6)
    effects = master.say(1, "m1", structs.replace(hello(1, 1), facts=Raw(facts)))
    assert len(facts) == length
    assert (effects == [f"cut 1: its facts have more than {FACTS_LIMIT} bytes"]) is not taken
    assert (master.core.fleet.up() == ["m1"]) is taken


def test_what_a_minion_accepted_is_lost_after_a_day_of_absence(two: Ruled) -> None:
    name, _ = two.publish("m1")
    two.say(1, "m1", Started(jid=name, pid=1, at=two.now))
    two.gone(1, "m1")
    two.time += 86399
    assert not [line for line in two.after(0) if "m1=" in line]
    assert two.after(1)[-4:] == ["save 60 m1=lost", "event 60 m1=lost", "save done 60 lost=1", "event done 60 lost=1"]


def test_who_comes_back_in_time_loses_nothing(two: Ruled) -> None:
    name, _ = two.publish("m1")
    two.say(1, "m1", Started(jid=name, pid=1, at=two.now))
    two.gone(1, "m1")
    two.time += 80000
    assert two.meet(3, "m1", {name: State.RUNNING}) == []
    two.time += 10000
    two.say(3, "m1", Ping(n=1))
    assert not [line for line in two.after(0) if "60 m1" in line]


def test_absence_counts_from_the_start_of_the_master() -> None:
    name = jid(1)
    master = Ruled("m1", jobs=[job(1)], pairs=[pair(name, "m1", State.RUNNING)], lost_after=100)
    assert master.after(100)[:2] == ["save 1 m1=lost", "event 1 m1=lost"]


def test_the_masters_own_host_is_never_away() -> None:
    master = Ruled(jobs=[job(1)], pairs=[pair(jid(1), "master", State.RUNNING)])
    master.core.local_up(master.now)
    master.holds(0, MASTER, {jid(1): State.RUNNING})
    assert master.after(86400) == []


def test_a_rejected_minion_owes_its_jobs_no_longer_than_another(two: Ruled) -> None:  # P4
    name, _ = two.publish("m1")
    two.say(1, "m1", Started(jid=name, pid=1, at=two.now))
    two.core.keys.reject([Key("k-m1")])
    assert two.gone(1, "m1") == ["event down m1: cut"]
    assert "save 60 m1=lost" in two.after(86400)


def test_a_rejected_minion_is_also_counted_by_a_new_master() -> None:  # P4
    master = Ruled(minions=[minion("m1", state="rejected")], jobs=[job(1)], pairs=[pair(jid(1), "m1", State.RUNNING)])
    assert "save 1 m1=lost" in master.after(86400)


def test_a_deleted_key_loses_what_its_minion_owes(two: Ruled) -> None:
    running, _ = two.publish("m1,m2", "list")
    two.say(1, "m1", Started(jid=running, pid=1, at=two.now))
    deleted, effects = two.core.delete_keys([Key("k-m1")], two.now)
    assert [row.id for row in deleted] == ["m1"]
    assert told(effects) == ["save no key k-m1", "cut key k-m1", "event key of m1 deleted", "save 60 m1=lost",
                             "event 60 m1=lost"]
    assert two.gone(1, "m1") == ["event down m1: cut"]


def test_a_deleted_key_leaves_what_was_not_sent_undelivered() -> None:
    master = lately("m1")
    master.publish("m1")
    _, effects = master.core.delete_keys([Key("k-m1")], master.now)
    assert told(effects)[3:5] == ["save 0 m1=undelivered", "event 0 m1=undelivered"]


def test_deleting_a_rivals_key_loses_nothing(two: Ruled) -> None:
    two.publish("m1")
    two.core.keys.put(structs.replace(minion("m1", state="rejected"), key=Key("rival")))
    _, effects = two.core.delete_keys(None, two.now)
    assert told(effects) == ["save no key rival", "cut key rival", "event key of m1 deleted"]


def test_a_token_is_filed(two: Ruled) -> None:
    assert told(two.core.add_token("secret", two.now + 60, None, two.now)) == ["save token"]


# a new master over an old store


def test_what_was_over_before_the_master_died_is_closed_by_the_next() -> None:
    over = Pair(jid=jid(1), minion=MinionId("m1"), state=State.SUCCEEDED)
    master = Ruled("m1", jobs=[job(1), job(2)], pairs=[over, pair(jid(2), "m1", State.RUNNING)])
    assert told(master.core.begin(master.now)) == ["save done 1 succeeded=1", "event done 1 succeeded=1"]
    assert list(master.core.ledger.jobs) == [jid(2)]


def test_a_message_that_is_not_for_a_master_is_dropped(two: Ruled) -> None:
    assert two.say(1, "m1", object()) == []
    assert two.core.gone(Connection(9), MinionId("m9"), two.now, "cut") == []
