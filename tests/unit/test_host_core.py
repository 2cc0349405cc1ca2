"""The life of jobs on one host: what is claimed, recorded, started, answered and ended."""

from __future__ import annotations

import pytest
from msgspec import Raw, structs

from common.codec import pack
from common.errors import JrError
from common.host import effects as do
from common.host.claims import KEPT, Kept
from common.host.core import HELD_LIMIT, START_TRIES, Host
from common.host.job import Limits, Now
from common.ids import MinionId, mint
from common.messages import Accepted, Ack, Publish, Refused
from common.proc.record import StopRequest, encode_record, fields_of
from common.states import State
from tests.lib.cores import FIELDS, Driven, Table, record, returned
from tests.lib.stored import NOON, jid
from tests.lib.told import told

ACCEPTED = ["claim 1", "record 1 accepted", "say accepted 1", "start 1"]


# one job


def test_the_life_of_a_job() -> None:
    host = Driven()
    host.welcomed()
    assert host.publish(1) == ACCEPTED  # the claim first, and nothing is said before the record is durable
    assert host.started(1) == ["say started 1 pid 4711"]
    assert host.host.held.states() == {jid(1): State.RUNNING}
    assert host.ended(1) == ["say return 1"]
    assert host.host.held.record(jid(1)) is None
    assert host.ack(1) == ["forget 1"]
    assert host.host.held.states() == {}
    assert host.host.held.seen(jid(1))


def test_the_record_says_all_that_a_supervisor_needs() -> None:
    host = Driven(boot="this-boot")
    effects = host.host.publish(Publish(jid=jid(1), job=FIELDS, start_by=host.master_now + 60), host.now,
                                host.master_now)
    saved = next(effect.record for effect in effects if isinstance(effect, do.SaveRecord))
    assert (saved.deadline_boot_id, saved.deadline, saved.start_by) == ("this-boot", 1060.0, NOON + 1060)
    assert (saved.function, saved.args, saved.user, saved.accepted) == ("cmd.run", ["true"], "ann", NOON + 1000)
    assert (saved.supervisor, saved.pid, saved.started) == (None, None, None)
    claim = next(effect for effect in effects if isinstance(effect, do.Claim))
    assert claim.until >= saved.deadline + 3600


# P2: at most once


def test_a_repeated_publish_is_answered_from_what_is_held() -> None:
    host = Driven(max_jobs=1)
    host.welcomed()
    host.publish(1)
    assert host.publish(1) == ["say accepted 1"]
    host.started(1)
    assert host.publish(1) == ["say accepted 1", "say started 1 pid 4711"]
    host.publish(2)
    assert host.publish(2) == ["say queued 2"]
    host.ended(1)
    assert host.publish(1) == ["say return 1"]


def test_a_jid_that_was_claimed_starts_nothing() -> None:
    host = Driven()
    host.load(claims={jid(1): Kept(9000.0)})
    assert host.publish(1) == ["say refused 1: the minion has seen it before and holds it no more"]
    host.publish(2)
    host.ended(2)
    host.welcomed()
    host.ack(2)
    assert host.publish(2) == ["say refused 2: the minion has seen it before and holds it no more"]


def test_a_claim_is_kept_an_hour_past_the_deadline_and_as_long_as_the_job_is_held() -> None:
    host = Driven()
    host.welcomed()
    host.publish(1, within=300)
    host.publish(2, within=300)
    host.ended(1)
    host.ack(1)
    assert "drop claim 1" not in host.after(300 + KEPT - 1)
    assert host.host.held.next() == 1000 + 300 + KEPT
    assert host.after(1) == ["drop claim 1"]
    assert not host.host.held.seen(jid(1))
    assert host.host.held.seen(jid(2))
    host.ended(2)
    host.ack(2)
    assert host.after(KEPT) == ["drop claim 2"]


def test_what_only_reads_leaves_no_trace_and_is_not_called_twice() -> None:
    host = Driven()
    host.welcomed()
    assert host.publish(1, "test.ping") == ["call 1"]
    assert host.publish(1, "test.ping") == []  # it is under way
    assert told(host.host.called(returned(jid(1)), host.now)) == ["say return 1 succeeded"]
    assert host.publish(1, "test.ping") == ["say return 1 succeeded"]  # it is held until the ack
    assert host.ack(1) == []
    assert not host.host.held.seen(jid(1))


def test_inline_work_that_changes_something_is_recorded_and_spooled() -> None:
    host = Driven()
    host.welcomed()
    assert host.publish(1, "schedule.add") == ["claim 1", "record 1 running", "say accepted 1", "call 1"]
    assert told(host.host.called(returned(jid(1)), host.now)) == ["spool 1 succeeded", "say return 1"]
    assert told(host.host.called(returned(jid(1)), host.now)) == []
    assert told(host.host.called(returned(jid(7)), host.now)) == []


# deadlines and refusals


@pytest.mark.parametrize("within", [0.0, -1.0, -86400.0])
def test_nothing_starts_past_its_deadline(within: float) -> None:
    host = Driven()
    assert host.publish(1, within=within) == ["say refused 1: its time to start had passed when it came"]
    assert not host.host.held.seen(jid(1))


def test_what_cannot_be_called_is_refused_with_one_clear_line() -> None:
    host = Driven()
    assert host.publish(1, "no.such") == ["say refused 1: cannot run no.such: no such function"]
    assert host.host.held.states() == {}
    assert not host.host.held.seen(jid(1))


def test_a_refusal_is_final_though_what_stood_in_the_way_is_gone() -> None:
    """The master may have that word already, and what is sent again may be under way. P4"""
    host = Driven(max_jobs=1)
    host.load(idle=[record(jid(number), State.QUEUED) for number in range(HELD_LIMIT)])
    full = host.publish(90_000)
    host.ended(0)
    assert host.publish(90_000) == full
    assert host.publish(90_001)[-1] == "say queued 90001"

    host = Driven()
    unknown = host.publish(1, "no.such")
    assert host.publish(1) == unknown  # the module was loaded meanwhile
    late = host.publish(2, within=-1.0)
    assert host.publish(2, within=1.0) == late  # master time is known better now
    assert host.after(KEPT) == []  # there is no claim to drop
    assert host.after(300.0) == []
    assert host.host.held.next() is None


def test_a_job_for_an_earlier_start_of_the_agent_is_not_taken() -> None:
    """That one may have refused it, on a disk with no room for a note of it. P4"""
    host = Host(Limits(boot_id="boot", start=7), Table())
    now = Now(boot=1.0, wall=NOON)
    for start, taken in ((6, False), (8, False), (7, True)):
        effects = host.publish(Publish(jid=jid(1), job=FIELDS, start_by=NOON + 300, start=start), now, NOON)
        assert told(effects) == (ACCEPTED if taken else [])
    older = host.publish(Publish(jid=jid(2), job=FIELDS, start_by=NOON - 1), now, NOON)  # a master that does not say
    assert told(older) == ["say refused 2: its time to start had passed when it came"]
    assert [effect.message.start for effect in older if isinstance(effect, do.Send)] == [7]  # type: ignore[union-attr]


def test_a_flood_ends_in_clear_refusals() -> None:
    host = Driven(max_jobs=1)
    host.load(idle=[record(jid(number), State.QUEUED) for number in range(HELD_LIMIT)])
    assert host.publish(90_000) == [f"say refused 90000: cannot take another job: {HELD_LIMIT} are open already"]


def test_returns_that_wait_for_the_master_refuse_nothing() -> None:
    host = Driven()
    host.load(spooled={jid(number): State.FAILED for number in range(HELD_LIMIT)})
    assert host.publish(1_000_000)[-1] == "start 1000000"


def test_whoever_waits_here_is_told_of_every_end() -> None:
    """A run of a schedule that is cancelled while it waits must not hold up the next one."""
    host = Driven(max_jobs=1)
    host.publish(1)
    host.publish(2)
    asked = StopRequest(stop="s", how="kill", signal=9, grace=1.0, by="ann", at=0.0)
    _, effects = host.host.ask_stop(jid(2), asked, host.now)
    assert [(effect.message.jid, effect.message.state) for effect in effects if isinstance(effect, do.Ended)] == [
        (jid(2), State.KILLED)]


def test_a_return_that_was_damaged_is_lost_and_said_so() -> None:
    host = Driven()
    host.load(spooled={jid(1): State.SUCCEEDED})
    effects = host.host.damaged(jid(1), host.now, "the return was damaged")
    assert told(effects) == ["spool 1 lost"]
    assert host.host.held.states() == {jid(1): State.LOST}


# jobs that begin here


def test_a_job_that_begins_here_says_what_it_is() -> None:
    host = Driven()
    own = jid(1, "m1")
    effects = host.host.begin(own, FIELDS, 60, host.now)
    assert told(effects) == ["claim 1@", "record 1@ accepted", "say accepted 1@ with its job", "start 1@"]
    accepted = next(effect.message for effect in effects if isinstance(effect, do.Send))
    assert isinstance(accepted, Accepted)
    assert accepted.job == FIELDS
    with pytest.raises(JrError, match=r"^cannot start .*: it was started already$"):
        host.host.begin(own, FIELDS, 60, host.now)
    with pytest.raises(JrError, match=r"^cannot run no\.such"):
        host.host.begin(jid(2, "m1"), structs.replace(FIELDS, function="no.such"), 60, host.now)


def test_what_began_while_the_master_was_away_is_told_when_it_is_back() -> None:  # S08
    host = Driven()
    host.host.begin(jid(1, "m1"), FIELDS, 60, host.now)
    host.publish(2)
    host.started(2, pid=22)
    assert host.welcomed() == ["say accepted 1@ with its job", "say accepted 2", "say started 2 pid 22",
                               "say held 1@=accepted 2=running"]


# the queue


def test_max_jobs_run_and_the_rest_wait_in_order() -> None:  # S20
    host = Driven(max_jobs=2)
    for number in range(1, 7):
        host.publish(number)
    assert host.host.held.figures() == {"held": 6, "running": 0, "queued": 4, "unacked": 0}
    assert host.ended(2)[-1:] == ["start 3"]
    assert host.ended(1) == ["start 4"]
    assert host.stop(5) == ["spool 5 killed", "say stop s1 of 5: cancelled"]
    assert host.ended(3) == ["start 6"]
    assert host.ended(6) == []


def test_inline_work_takes_no_place() -> None:
    host = Driven(max_jobs=1)
    host.publish(1, "schedule.add")
    assert host.publish(2)[-1] == "start 2"


def test_a_queued_job_expires_where_it_waits() -> None:
    host = Driven(max_jobs=1)
    host.welcomed()
    host.publish(1)
    host.publish(2, within=100)
    host.publish(3, within=900)
    assert host.host.held.next() == 1100
    assert host.after(99) == []
    assert host.after(1) == ["spool 2 lost", "say return 2"]
    assert host.ended(1) == ["say return 1", "start 3"]
    assert "spool 3 lost" not in host.after(900)  # it has started


# words of the executor that come late or twice


def test_late_words_about_a_job_change_nothing() -> None:
    host = Driven()
    host.publish(1)
    host.ended(1)
    assert host.started(1) == []
    assert host.ended(1) == []
    assert told(host.host.vanished(jid(1), host.now, "gone")) == []
    assert host.started(7) == host.ended(7) == told(host.host.vanished(jid(7), host.now, "gone")) == []


def test_a_supervisor_that_started_nothing_is_tried_again_and_then_given_up() -> None:
    host = Driven()
    host.publish(1)
    for _ in range(START_TRIES - 1):
        assert told(host.host.vanished(jid(1), host.now, "no memory")) == ["start 1"]
    effects = host.host.vanished(jid(1), host.now, "no memory")
    assert told(effects) == ["spool 1 lost"]
    lost = effects[0]
    assert isinstance(lost, do.Spool)
    assert lost.message.evidence.reason == "could not be started: no memory"
    assert lost.message.retcode is None  # P5: nobody saw an end


def test_it_is_not_tried_again_past_its_deadline() -> None:
    host = Driven()
    host.publish(1, within=10)
    host.time += 10
    assert told(host.host.vanished(jid(1), host.now, "no memory")) == ["spool 1 lost"]


# the connection


def test_an_ack_moves_the_return_out_of_the_spool_once() -> None:
    host = Driven()
    host.welcomed()
    host.publish(1)
    assert host.ack(1) == []  # nothing was returned yet
    host.ended(1)
    assert host.ack(1, refused="not yours") == ["quarantine 1: not yours"]
    assert host.ack(1, refused="not yours") == []
    assert host.ack(7) == []


def test_the_return_of_a_run_stays_until_the_schedule_has_noted_its_end_too() -> None:  # R-B31
    """Whoever dies between the ack and the note finds the return where it was, and what follows from it follows."""
    host = Driven(followed=True)
    host.welcomed()
    run, other = mint(NOON, None, MinionId("m1")), mint(NOON + 1, None, MinionId("m1"))
    host.host.begin(run, structs.replace(FIELDS, schedule="tick"), 300.0, host.now)
    host.host.begin(other, FIELDS, 300.0, host.now)
    for one in (run, other):
        host.host.ended(one, State.FAILED, host.now)
    assert host.host.ack(Ack(jid=other), host.now) == [do.Forget(other)], "no run, and no schedule waits for it"
    assert host.host.ack(Ack(jid=run), host.now) == []
    assert host.host.held.states() == {run: State.FAILED}
    assert host.host.noted([run]) == [do.Forget(run)]
    assert host.host.held.states() == {}
    assert host.host.noted([run, other]) == []


def test_a_return_of_a_run_that_a_start_finds_waits_for_the_schedule_whatever_the_master_says() -> None:  # R-B31
    host = Driven(followed=True)
    run, told = mint(NOON, None, MinionId("m1")), mint(NOON + 1, None, MinionId("m1"))
    host.load(spooled={run: State.SUCCEEDED, told: State.SUCCEEDED, jid(1): State.SUCCEEDED})
    host.welcomed()
    assert host.host.noted([told]) == [], "the journal had it, the master has not"
    assert host.host.ack(Ack(jid=told), host.now) == [do.Forget(told)]
    assert host.ack(1) == ["forget 1"], "a job of the master"
    assert host.host.ack(Ack(jid=run, refused="not yours"), host.now) == []
    assert host.host.held.states() == {run: State.SUCCEEDED}
    assert host.host.noted([run]) == [do.Quarantine(run, "not yours")]


def test_all_that_is_held_is_said_in_pages_and_then_sent_again() -> None:
    host = Driven()
    assert host.welcomed() == ["say held nothing"]
    host.host.disconnected()
    host.load(spooled={jid(number): State.SUCCEEDED for number in range(1, 4001)})
    said = host.welcomed()
    assert [line.count("=") for line in said[:2]] == [2000, 2000]
    assert [line.endswith(", more follows") for line in said[:2]] == [True, False]
    assert said[2:4] == ["say return 1", "say return 2"]
    assert len(said) == 2 + 200  # a window's worth: the rest follows the acks
    assert host.ack(1) == ["forget 1", "say return 201"]


def test_unanswered_returns_are_sent_again() -> None:
    host = Driven()
    host.welcomed()
    host.publish(1)
    host.ended(1)
    assert host.after(29) == []
    assert host.after(1) == ["say return 1"]
    host.host.disconnected()
    assert host.after(30) == []
    assert host.welcomed() == ["say held 1=succeeded", "say return 1"]


# what the disk held


def test_after_a_restart_of_the_agent_all_is_taken_over() -> None:  # P6
    host = Driven()
    effects = host.load(claims={jid(number): Kept(5000.0) for number in range(1, 5)},
                        adopted=[record(jid(1), State.RUNNING, pid=11, started=NOON)],
                        idle=[record(jid(3), accepted=NOON + 2), record(jid(2), accepted=NOON + 1)],
                        spooled={jid(4): State.FAILED})
    assert effects == ["start 2", "start 3"]  # in order of arrival
    assert host.publish(1) == ["say accepted 1", "say started 1 pid 11"]
    assert host.welcomed()[-2:] == ["say held 4=failed 1=running 2=accepted 3=accepted", "say return 4"]
    assert host.ended(1) == ["say return 1"]


def test_the_queue_survives_a_restart() -> None:  # S20
    host = Driven(max_jobs=1)
    queued = [record(jid(number), State.QUEUED, accepted=NOON + number) for number in (3, 2)]
    assert host.load(adopted=[record(jid(1), State.RUNNING)], idle=queued) == []
    assert host.host.held.states() == {jid(1): State.RUNNING, jid(2): State.QUEUED, jid(3): State.QUEUED}
    assert host.ended(1) == ["start 2"]
    assert host.ended(2) == ["start 3"]


def test_what_was_too_late_when_the_agent_came_back_is_lost() -> None:
    host = Driven()
    assert host.load(idle=[record(jid(1), deadline=1000.0)]) == ["spool 1 lost"]


def test_inline_work_that_an_agent_left_is_lost() -> None:
    host = Driven()
    effects = host.host.load({}, [], [record(jid(1), State.RUNNING, inline=True)], {}, host.now)
    assert told(effects) == ["spool 1 lost"]
    lost = effects[0]
    assert isinstance(lost, do.Spool)
    assert lost.message.job.args == Raw(FIELDS.args)
    assert lost.message.evidence.reason == "the agent ended while it ran"


def test_after_a_reboot_a_job_waits_for_the_masters_time() -> None:
    host = Driven(boot="second")
    host.time = 20.0  # the boot clock began anew: the old deadlines mean nothing
    on_time = record(jid(1), boot="first", deadline=100.0)
    late = record(jid(2), boot="first", deadline=10.0)
    assert host.load(idle=[on_time, late]) == []
    assert host.publish(1) == ["say accepted 1"]
    assert host.welcomed() == ["record 1 accepted", "start 1", "record 2 accepted", "spool 2 lost",
                               "say held 1=accepted 2=lost", "say return 2"]
    renewed = host.host.held.record(jid(1))
    assert renewed is not None
    assert (renewed.deadline_boot_id, renewed.deadline) == ("second", 100.0)
    assert host.welcomed() == ["say held 1=accepted 2=lost", "say return 2"]  # once


def test_after_a_reboot_a_job_that_began_here_goes_by_this_hosts_clock() -> None:
    host = Driven(boot="second")
    host.time = 20.0
    on_time = record(jid(1, "m1"), boot="first", deadline=100.0)
    late = record(jid(2, "m1"), boot="first", deadline=10.0)
    assert host.load(idle=[on_time, late]) == ["record 1@ accepted", "start 1@", "record 2@ accepted", "spool 2@ lost"]
    renewed = host.host.held.record(on_time.jid)
    assert renewed is not None
    assert (renewed.deadline_boot_id, renewed.deadline) == ("second", 100.0)
    ahead = host.master_now + 3600  # the master's clock is another: it set neither deadline
    assert "start 1@" not in told(host.host.welcomed(host.now, ahead))


def test_after_a_restart_what_was_started_goes_before_what_waited_though_the_clock_stepped_back() -> None:  # S20
    host = Driven(max_jobs=1)
    waited = record(jid(2), State.QUEUED, accepted=NOON - 3600)
    assert host.load(idle=[waited, record(jid(1), accepted=NOON)]) == ["start 1"]
    assert host.host.held.states()[jid(2)] is State.QUEUED


def test_secrets_are_durable_before_the_record_and_stay_out_of_it() -> None:  # R-A23
    host = Driven(max_jobs=1)
    message = Publish(jid=jid(1), start_by=host.master_now + 9, job=FIELDS, secrets=Raw(pack({"password": "canary"})))
    effects = host.host.publish(message, host.now, host.master_now)
    assert told(effects) == ["secrets 1", *ACCEPTED]
    record = host.host.held.record(jid(1))
    assert record is not None
    assert (record.sealed, b"canary" in encode_record(record)) == (True, False)


def test_a_function_inside_the_agent_gets_its_secrets_by_hand() -> None:  # R-A23
    host = Driven()
    job = structs.replace(FIELDS, function="schedule.add")
    message = Publish(jid=jid(1), start_by=host.master_now + 9, job=job, secrets=Raw(pack({"password": "canary"})))
    effects = host.host.publish(message, host.now, host.master_now)
    assert told(effects)[-1] == "call 1"
    assert "secrets 1" not in told(effects)
    assert b"canary" in effects[-1].sealed  # type: ignore[union-attr]


def test_a_job_whose_secrets_a_restored_master_has_not_is_refused() -> None:  # R-A23, R-B29
    host = Driven()
    job = structs.replace(FIELDS, kwargs=Raw(pack({"stdin": "***"})))
    message = Publish(jid=jid(1), start_by=host.master_now + 9, job=job, secrets=Raw(b"\xc0"))
    (line,) = told(host.host.publish(message, host.now, host.master_now))
    assert line.startswith("say refused 1: cannot run the job: its secrets are gone")


def test_a_refusal_is_cut_to_what_a_message_may_hold() -> None:
    class Long:
        def plan(self, fields: object, secrets: object) -> None:
            raise JrError("x" * 10_000)

    host = Driven()
    host.host._planner = Long()  # type: ignore[assignment]
    (effect,) = host.host.publish(Publish(jid=jid(1), job=FIELDS, start_by=host.master_now + 1), host.now,
                                  host.master_now)
    assert isinstance(effect, do.Send)
    assert isinstance(effect.message, Refused)
    assert len(effect.message.reason) == 4000


def test_a_jobs_own_word_on_what_it_leaves_behind_beats_the_settings() -> None:  # DESIGN 8
    for asked, settings, holds in (("kill", "leave", "kill"), ("leave", "kill", "leave"), (None, "kill", "kill")):
        host = Host(Limits(boot_id="boot", left_behind=settings), Table())  # type: ignore[arg-type]
        fields = structs.replace(FIELDS, left_behind=asked)
        effects = host.publish(Publish(jid=jid(1), job=fields, start_by=NOON + 300), Now(boot=1.0, wall=NOON), NOON)
        (saved,) = [effect.record for effect in effects if isinstance(effect, do.SaveRecord)]
        assert (saved.left_behind, fields_of(saved)) == (holds, fields)
