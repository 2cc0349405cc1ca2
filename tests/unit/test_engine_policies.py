"""What the engine does with runs that are due: overlap, catch-up, deadlines, splay, retries, windows, limits."""

from __future__ import annotations

import itertools

import pytest

from common.schedule.engine import policy, splay
from common.schedule.model import Check, Follow
from common.schedule.times.periods import Period
from common.states import State
from tests.lib.driven import DAY, HOUR, HOURLY, T0, UTC, Host, entry

TEN = {"cron": "*/10 * * * *"}


# overlap

def test_a_run_that_is_due_while_another_goes_on_is_skipped():
    """P17, F31."""
    host = Host(entry(**TEN), job_seconds=700.0)
    host.pass_time(HOUR)
    assert [verdict for _, verdict in host.told()] == ["ran", "skipped_overlap"] * 3
    assert host.shown()["last_skipped"] == T0 + HOUR


def test_a_queued_run_begins_as_the_other_ends():
    """F31: late, but not forgotten, also over a restart."""
    host = Host(entry(overlap="queue", **TEN), job_seconds=None)
    host.pass_time(1300)
    assert host.told() == [(600.0, "ran")]
    host.start()
    host.pass_time(1000)
    host.end()
    assert host.told() == [(600.0, "ran"), (1200.0, "late")]
    host.end()
    host.end()
    assert host.told()[2:] == [(1800.0, "late")]
    assert not host.running


def test_a_queued_run_whose_deadline_passes_is_missed():
    """F31: it runs, or is reported missed; nobody has to ask."""
    host = Host(entry(overlap="queue", start_deadline=HOUR, **HOURLY), job_seconds=None)
    host.pass_time(3 * HOUR + 10)
    assert host.told() == [(HOUR, "ran"), (2 * HOUR, "missed")]
    assert host.journal[-1].reason == "its start deadline passed"


def test_a_queue_has_a_bound():
    """What does not fit is skipped, and says why."""
    host = Host(entry(overlap="queue", cron="* * * * *"), job_seconds=None)
    host.pass_time(60.0 * (policy.QUEUE_LIMIT + 3))
    assert host.told()[1:] == [(60.0 * (policy.QUEUE_LIMIT + 2), "skipped_overlap"),
                               (60.0 * (policy.QUEUE_LIMIT + 3), "skipped_overlap")]
    assert str(policy.QUEUE_LIMIT) in host.journal[-1].reason


def test_a_newer_run_takes_the_place_of_the_older_one():
    """Overlap kill: the newer one begins once the older one ended, which is no failure."""
    host = Host(entry("e", overlap="kill", retries=3, pause_after_failures=1, on_failure=(Follow(entry="f"),), **TEN),
                entry("f"), job_seconds=None)
    host.pass_time(1200)
    assert host.kills == [host.begun[0].jid]
    assert len(host.begun) == 1
    host.pass_time(650)
    assert len(host.kills) == 1, "it is asked once"
    assert host.told()[1:] == [(1200.0, "skipped_overlap")], "and only the newest waits"
    host.end(state=State.KILLED)
    assert host.told()[2:] == [(1800.0, "late")]
    assert host.shown()["failures"] == 0
    assert not host.told("f")


def test_so_many_at_once_as_are_allowed():
    """F31: three at once, never four."""
    host = Host(entry(overlap="allow", allow=3, **TEN), job_seconds=None)
    host.pass_time(2400)
    assert [verdict for _, verdict in host.told()] == ["ran"] * 3 + ["skipped_overlap"]


# catch-up and deadline

@pytest.mark.parametrize(("which", "expected"), [
    ("none", [(HOUR, "missed", 5)]),
    ("last", [(HOUR, "missed", 4), (5 * HOUR, "caught_up", 1)]),
    ("all", [(HOUR, "missed", 2), (3 * HOUR, "caught_up", 1), (4 * HOUR, "caught_up", 1), (5 * HOUR, "caught_up", 1)]),
])
def test_what_is_made_up_for(which: str, expected: list[tuple[float, str, int]]):
    """P24: with a window of three hours; those of `all` run one after the other, however the entry overlaps."""
    host = Host(entry(catch_up=which, catch_up_window=3 * HOUR, **HOURLY), job_seconds=100.0)
    host.away(5.5 * HOUR)
    host.pass_time(300)
    assert [(one.planned - T0, one.verdict, one.count) for one in host.journal] == expected


def test_nothing_older_than_the_window_is_made_up_for():
    """P24, and a run of half a minute ago needs no making up."""
    host = Host(entry(catch_up_window=600.0, **HOURLY))
    host.away(HOUR + 900)
    assert host.told() == [(HOUR, "missed")]
    host = Host(entry(catch_up="none", **HOURLY))
    host.stall(HOUR + 30)
    assert host.told() == [(HOUR, "late")]


def test_runs_that_are_made_up_for_survive_a_restart_in_the_middle():
    """P24, S25: each of them once."""
    host = Host(entry(catch_up="all", catch_up_window=DAY, **HOURLY), job_seconds=None)
    host.away(3.5 * HOUR)
    host.start()
    host.end()
    host.start()
    host.end()
    host.end()
    assert host.told() == [(HOUR, "caught_up"), (2 * HOUR, "caught_up"), (3 * HOUR, "caught_up")]


def test_a_start_deadline_cuts_whatever_is_made_up_for():
    """However long the window is."""
    host = Host(entry(catch_up_window=DAY, start_deadline=600.0, **HOURLY))
    host.away(HOUR + 700)
    host.away(HOUR - 200)
    assert host.told() == [(HOUR, "missed"), (2 * HOUR, "caught_up")]


def test_a_long_stretch_without_a_grid_is_counted_to_a_thousand():
    """What a year of cron was is told by its first and last time; the count is the least it was."""
    host = Host(entry(cron="*/10 * * * *"))
    host.away(365 * DAY)
    assert [one.count for one in host.journal] == [1000, 1]
    assert host.journal[0].last == T0 + 365 * DAY - 600


# splay

def test_splay_is_stable_and_adds_nothing_to_the_period():
    """S24: each host at its own time, the same one each time."""
    for fields in ({"cron": "*/10 * * * *"}, {"every": 600.0}, {"every": 600.0, "base": "end"}):
        host = Host(entry(splay=300.0, **fields), who="web7")
        host.pass_time(HOUR)
        offset = splay.offset("web7", "e", 300.0)
        begun = [one.at - T0 for one in host.begun]
        assert begun == pytest.approx([600.0 * number + offset for number in range(1, len(begun) + 1)])
        assert 0 < offset < 300
        assert {one.verdict for one in host.begun} == {"ran"}


def test_splay_spreads_a_fleet_evenly():
    """S24: each tenth of the splay has its tenth of 1,000 hosts, give or take four standard deviations."""
    tenths = [int(splay.offset(f"web{number}", "e", 300.0) / 30.0) for number in range(1000)]
    assert all(62 <= tenths.count(tenth) <= 138 for tenth in range(10))
    assert splay.offset("web1", "a", 300.0) != splay.offset("web1", "b", 300.0)


def test_splay_longer_than_the_period():
    """S24: the runs are shifted, and none is lost."""
    host = Host(entry(cron="*/10 * * * *", splay=1800.0), who="web5")
    host.pass_time(2 * HOUR)
    assert [one.planned - T0 for one in host.begun] == [600.0 * number for number in range(1, len(host.begun) + 1)]
    assert len(host.begun) >= 9


# retries

def test_retries_wait_longer_each_time_and_are_occurrences_of_their_own():
    """F17: three attempts with delays that double; only the last failure counts."""
    host = Host(entry(retries=2, retry_delay=10.0, retry_backoff=2.0, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    for delay in (10.0, 20.0):
        host.end(state=State.FAILED)
        assert host.shown()["failures"] == 0
        host.pass_time(delay)
    host.end(state=State.TIMED_OUT)
    assert [(one.attempt, one.cause, one.at - T0 - HOUR) for one in host.begun] == [
        (0, "plan", 0.0), (1, "retry", 10.0), (2, "retry", 30.0)]
    assert len({one.planned for one in host.begun}) == 1
    assert host.shown()["failures"] == 1


def test_a_retry_survives_a_restart_and_success_ends_it():
    """S25."""
    host = Host(entry(retries=5, retry_delay=60.0, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.end(state=State.LOST)
    host.away(10)
    host.away(10)
    host.pass_time(40)
    host.end()
    host.pass_time(1000)
    assert [one.attempt for one in host.begun] == [0, 1]


def test_no_retry_of_what_somebody_killed():
    """Whoever killed it meant it."""
    host = Host(entry(retries=5, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.end(state=State.KILLED)
    host.pass_time(HOUR - 1)
    assert len(host.begun) == 1


def test_delays_grow_up_to_a_bound():
    """Also where the arithmetic ends."""
    assert policy.retry_after(entry(retry_delay=1.0, retry_backoff=10.0), 500) == policy.LONGEST_DELAY
    assert policy.retry_after(entry(retry_delay=3.0), 7) == 3.0


def test_a_run_that_cannot_begin_is_a_verdict_and_a_failure():
    """The same key and jid; and it is tried again."""
    host = Host(entry(retries=1, retry_delay=5.0, max_runs=1, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    jid = host.begun[0].jid
    assert jid is not None
    del host.running[jid]
    host.do(host.engine.failed(host.begun[0].key, "no such function", host.now))
    assert [(one.verdict, one.jid, one.reason) for one in host.journal[1:]] == [
        ("failed_to_start", jid, "no such function")]
    host.pass_time(5.0)
    assert [one.attempt for one in host.begun] == [0, 1]
    assert host.do(host.engine.failed(host.begun[0].key, "again", host.now)) == []


# should_run

def test_should_run_says_no():
    """P12: skipped, shown as such, no job, and the next one is asked again."""
    host = Host(entry(should_run=Check(function="test.ping"), **HOURLY))
    host.answer = lambda key: key.planned != T0 + HOUR
    host.pass_time(2 * HOUR)
    assert host.told() == [(HOUR, "skipped_should_run"), (2 * HOUR, "ran")]


def test_an_answer_that_takes_its_time():
    """P12, S25: nothing of the entry begins meanwhile; a restart asks again; an answer to nothing is no error."""
    host = Host(entry(should_run=Check(function="test.ping"), **TEN))
    host.answer = lambda key: None
    host.pass_time(1200)
    assert host.told() == [(1200.0, "skipped_overlap")]
    key = host.asks[0]
    host.start()
    assert host.asks == [key, key]
    host.do(host.engine.answered(key, True, host.now))
    assert host.told()[1:] == [(600.0, "caught_up")]
    assert host.do(host.engine.answered(key, True, host.now)) == []


@pytest.mark.parametrize(("hours", "catch_up", "verdict"), [
    (0.5, "last", "caught_up"), (0.5, "none", "missed"), (20, "last", "missed"), (20, "none", "missed")])
def test_a_question_that_the_end_of_the_daemon_cut_short_is_asked_again_as_catch_up_allows(hours, catch_up, verdict):
    """P12, F10."""
    host = Host(entry(at=("03:00",), should_run=Check(function="test.ping"), catch_up=catch_up))
    host.answer = lambda key: None
    host.pass_time(3 * HOUR + 1)
    host.answer = lambda key: True
    host.away(hours * HOUR)
    assert [one.verdict for one in host.journal] == [verdict]
    assert len(host.begun) == (verdict == "caught_up")


def test_an_answer_that_comes_after_the_run_was_given_up():
    """P12: it has its verdict, and only that one."""
    host = Host(entry(should_run=Check(function="test.ping"), overlap="kill", **TEN))
    host.answer = lambda key: None
    host.pass_time(1200)
    assert host.told() == [(600.0, "skipped_overlap")], "a newer run takes the place of one that is being asked"
    host.do(host.engine.answered(host.asks[0], True, host.now))
    assert not host.begun
    host.load(entry(should_run=Check(function="test.ping"), enabled=False, **TEN))
    for key in host.asks:
        host.do(host.engine.answered(key, True, host.now))
    assert host.told()[1:] == [(1200.0, "skipped_paused")]
    assert not host.begun


# windows

def test_outside_a_window_wall_clock_runs_are_skipped_one_by_one():
    """I19, I21: in the zone of the period."""
    periods = {"morning": Period({"monday": "03:00-06:00"}, UTC), "break": Period({"monday": "04:00-05:00"}, UTC)}
    host = Host(entry(during=("morning",), excepting=("break",), **HOURLY), periods=periods)
    host.pass_time(7 * HOUR)
    assert host.told() == [(HOUR, "skipped_window"), (2 * HOUR, "skipped_window"), (3 * HOUR, "ran"),
                           (4 * HOUR, "skipped_window"), (5 * HOUR, "ran"), (6 * HOUR, "skipped_window"),
                           (7 * HOUR, "skipped_window")]


def test_after_an_absence_windows_are_told_from_what_was_missed():
    """S25: and nothing is made up for outside of them."""
    periods = {"morning": Period({"day 1 - 31": "03:00-06:00"}, UTC)}
    host = Host(entry(during=("morning",), catch_up_window=DAY, every=HOUR, base="grid"), periods=periods)
    host.away(5.5 * HOUR)
    assert [(one.planned - T0, one.verdict, one.count) for one in host.journal] == [
        (HOUR, "skipped_window", 2), (3 * HOUR, "missed", 2), (5 * HOUR, "caught_up", 1)]
    host.away(3 * HOUR)
    assert host.told()[3:] == [(6 * HOUR, "skipped_window")]
    host.away(100 * DAY)
    assert len(host.journal) < 30
    assert sum(one.count for one in host.journal) == 100 * 24 + 8


def test_a_period_that_is_not_there_lets_nothing_run():
    """I19."""
    host = Host(entry(during=("nights",), **HOURLY))
    host.pass_time(HOUR)
    assert host.told() == [(HOUR, "skipped_window")]


# limits

def test_after_so_many_runs_it_is_finished():
    """S24 maxrunning, F12: retries and runs by hand do not count; resume counts anew."""
    host = Host(entry(max_runs=2, **HOURLY))
    host.pass_time(HOUR)
    host.do(host.engine.run("e", "ann", host.now))
    host.pass_time(5 * HOUR)
    assert [one.cause for one in host.begun] == ["plan", "by_hand", "plan"]
    assert (host.shown()["status"], host.shown()["next"]) == ("finished", None)
    host.away(DAY)
    assert len(host.journal) == 3
    assert host.engine.wait(host.now) is None, "P26: idle"
    host.do(host.engine.resume("e", host.now))
    host.pass_time(HOUR)
    assert len(host.begun) == 4


def test_failures_in_a_row_pause_it():
    """P20 for schedules: each planned run then is skipped until somebody resumes it, also over a restart."""
    host = Host(entry(pause_after_failures=2, **HOURLY), job_seconds=None)
    for state in (State.FAILED, State.SUCCEEDED, State.FAILED, State.FAILED):
        host.pass_time(HOUR)
        host.end(state=state)
    assert host.shown()["status"] == "paused"
    host.start()
    host.pass_time(HOUR)
    assert host.told()[-1] == (5 * HOUR, "skipped_paused")
    assert host.journal[-1].reason == "2 runs in a row failed"
    host.do(host.engine.resume("e", host.now))
    host.pass_time(HOUR)
    assert host.told()[-1] == (6 * HOUR, "ran")


def test_continuous_that_is_paused_says_so_once():
    """P20: it has no planned times that pass."""
    host = Host(entry(continuous=True, pause_after_failures=1), job_seconds=None)
    host.end(state=State.FAILED)
    host.pass_time(HOUR)
    assert len(host.journal) == 1
    host.do(host.engine.resume("e", host.now))
    host.pass_time(1.0)
    assert len(host.begun) == 2


def test_run_on_start():
    """F07, S24: at each start of the daemon and when the entry is new; an entry without a trigger just so."""
    host = Host(entry(run_on_start=True), entry("cron", run_on_start=True, **HOURLY))
    assert [one.cause for one in host.begun] == ["run_on_start"] * 2
    host.away(5.0)
    assert len(host.begun) == 4
    assert host.shown()["status"] == "manual"
    host.load(*host.entries.values())
    assert len(host.begun) == 4


# followers

def test_what_follows_begins_a_second_after_its_last_start_however_it_is_led_to():
    """Rings are refused where entries come from; an engine that is given one does no more than a run a second."""
    host = Host(entry("a", then=(Follow(entry="b"), Follow(entry="b"))), entry("b", then=(Follow(entry="a"),)))
    host.do(host.engine.run("a", "ann", host.now))
    host.pass_time(20)
    for name in ("a", "b"):
        starts = [one.at for one in host.begun if one.schedule == name]
        assert len(starts) > 10
        assert min(late - early for early, late in itertools.pairwise(starts)) >= 1.0
