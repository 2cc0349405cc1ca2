"""The agent's side of the connection: when it connects, greets, enrols, pings, gives up and tries again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from common.host.job import Now
from common.ids import MinionId
from common.link import Closed, Key
from common.messages import Ack, Enrol, Enrolled, Ping, Pong, Publish, Welcome
from common.messages import Stop as StopMessage
from common.states import State
from master.fleet import AGAIN_SECONDS
from minion.core import effects as do
from minion.core.agent import BACKOFF_FIRST, BACKOFF_MOST, GREETING, JITTER, Agent, Identity, Stage
from minion.core.keychain import Keychain
from minion.core.pulse import GONE, QUIET
from tests.lib.cores import FIELDS, Driven
from tests.lib.stored import NOON, jid
from tests.lib.told import told


class Line:
    """An agent, with a host of jobs below it and nothing real around it."""

    def __init__(self, chance: float = 0.5) -> None:
        self.jobs = Driven()
        self.chance = chance
        identity = Identity(version="1", boot_id="b", start=3, facts=Raw(b"\x80"),
                            claim=Enrol(id=MinionId("m1"), version="1"))
        self.agent = Agent(identity, self.jobs.host, lambda: self.chance,
                           Keychain(Key("old"), None, [Key("m1")]))

    def after(self, seconds: float) -> list[str]:
        self.jobs.time += seconds
        return told(self.agent.tick(self.jobs.now))

    def opened(self) -> list[str]:
        return told(self.agent.opened(self.jobs.now))

    def closed(self, why: Closed) -> list[str]:
        return told(self.agent.closed(why, self.jobs.now))

    def hear(self, message: Any) -> list[str]:
        return told(self.agent.received(message, self.jobs.now))

    def wait(self) -> float:
        """Seconds until the agent wants to be woken."""
        return self.agent.next() - self.jobs.time

    def welcome(self, ahead: float = 0.0) -> list[str]:
        """The master answers; its clock is `ahead` of this host's wall clock."""
        return self.hear(Welcome(master="us", time=self.jobs.master_now + ahead, return_limit=1000))

    def online(self) -> Line:
        """Connect, as far as Welcome."""
        self.after(0)
        self.opened()
        self.welcome()
        return self


def test_it_connects_and_greets() -> None:
    line = Line()
    assert line.agent.stage is Stage.IDLE
    assert line.after(0) == ["open line"]
    assert line.opened() == ["line: hello 1"]
    assert line.welcome() == ["say held nothing"]
    assert (line.agent.stage, line.agent.why) == (Stage.ONLINE, "")


def test_each_connection_has_its_own_number() -> None:
    line = Line().online()
    line.closed(Closed.LOST)
    assert line.after(BACKOFF_FIRST) == ["open line"]
    assert line.opened() == ["line: hello 2"]


@pytest.mark.parametrize("stage", ["connecting", "greeting"])
def test_nobody_answers(stage: str) -> None:
    line = Line()
    line.after(0)
    if stage == "greeting":
        line.opened()
    assert line.after(GREETING - 0.1) == []
    assert line.after(0.2) == ["close line: no answer"]
    assert line.agent.why == "the master does not answer"


# keeping alive


def test_silence_is_broken_by_a_ping() -> None:
    line = Line().online()
    assert line.wait() == QUIET
    assert line.after(QUIET) == ["line: ping 1"]
    assert line.hear(Pong(n=1, time=line.jobs.master_now)) == []
    assert line.after(QUIET) == ["line: ping 2"]


def test_a_line_on_which_both_speak_is_not_pinged() -> None:
    line = Line().online()
    for _ in range(4):
        line.jobs.time += 10
        line.hear(Ack(jid=jid(1)))
        line.agent.pulse.said(line.jobs.now.boot)
        assert line.after(0) == []
    assert 0 < line.wait() <= QUIET


def test_a_busy_line_is_pinged_once_a_minute_to_tell_how_the_host_does() -> None:
    line = Line().online()
    pings = []
    for _ in range(13):
        line.jobs.time += 10
        line.hear(Ack(jid=jid(1)))
        line.agent.pulse.said(line.jobs.now.boot)
        pings += line.after(0)
    assert pings == ["line: ping 1", "line: ping 2"]


def test_the_clocks_are_compared_with_every_answer() -> None:
    line = Line()
    line.after(0)
    line.opened()
    assert line.agent.burden(line.jobs.now).clock_offset is None
    line.jobs.time += 2
    line.hear(Welcome(master="us", time=line.jobs.master_now + 99, return_limit=1000))
    load = line.agent.burden(line.jobs.now)
    assert load.clock_offset == pytest.approx(-100)  # the answer was one second old, as far as anybody can tell
    assert load.uncertain == pytest.approx(1)
    (ping,) = line.agent.tick(Now(boot=line.jobs.time + QUIET, wall=line.jobs.now.wall + QUIET + 5))
    assert isinstance(ping, do.SendLine)
    assert isinstance(ping.message, Ping)
    assert ping.message.load is not None
    assert ping.message.load.clock_offset == pytest.approx(-95)  # somebody has set this host's clock


def test_who_only_listens_says_that_it_lives() -> None:
    line = Line().online()
    line.jobs.time += 14
    line.hear(Ack(jid=jid(1)))
    assert line.after(1) == ["line: ping 1"]


def test_a_silent_master_is_gone_after_three_periods() -> None:
    line = Line().online()
    assert line.after(QUIET) == ["line: ping 1"]
    assert line.after(QUIET) == ["line: ping 2"]
    assert line.after(GONE - 2 * QUIET) == ["close line: silent"]
    assert line.agent.why == "the master fell silent"
    assert line.after(BACKOFF_FIRST) == ["open line"]  # a fresh socket


def test_a_stalled_agent_does_not_take_its_own_sleep_for_an_answer() -> None:
    line = Line().online()
    assert line.after(3600) == ["close line: silent"]


def test_the_master_asks_whether_the_line_lives() -> None:
    assert Line().online().hear(Ping(n=7)) == ["line: pong 7"]


# trying again


def test_the_waits_grow_to_a_limit_with_jitter() -> None:
    line = Line(chance=0.5)  # the middle: a factor of one
    waits = []
    for _ in range(9):
        line.after(line.wait())
        line.closed(Closed.FAILED)
        waits.append(line.wait())
    assert waits == [0.5, 1, 2, 4, 8, 16, BACKOFF_MOST, BACKOFF_MOST, BACKOFF_MOST]
    for chance, wait in ((0.0, 10.0), (0.999, 29.98)):
        line.chance = chance
        line.after(line.wait())
        line.closed(Closed.LOST)
        assert line.wait() == pytest.approx(wait)


def test_a_fleet_that_comes_up_waits_longer_than_its_minions_may() -> None:
    """One try may be under way when the master comes back, and the one after it must be waited for."""
    assert AGAIN_SECONDS >= BACKOFF_MOST * (1 + JITTER) + 2 * GREETING


def test_a_welcome_makes_the_next_wait_short_again() -> None:
    line = Line()
    for _ in range(5):
        line.after(line.wait())
        line.closed(Closed.FAILED)
    line.after(line.wait())
    line.opened()
    line.welcome()
    line.closed(Closed.LOST)
    assert line.wait() == BACKOFF_FIRST
    assert line.agent.why == "the connection broke"


# enrolling


def test_an_unknown_key_enrols_and_comes_back() -> None:
    line = Line()
    line.after(0)
    assert line.closed(Closed.REFUSED) == ["open enrolment"]
    assert line.opened() == ["line: claim m1"]
    assert line.hear(Enrolled(status="accepted")) == ["close line: enrolled", "open line"]
    assert line.opened() == ["line: hello 1"]


def test_a_key_that_waits_asks_again_and_again() -> None:
    line = Line()
    line.after(0)
    line.closed(Closed.REFUSED)
    waits = []
    for _ in range(6):
        line.opened()
        assert line.hear(Enrolled(status="pending")) == ["close line: claimed"]
        waits.append(line.wait())
        assert line.after(line.wait()) == ["open enrolment"]
    assert waits == [2, 4, 8, 16, 20, 20]  # accepted by hand, it is there half a minute later
    assert line.agent.why == "this key waits to be accepted: jr-key accept, on the master"
    line.opened()
    assert line.hear(Enrolled(status="accepted"))[-1] == "open line"


def test_a_refused_claim_says_why_and_is_tried_again() -> None:
    line = Line()
    line.after(0)
    line.closed(Closed.REFUSED)
    line.opened()
    line.hear(Enrolled(status="refused", reason="this key was rejected"))
    assert line.agent.why == "enrolment refused: this key was rejected"
    assert line.after(line.wait()) == ["open enrolment"]


@pytest.mark.parametrize(("why", "words"), [(Closed.REFUSED, "refused"), (Closed.FAILED, "the master does not answer")])
def test_an_enrolment_port_that_does_not_answer(why: Closed, words: str) -> None:
    line = Line()
    line.after(0)
    line.closed(Closed.REFUSED)
    assert line.closed(why) == []
    assert line.agent.why == words
    assert line.after(line.wait()) == ["open enrolment"]
    assert line.after(GREETING) == ["close line: no answer"]


def test_a_key_that_is_rejected_while_online_enrols() -> None:
    line = Line().online()
    assert line.closed(Closed.REFUSED) == ["open enrolment"]
    assert line.agent.stage is Stage.ENROLLING
    assert line.agent.why == "the master does not know this key; enrolling"


# what comes at the wrong time


def test_words_out_of_turn_are_dropped() -> None:
    line = Line()
    line.after(0)
    line.opened()
    assert line.hear(Ack(jid=jid(1))) == []
    assert line.hear(Ping(n=1)) == ["line: pong 1"]  # R-A13: the master asks who lives before its Welcome
    assert line.hear(Enrolled(status="accepted")) == []
    assert line.agent.stage is Stage.GREETING
    line.welcome()
    assert line.welcome() == []
    assert line.hear(Enrolled(status="accepted")) == []
    assert line.agent.stage is Stage.ONLINE


# jobs go through


def test_jobs_go_to_the_host_and_their_words_back() -> None:
    line = Line().online()
    publish = Publish(jid=jid(1), job=FIELDS, start_by=line.jobs.master_now + 60)
    assert line.hear(publish) == ["claim 1", "record 1 accepted", "say accepted 1", "start 1"]
    stop = StopMessage(stop="s1", jid=jid(1), how="kill", signal=9, grace=1.0, by="ann", start_by=publish.start_by)
    assert line.hear(stop) == ["save stop s1 of 1", "wake 1", "say stop s1 of 1: stopping"]
    assert line.jobs.ended(1, State.KILLED) == ["say return 1"]
    assert line.hear(Ack(jid=jid(1))) == ["forget 1"]


def test_a_lost_connection_repeats_what_is_unacknowledged() -> None:
    line = Line().online()
    line.jobs.publish(1)
    line.jobs.ended(1)
    line.closed(Closed.LOST)
    assert line.after(BACKOFF_FIRST) == ["open line"]  # nothing is said to nobody
    line.opened()
    assert line.welcome() == ["say held 1=succeeded", "say return 1"]


def test_the_agent_wakes_for_its_host_too() -> None:
    line = Line().online()
    line.jobs.publish(1, within=5)
    line.jobs.ended(1)
    line.after(QUIET)
    line.hear(Pong(n=1))
    assert line.after(QUIET) == ["say return 1", "line: ping 2"]


# master time


def test_master_time_is_an_upper_bound() -> None:  # DESIGN 5, rule 6
    line = Line()
    assert line.agent.time.latest(line.jobs.now) == line.jobs.now.wall
    line.after(0)
    line.opened()
    line.jobs.time += 4  # the answer takes its time: it may have been written at once
    line.hear(Welcome(master="us", time=NOON + 5000, return_limit=1))
    assert line.agent.time.latest(line.jobs.now) == NOON + 5004
    assert line.after(QUIET - 4) == ["line: ping 1"]
    line.jobs.time += 1
    line.hear(Pong(n=1, time=NOON + 6000))
    assert line.agent.time.latest(line.jobs.now) == NOON + 6001


def test_an_answer_to_an_older_question_does_not_set_the_time() -> None:
    line = Line().online()
    before = line.agent.time.latest(line.jobs.now) - line.jobs.time
    line.after(QUIET)
    line.after(QUIET)
    line.hear(Pong(n=1, time=NOON))
    line.hear(Pong(n=99, time=NOON))
    assert line.agent.time.latest(line.jobs.now) - line.jobs.time == before


# who it is


def greeting(known_as: str | None = None, start: int = 0) -> Welcome:
    return Welcome(master="us", time=NOON, return_limit=1000, start=start,
                   known_as=None if known_as is None else MinionId(known_as))


def test_a_minion_that_the_master_knows_by_another_id_does_no_work() -> None:
    line = Line()
    line.after(0)
    line.opened()
    why = ("the master knows this key as m2, and the settings say m1: no work is done; set `id: m2`, or remove "
           "pki/minion.key and enrol as m1")
    assert line.hear(greeting("m2")) == ["close line: wrong id", f"complain: {why}"]
    assert (line.agent.stage, line.agent.why) == (Stage.IDLE, why)
    assert line.hear(Publish(jid=jid(1), job=FIELDS, start_by=NOON + 60)) == []
    assert line.wait() >= BACKOFF_MOST / 2
    assert line.after(BACKOFF_MOST) == ["open line"]  # somebody may have put it right on the master
    line.opened()
    assert line.hear(greeting("m1")) == ["say held nothing"]


def test_a_copy_of_the_state_goes_on_where_its_key_has_been() -> None:
    line = Line()
    line.after(0)
    line.opened()
    assert line.hear(greeting("m1", start=7)) == ["catch up to 7", "say held nothing"]
    same = Line()
    same.after(0)
    same.opened()
    assert same.hear(greeting("m1", start=3)) == ["say held nothing"]
