"""What the words of minions, and their silence, do to the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw, structs

from common.errors import NotFoundError
from common.ids import Jid, MinionId, mint
from common.link import Connection
from common.messages import Accepted, Held, Publish, Refused, Return, Started, Stopped
from common.states import State
from master.core import effects as do
from master.core.recalls import MOST, MOST_OF_MINION
from master.records import MovePair, Pair
from tests.lib.cores import FIELDS, Ruled, returned
from tests.lib.stored import NOON, jid, job, pair
from tests.lib.told import number, told

MIB = 1024 * 1024


def accepted(name: Jid, queued: bool = False, own: bool = False) -> Accepted:
    return Accepted(jid=name, at=NOON + 1, queued=queued, job=FIELDS if own else None)


def started(name: Jid, pid: int = 11) -> Started:
    return Started(jid=name, pid=pid, at=NOON + 2)


@pytest.fixture
def master() -> Ruled:
    """m1 and m2 connected over 1 and 2, m3 away; a minute after the start."""
    ruled = Ruled("m1", "m2", "m3")
    ruled.after(60)
    ruled.meet(1, "m1")
    ruled.meet(2, "m2")
    ruled.time = 100
    return ruled


def quiet(master: Ruled, seconds: float) -> list[str]:
    """Let time pass in which the minions only say that they live; what concerns jobs."""
    for name in master.core.fleet.up():
        presence = master.core.fleet.get(name)
        assert presence is not None
        presence.heard = master.now + seconds
    return master.after(seconds)


# words in order, late and doubled


def test_the_whole_life_of_a_pair(master: Ruled) -> None:  # P3
    name, _ = master.publish("m1")
    assert master.say(1, "m1", accepted(name, queued=True)) == ["save 100 m1=queued", "event 100 m1=queued"]
    assert master.say(1, "m1", started(name)) == ["save 100 m1=running", "event 100 m1=running"]
    assert master.say(1, "m1", returned(name)) == [  # the ack comes last: after all that must be committed
        "save 100 m1=succeeded", "event 100 m1=succeeded", "save done 100 succeeded=1", "event done 100 succeeded=1",
        "to 1: ack 100"]


def test_the_pid_and_the_start_stay_with_the_pair(master: Ruled) -> None:
    name, _ = master.publish("m1,m2", "list")
    master.say(1, "m1", started(name, pid=11))
    row = master.core.ledger.jobs[name].pairs[MinionId("m1")]
    assert (row.pid, row.started) == (11, NOON + 2)
    master.say(1, "m1", structs.replace(returned(name), pid=None))
    row = master.core.ledger.jobs[name].pairs[MinionId("m1")]
    assert (row.pid, row.started, row.outcome) == (11, NOON + 2, None)  # values are not kept in memory


@pytest.mark.parametrize("word", [accepted, started])
def test_a_return_may_come_before_the_words_that_were_lost(master: Ruled, word: Any) -> None:
    name, _ = master.publish("m1,m2", "list")
    master.say(1, "m1", returned(name, State.FAILED))
    assert master.say(1, "m1", word(name)) == []
    assert master.say(1, "m1", returned(name, State.FAILED)) == ["to 1: ack 100"]  # acked again, stored once
    assert master.say(1, "m1", returned(name, State.KILLED)) == ["to 1: ack 100"]
    assert master.core.ledger.jobs[name].pairs[MinionId("m1")].state is State.FAILED


def test_a_refusal_closes_the_pair_with_its_reason(master: Ruled) -> None:
    name, _ = master.publish("m1")
    effects = master.core.received(master.core.fleet.synced(MinionId("m1")), MinionId("m1"),  # type: ignore[arg-type]
                                   Refused(jid=name, reason="no such function"), master.now)
    assert told(effects)[:1] == ["save 100 m1=refused"]
    saved = effects[0]
    assert isinstance(saved, do.Save)
    assert isinstance(saved.change, MovePair)
    assert saved.change.pair.outcome is not None
    assert saved.change.pair.outcome.evidence.reason == "no such function"


def test_a_refusal_counts_while_the_agent_is_there_that_said_so(master: Ruled) -> None:
    """The next one knows nothing of it, and is sent the job: it may have begun it. P4"""
    name, effects = master.publish("m1")
    assert "to 1: publish 100" in effects
    master.gone(1, "m1")
    master.hello(2, "m1")
    sent_again = master.core.received(Connection(2), MinionId("m1"), Held(jobs=[], last=True), master.now)
    (sent,) = [effect.message for effect in sent_again if isinstance(effect, do.Send)]
    assert isinstance(sent, Publish)
    assert master.say(2, "m1", Refused(jid=name, reason="full", start=sent.start - 1)) == []
    assert master.say(2, "m1", Refused(jid=name, reason="full", start=sent.start))[:1] == ["save 100 m1=refused"]


def test_a_minion_that_has_seen_the_job_before_may_have_run_it(master: Ruled) -> None:
    """As after a restore: its return was acknowledged to the database that is gone. P5, P4."""
    name, _ = master.publish("m1")
    assert master.say(1, "m1", Refused(jid=name, reason="seen", seen=True))[:1] == ["save 100 m1=lost"]


def test_a_refusal_after_the_acceptance_is_stale(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", started(name))
    assert master.say(1, "m1", Refused(jid=name, reason="seen before")) == []


# sending again


def test_an_unanswered_publish_is_sent_again(master: Ruled) -> None:  # DESIGN 5, rule 3
    name, _ = master.publish("m1,m2", "list")
    master.say(1, "m1", accepted(name))
    assert quiet(master, 29) == []
    assert quiet(master, 1) == ["to 2: publish 100"]
    master.say(2, "m2", accepted(name))
    assert quiet(master, 60) == []


def test_no_answer_by_the_deadline_and_a_grace_is_lost(master: Ruled) -> None:
    master.publish("m1", within=60)
    quiet(master, 60)
    assert not [line for line in quiet(master, 59) if "lost" in line]
    assert quiet(master, 1)[:2] == ["save 100 m1=lost", "event 100 m1=lost"]


def test_what_was_accepted_has_no_deadline(master: Ruled) -> None:
    name, _ = master.publish("m1", within=60)
    master.say(1, "m1", accepted(name))
    assert quiet(master, 10_000) == []


def test_deadlines_outlive_the_master() -> None:
    ruled = Ruled("m1", jobs=[job(1)], pairs=[pair(jid(1), "m1", State.PLANNED), pair(jid(1), "m2", State.SENT)])
    assert ruled.after(300) == []
    assert ruled.after(1) == ["save 1 m1=undelivered", "event 1 m1=undelivered"]
    assert ruled.after(59) == []
    assert ruled.after(1) == ["save 1 m2=lost", "event 1 m2=lost", "save done 1 lost=1 undelivered=1",
                              "event done 1 lost=1 undelivered=1"]


# comparing after a reconnect


def test_what_never_arrived_is_sent_again(master: Ruled) -> None:
    master.publish("m1")
    master.gone(1, "m1")
    assert master.meet(3, "m1") == ["to 3: publish 100"]


def test_what_never_arrived_is_not_sent_past_its_deadline(master: Ruled) -> None:
    master.publish("m1", within=30)
    master.gone(1, "m1")
    master.time += 30
    assert master.meet(3, "m1") == []


def test_what_is_held_goes_on(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.gone(1, "m1")
    assert master.meet(3, "m1", {name: State.RUNNING}) == ["save 100 m1=running", "event 100 m1=running"]
    master.gone(3, "m1")
    assert master.meet(4, "m1", {name: State.ACCEPTED}) == []  # older than what is known
    assert master.meet(5, "m1", {name: State.SUCCEEDED}) == []  # its return is on the way


def test_what_was_accepted_earlier_and_is_held_no_more_is_lost(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", accepted(name))
    master.gone(1, "m1")
    assert master.meet(3, "m1")[:2] == ["save 100 m1=lost", "event 100 m1=lost"]


def test_what_was_accepted_over_this_connection_is_not_lost(master: Ruled) -> None:
    name, _ = master.publish("m3,m1", "list")
    master.hello(3, "m1")
    master.say(3, "m1", accepted(name))  # accepted while the pages were written
    assert master.holds(3, "m1") == []


# a late return corrects lost, and only lost


@pytest.mark.parametrize(("state", "corrected"), [
    (State.LOST, True), (State.SUCCEEDED, False), (State.KILLED, False), (State.UNDELIVERED, False),
    (State.REFUSED, False)])
def test_a_late_return_of_a_job_that_is_done(master: Ruled, state: State, corrected: bool) -> None:
    late = returned(jid(1))
    assert master.say(1, "m1", late) == ["recall 1"]
    stored = [pair(jid(1), "m1", state), pair(jid(1), "m2", State.FAILED)]
    effects = told(master.core.words.recalled(jid(1), job(1, done=NOON + 50), stored, master.now))
    assert effects == ([
        "save 1 m1=succeeded", "event 1 m1=succeeded corrected", "save done 1 succeeded=1 failed=1",  # done, once
        "to 1: ack 1"] if corrected else ["to 1: ack 1"])


def test_a_late_return_corrects_also_while_the_job_is_open(master: Ruled) -> None:
    name, _ = master.publish("m1,m2", "list", within=10)
    master.say(2, "m2", accepted(name))
    quiet(master, 70)
    assert master.say(1, "m1", returned(name, State.LOST)) == ["to 1: ack 100"]
    assert master.say(1, "m1", returned(name)) == ["save 100 m1=succeeded", "event 100 m1=succeeded corrected",
                                                   "to 1: ack 100"]


def test_two_late_returns_of_one_job(master: Ruled) -> None:
    assert master.say(1, "m1", returned(jid(1))) == ["recall 1"]
    assert master.say(2, "m2", returned(jid(1))) == []  # it waits for the same answer of the store
    stored = [pair(jid(1), "m1", State.LOST), pair(jid(1), "m2", State.LOST)]
    effects = told(master.core.words.recalled(jid(1), job(1, done=NOON + 50), stored, master.now))
    assert [line for line in effects if "done" in line] == ["save done 1 succeeded=1 lost=1", "save done 1 succeeded=2"]
    assert effects[-1] == "to 2: ack 1"


# who may speak of which job


def test_a_job_that_never_targeted_the_sender(master: Ruled) -> None:  # DESIGN 5, rule 5
    name, _ = master.publish("m1")
    alarm = "alarm m2 100: this job never targeted its sender"  # R-A6
    refusal = "to 2: ack 100, refused: this job never targeted its sender"
    assert master.say(2, "m2", returned(name)) == [alarm, refusal]
    assert master.say(2, "m2", started(name)) == [alarm]
    assert master.say(2, "m2", accepted(name, own=True)) == [alarm]
    assert master.core.ledger.jobs[name].pairs.keys() == {"m1"}


def test_a_jid_with_another_minions_suffix(master: Ruled) -> None:
    name = jid(5, "m1")
    master.say(2, "m2", returned(name))
    assert told(master.core.words.recalled(name, None, [], master.now)) == [
        "alarm m2 5@: this jid carries another minion's suffix",
        "to 2: ack 5@, refused: this jid carries another minion's suffix"]
    master.say(1, "m1", accepted(name, own=True))
    master.core.words.recalled(name, None, [], master.now)
    assert master.say(2, "m2", returned(name)) == ["alarm m2 5@: this job never targeted its sender",
                                                   "to 2: ack 5@, refused: this job never targeted its sender"]


def test_a_job_that_began_on_a_minion_is_filed_under_it(master: Ruled) -> None:  # S08
    name = jid(5, "m1")
    assert master.say(1, "m1", accepted(name, own=True)) == ["recall 5@"]
    assert told(master.core.words.recalled(name, None, [], master.now)) == [
        "save job 5@ m1=planned", "event job 5@ for m1", "save 5@ m1=accepted", "event 5@ m1=accepted"]
    filed = master.core.ledger.jobs[name].job
    assert (filed.target, filed.target_type, filed.published, filed.fields) == ("m1", "minion", NOON + 1, FIELDS)
    assert master.say(1, "m1", returned(name))[-1] == "to 1: ack 5@"


def test_a_return_alone_is_enough_to_file_a_job(master: Ruled) -> None:
    name = jid(5, "m1")
    master.say(1, "m1", structs.replace(returned(name), accepted=NOON + 3))
    assert told(master.core.words.recalled(name, None, [], master.now))[-3:] == [
        "save done 5@ succeeded=1", "event done 5@ succeeded=1", "to 1: ack 5@"]


def test_many_words_about_a_job_that_nobody_knows_file_it_once(master: Ruled) -> None:  # R-A19, P8
    name = jid(5, "m1")
    words = [accepted(name, own=True), returned(name, State.LOST), accepted(name, own=True), returned(name),
             returned(name)]
    for word in words:
        master.say(1, "m1", word)
    lines = told(master.core.words.recalled(name, None, [], master.now))
    assert lines == [
        "save job 5@ m1=planned", "event job 5@ for m1", "save 5@ m1=accepted", "event 5@ m1=accepted",
        "save 5@ m1=lost", "event 5@ m1=lost", "save done 5@ lost=1", "event done 5@ lost=1", "to 1: ack 5@",
        "save 5@ m1=succeeded", "event 5@ m1=succeeded corrected", "save done 5@ succeeded=1", "to 1: ack 5@",
        "to 1: ack 5@"]


def test_words_about_a_job_that_nobody_knows_and_that_do_not_say_what_it_is(master: Ruled) -> None:
    for word in (started(jid(5)), accepted(jid(6)), Refused(jid=jid(7), reason="")):
        master.say(1, "m1", word)
        assert told(master.core.words.recalled(word.jid, None, [], master.now)) == []
    assert master.core.ledger.jobs == {}


def test_a_job_that_a_restore_has_lost_is_filed_under_all_who_return_it(master: Ruled) -> None:
    lost = jid(1)  # minted by the master, before the copy was made that it runs on now
    master.say(1, "m1", returned(lost))
    master.core.words.recalled(lost, None, [], master.now)
    master.say(2, "m2", accepted(lost))
    filed = structs.replace(job(1, done=NOON + 100), target_type="minion")
    stored = [Pair(jid=lost, minion=MinionId("m1"), state=State.SUCCEEDED)]
    assert told(master.core.words.recalled(lost, filed, stored, master.now)) == [
        "save 1 m2=accepted", "event 1 m2=accepted"]
    master.gone(2, "m2")
    assert master.meet(4, "m2", {lost: State.RUNNING}) == ["save 1 m2=running", "event 1 m2=running"]  # like any other
    assert master.say(4, "m2", returned(lost)) == ["save 1 m2=succeeded", "event 1 m2=succeeded",
                                                   "save done 1 succeeded=2", "to 4: ack 1"]


@pytest.mark.parametrize("word", [started, lambda name: Refused(jid=name, reason="seen"),
                                  lambda name: Stopped(stop="s1", jid=name, outcome="ended")])
def test_nobody_joins_a_job_by_another_word_than_its_acceptance_or_end(master: Ruled, word: Any) -> None:  # P8
    lost = jid(1)
    master.say(1, "m1", accepted(lost, own=True))
    master.core.words.recalled(lost, None, [], master.now)
    assert master.say(2, "m2", word(lost)) == []
    assert list(master.core.ledger.jobs[lost].pairs) == ["m1"]
    assert master.say(2, "m2", returned(lost))[-1] == "to 2: ack 1"


def filed(master: Ruled, name: Jid) -> list[str]:
    """What becomes of a return of m1 for a jid that is not stored."""
    master.say(1, "m1", returned(name))
    return told(master.core.words.recalled(name, None, [], master.now))


@pytest.mark.parametrize("late", [0, 0.000001, 1, 1e9])
def test_a_jid_that_the_master_may_yet_mint_is_refused(master: Ruled, late: float) -> None:  # P8, P1
    ahead = mint(master.now + late, None)
    assert filed(master, ahead) == [f"alarm m1 {number(ahead)}: no master has minted this jid yet",
                                    f"to 1: ack {number(ahead)}, refused: no master has minted this jid yet"]
    master.time += late
    name, effects = master.publish("m1")
    assert name >= ahead
    assert effects[0].startswith("save job")


def test_a_jid_of_the_past_is_filed_and_so_is_that_of_a_minion_whose_clock_is_ahead(master: Ruled) -> None:
    for name in (mint(master.now - 0.000001, None), jid(1_000_000, "m1")):
        lines = filed(master, name)
        assert lines[0].startswith("save job")
        assert "refused" not in lines[-1]


def test_a_jid_below_the_last_one_minted_is_of_the_past_whatever_the_clock_says() -> None:
    master = Ruled("m1", last=jid(500))
    master.meet(1, "m1")
    assert filed(master, jid(499))[-1] == "to 1: ack 499"
    assert filed(master, jid(501))[-1] == "to 1: ack 501, refused: no master has minted this jid yet"


def test_when_a_payload_started_is_counted_in_master_time(master: Ruled) -> None:  # S08
    name, _ = master.publish("m1")
    master.say(1, "m1", Started(jid=name, pid=11, at=NOON - 5000))
    opened = master.core.ledger.jobs[name]
    assert opened.running == {"m1": NOON + 100}
    master.time = 130
    master.say(1, "m1", Started(jid=name, pid=11, at=NOON - 5000))
    assert opened.running == {"m1": NOON + 100}
    master.say(1, "m1", returned(name))
    assert opened.running == {}


def test_what_started_while_nobody_could_be_told_did_not_start_now(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.gone(1, "m1")
    master.hello(3, "m1")
    assert master.say(3, "m1", started(name)) == ["save 100 m1=running", "event 100 m1=running"]
    assert master.core.ledger.jobs[name].running == {}


def test_words_for_a_store_that_does_not_answer_are_bounded() -> None:  # R-B25
    master = Ruled("m1", "m2", "m3")
    for connection, name in enumerate(("m1", "m2", "m3"), 1):
        master.meet(connection, name)
    for second in range(MOST_OF_MINION):
        assert master.say(1, "m1", returned(jid(second + 1000))) == [f"recall {second + 1000}"]
    assert master.say(1, "m1", returned(jid(1))) == []
    for _ in range(MOST - MOST_OF_MINION):
        assert master.say(2, "m2", returned(jid(1000))) == []  # it waits with the others
    assert master.say(3, "m3", returned(jid(1))) == []
    master.core.words.forget(jid(1001))
    assert master.say(3, "m3", returned(jid(1))) == ["recall 1"]
    master.core.words.forget(jid(1000))
    assert master.say(2, "m2", returned(jid(2))) == ["recall 2"]
    assert master.say(1, "m1", returned(jid(3))) == ["recall 3"]


def test_heavy_words_for_a_store_that_does_not_answer_are_fewer() -> None:  # R-B25
    def heavy(second: int) -> Return:
        return structs.replace(returned(jid(second)), value=Raw(bytes(MIB)), stdout=b"")

    master = Ruled("m1", "m2")
    master.meet(1, "m1")
    master.meet(2, "m2")
    taken = [bool(master.say(1, "m1", heavy(second))) for second in range(1000, 1020)]
    assert taken == [True] * 16 + [False] * 4
    assert master.say(2, "m2", heavy(1)) == ["recall 1"]
    master.core.words.forget(jid(1000))
    assert master.say(1, "m1", heavy(1019)) == ["recall 1019"]


# stops


def test_a_stop_is_saved_sent_and_forgotten_when_it_was_answered(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", started(name))
    assert master.stop(name) == ({"m1": "sent"}, ["save stop s1 for m1", "to 1: kill s1 of 100"])
    assert quiet(master, 30) == ["to 1: kill s1 of 100"]
    assert master.stopped(1, "m1", name, "stopping") == ["event stop s1 on m1: stopping", "save no stop s1 for m1"]
    assert master.stopped(1, "m1", name, "stopping") == []
    assert quiet(master, 60) == []


def test_a_stop_is_kept_for_a_minion_that_is_away(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", started(name))
    master.gone(1, "m1")
    assert master.stop(name, "term") == ({"m1": "kept"}, ["save stop s1 for m1"])
    assert master.meet(3, "m1", {name: State.RUNNING}) == ["to 3: term s1 of 100"]
    assert master.say(3, "m1", returned(name, State.KILLED))[:2] == ["save 100 m1=killed", "save no stop s1 for m1"]


def test_every_stop_of_a_pair_is_kept(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.say(1, "m1", started(name))
    master.stop(name, "kill", "s1")
    master.stop(name, "signal", "s2")
    master.gone(1, "m1")
    assert master.meet(3, "m1", {name: State.RUNNING}) == ["to 3: kill s1 of 100", "to 3: signal s2 of 100"]
    assert master.say(3, "m1", returned(name, State.KILLED))[:3] == [
        "save 100 m1=killed", "save no stop s1 for m1", "save no stop s2 for m1"]


def test_stops_outlive_the_master(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.stop(name)
    kept = list(master.core.ledger.jobs[name].stops[MinionId("m1")].values())
    closed = [structs.replace(kept[0], jid=jid(7))]  # of a job that is done
    restarted = Ruled("m1", jobs=[master.core.ledger.jobs[name].job], pairs=[pair(name, "m1", State.RUNNING)],
                      stops=[*kept, *closed])
    assert restarted.meet(1, "m1", {name: State.RUNNING}) == ["to 1: kill s1 of 100"]


def test_a_stopped_job_that_never_arrived_is_not_sent_to_be_stopped(master: Ruled) -> None:
    name, _ = master.publish("m1")
    master.gone(1, "m1")
    master.stop(name)
    assert master.meet(3, "m1") == ["to 3: kill s1 of 100"]
    assert quiet(master, 30) == ["to 3: kill s1 of 100"]
    assert master.stopped(3, "m1", name, "cancelled") == [
        "event stop s1 on m1: cancelled", "save 100 m1=killed", "save no stop s1 for m1", "event 100 m1=killed",
        "save done 100 killed=1", "event done 100 killed=1"]


def test_cancelled_after_the_end_is_only_an_answer(master: Ruled) -> None:
    name, _ = master.publish("m1,m2", "list")
    master.stop(name, minions=["m1"])
    master.say(1, "m1", returned(name))
    assert master.stopped(1, "m1", name, "cancelled") == []
    assert master.core.ledger.jobs[name].pairs[MinionId("m1")].state is State.SUCCEEDED


def test_what_was_not_sent_is_killed_by_the_master_alone(master: Ruled) -> None:
    master.hello(3, "m3")
    name, _ = master.publish("m3")
    assert master.stop(name, "signal") == ({"m3": "not started"}, [])
    assert master.stop(name) == ({"m3": "cancelled"}, ["save 100 m3=killed", "event 100 m3=killed",
                                                       "save done 100 killed=1", "event done 100 killed=1"])


def test_each_pair_is_told_apart(master: Ruled) -> None:
    name, _ = master.publish("m1,m2,m3", "list")
    master.say(1, "m1", returned(name))
    master.gone(2, "m2")
    assert master.stop(name)[0] == {"m1": "terminal:succeeded", "m2": "kept", "m3": "terminal:undelivered"}
    assert master.stop(name, "signal")[0]["m2"] == "not connected"  # a signal is for this moment


def test_a_stop_for_somebody_else_changes_nothing(master: Ruled) -> None:
    master.hello(3, "m3")
    name, _ = master.publish("m1,m3", "list")
    with pytest.raises(NotFoundError, match=r"^job .* does not target m2$"):
        master.stop(name, minions=["m3", "m2"])
    assert master.core.ledger.jobs[name].pairs[MinionId("m3")].state is State.PLANNED
    with pytest.raises(NotFoundError, match=r"^job .* is not open$"):
        master.stop(jid(1))
    assert master.stop(name, minions=["m3", "m3"])[0] == {"m3": "cancelled"}
