"""Stopping a job on its host, in every state it may be in: four truthful, distinct answers. # S03"""

from __future__ import annotations

from typing import Any

import pytest

from common.host import effects as do
from common.host.claims import KEPT
from common.host.core import ENDS_KEPT, STOPS_LIMIT
from common.messages import Stopped
from common.states import State
from tests.lib.cores import Driven, record, returned
from tests.lib.stored import NOON, jid
from tests.lib.told import told


@pytest.fixture
def host() -> Driven:
    """A host of one job at a time: 1 runs, 2 is queued, 3 has ended; it is connected."""
    driven = Driven(max_jobs=1)
    driven.welcomed()
    driven.publish(3)
    driven.ended(3)
    driven.publish(1)
    driven.started(1)
    driven.publish(2)
    return driven


def answer(host: Driven, number: int, outcome: Any, stop: str = "s1") -> list[str]:
    """The supervisor says what it did about a signal."""
    return told(host.host.stop_result(Stopped(stop=stop, jid=jid(number), outcome=outcome, signalled=1)))


@pytest.mark.parametrize("how", ["term", "kill"])
def test_a_running_job(host: Driven, how: str) -> None:
    assert host.stop(1, how) == ["save stop s1 of 1", "wake 1", "say stop s1 of 1: stopping"]
    assert host.stop(1, how) == ["say stop s1 of 1: stopping"]  # answered, and not repeated
    assert host.stop(1, how, stop="s2") == ["save stop s2 of 1", "wake 1", "say stop s2 of 1: stopping"]
    assert host.host.held.states()[jid(1)] is State.RUNNING  # only its supervisor may say that it is killed


@pytest.mark.parametrize("how", ["term", "kill"])
def test_a_queued_job(host: Driven, how: str) -> None:
    effects = host.stop(2, how)
    assert effects == ["spool 2 killed", "say return 2", "say stop s1 of 2: cancelled"]
    assert host.stop(2, how) == ["say return 2", "say stop s1 of 2: ended"]
    assert "start 2" not in host.ended(1)


def test_a_job_that_has_ended_says_its_return_again(host: Driven) -> None:
    assert host.stop(3) == ["say return 3", "say stop s1 of 3: ended"]
    assert host.stop(3, "signal", "s2") == ["say return 3", "say stop s2 of 3: ended"]
    host.ack(3)
    assert host.stop(3) == ["say stop s1 of 3: ended"]


def test_a_job_that_was_never_seen_will_never_start(host: Driven) -> None:
    assert host.stop(9) == ["claim 9", "say stop s1 of 9: cancelled"]
    assert host.publish(9) == ["say refused 9: the minion has seen it before and holds it no more"]
    assert host.stop(9) == ["say stop s1 of 9: cancelled"], "the first answer may have been lost"
    assert host.host.held.states().get(jid(9)) is None


def test_such_a_claim_is_kept_as_long_as_the_job_could_come() -> None:
    host = Driven()
    host.stop(9, within=7200)
    host.stop(8, within=-500)
    assert "drop claim 8" in host.after(KEPT)
    assert host.after(7199) == []
    assert host.after(1) == ["drop claim 9"]


def test_a_signal_to_a_running_job_is_answered_by_its_supervisor(host: Driven) -> None:
    assert host.stop(1, "signal") == ["save stop s1 of 1", "wake 1"]
    assert host.stop(1, "signal") == []  # the supervisor has not answered yet
    assert answer(host, 1, "signalled") == ["say stop s1 of 1: signalled"]
    assert host.stop(1, "signal") == ["say stop s1 of 1: signalled"]  # the answer was lost: said again, done once


def test_an_answer_to_a_request_of_this_host_is_passed_on(host: Driven) -> None:
    assert answer(host, 1, "failed", stop="unknown") == ["say stop unknown of 1: failed"]
    assert answer(host, 9, "failed") == ["say stop s1 of 9: failed"]


@pytest.mark.parametrize("number", [2, 9])
def test_a_signal_is_for_a_process_that_runs(host: Driven, number: int) -> None:
    before = host.host.held.states()
    assert host.stop(number, "signal") == [f"say stop s1 of {number}: failed"]
    assert host.host.held.states() == before
    assert host.host.held.seen(jid(number)) is (number == 2)


def test_a_job_that_is_about_to_start_finds_its_stop(host: Driven) -> None:
    host.ended(1)  # 2 is handed to the spawner, and has not started
    assert host.stop(2) == ["save stop s1 of 2", "wake 2", "say stop s1 of 2: stopping"]
    assert host.ended(2, State.KILLED) == ["say return 2"]


def test_inline_work_cannot_be_stopped_and_says_so() -> None:
    host = Driven()
    host.publish(1, "schedule.add")
    assert host.stop(1) == ["say stop s1 of 1: failed"]
    assert host.stop(1, "signal") == ["say stop s1 of 1: failed"]


def test_what_only_reads_is_not_called_cancelled_while_it_runs() -> None:  # P5
    host = Driven()
    host.publish(1, "test.ping")
    assert host.stop(1) == ["say stop s1 of 1: failed"]
    host.host.called(returned(jid(1)), host.now)
    assert host.stop(1) == ["say stop s1 of 1: ended"]
    assert not host.host.held.seen(jid(1))


def test_an_adopted_job_is_stopped_like_one_of_ones_own() -> None:
    host = Driven()
    host.load(adopted=[record(jid(1), State.RUNNING)])
    assert host.stop(1) == ["save stop s1 of 1", "wake 1", "say stop s1 of 1: stopping"]


def test_the_evidence_of_a_cancelled_job_names_who_and_when(host: Driven) -> None:  # S06
    outcome, effects = host.host.ask_stop(jid(2), host.request(), host.now)
    assert outcome == "cancelled"
    spooled = effects[0]
    assert isinstance(spooled, do.Spool)
    evidence = spooled.message.evidence
    assert (evidence.by, evidence.asked, evidence.asked_signal) == ("ann", NOON + 1000, 9)
    assert evidence.reason == "stopped before it started"
    assert spooled.message.started is None


def test_requests_are_bounded(host: Driven) -> None:
    for number in range(STOPS_LIMIT - ENDS_KEPT):
        assert host.stop(1, "signal", stop=f"s{number}") == [f"save stop s{number} of 1", "wake 1"]
    assert host.stop(1, "signal", stop="more") == ["say stop more of 1: failed"]
    assert host.stop(1, "kill", stop="k0")[-1] == "say stop k0 of 1: stopping"  # no number of signals uses up the kill
    for number in range(1, ENDS_KEPT):
        host.stop(1, "kill", stop=f"k{number}")
    assert host.stop(1, "kill", stop="more") == ["say stop more of 1: failed"]


@pytest.mark.parametrize(("number", "outcome"), [(1, "stopping"), (2, "cancelled"), (3, "ended"), (9, "unknown")])
def test_whoever_asks_on_this_host_gets_the_same_truth(host: Driven, number: int, outcome: str) -> None:
    assert host.host.ask_stop(jid(number), host.request(), host.now)[0] == outcome
