"""What people do to entries: run, skip, postpone, hold and release them; and entries that follow one another."""

from __future__ import annotations

from datetime import UTC

import pytest
from msgspec import structs

from common.errors import NotFoundError, UsageError
from common.schedule.engine import verbs
from common.schedule.entries.calendars import read_periods
from common.schedule.model import Check, Follow
from common.states import State
from tests.lib.driven import DAY, HOUR, HOURLY, T0, Host, entry

# by hand

def test_what_is_pending_runs_once_and_the_hold_goes_on():
    """I05, P23: also what is asked first; what is not due is left alone."""
    check = Check(function="test.ping")
    host = Host(entry(**HOURLY), entry("asks", should_run=check, **HOURLY), entry("queue", overlap="queue", **HOURLY),
                entry("daily", cron="0 12 * * *"))
    host.answer = lambda key: None
    host.do(host.engine.hold("ann", host.now))
    hold = host.engine.held
    host.pass_time(HOUR + 60)
    assert host.begun == []
    host.do(host.engine.run_pending(host.now))
    assert [one.schedule for one in host.begun] == ["e", "queue"]
    assert host.engine.held == hold
    [asked] = host.asks
    host.do(host.engine.answered(asked, True, host.now))
    assert [one.schedule for one in host.begun] == ["e", "queue", "asks"]
    host.do(host.engine.run_pending(host.now))
    assert len(host.begun) == 3
    host.pass_time(HOUR)
    assert len(host.begun) == 3
    host.do(host.engine.release(host.now, "drop"))
    assert len(host.begun) == 3
    host.do(host.engine.run_pending(host.now))
    assert (len(host.begun), host.engine.held) == (3, None)


def test_a_run_let_through_a_hold_is_not_replaced_while_it_is_asked():
    """I05: the next planned run comes due before `should_run` has answered."""
    host = Host(entry(should_run=Check(function="test.ping"), **HOURLY))
    host.answer = lambda key: None
    host.do(host.engine.hold("ann", host.now))
    host.pass_time(HOUR)
    host.do(host.engine.run_pending(host.now))
    [asked] = host.asks
    host.pass_time(HOUR)
    host.do(host.engine.answered(asked, True, host.now))
    assert [(one.planned, one.verdict) for one in host.begun] == [(T0 + HOUR, "late")]
    host.do(host.engine.release(host.now, "drop"))
    assert len(host.ledger) == 2


def test_a_run_by_hand_disturbs_no_plan():
    """S24 run_job: it is an occurrence of its own, also twice in one moment and at a planned time."""
    host = Host(entry(**HOURLY), job_seconds=0.0)
    for _ in range(3):
        host.do(host.engine.run("e", "ann", host.now))
    host.pass_time(HOUR)
    host.do(host.engine.run("e", "ann", host.now))
    assert [(one.cause, one.by) for one in host.begun] == [("by_hand", "ann")] * 3 + [("plan", ""), ("by_hand", "ann")]
    assert len(host.ledger) == 5
    assert host.shown()["next"] == T0 + 2 * HOUR


def test_a_run_by_hand_is_never_silently_lost():
    """P09, I24: on what is disabled, paused or held it is refused in words, or runs by force."""
    host = Host(entry(enabled=False, **HOURLY))
    with pytest.raises(UsageError, match="it is disabled"):
        host.engine.run("e", "ann", host.now)
    host.do(host.engine.run("e", "ann", host.now, force=True))
    host.load(entry(**HOURLY))
    host.do(host.engine.hold("bob", host.now))
    with pytest.raises(UsageError, match="held by bob"):
        host.engine.run("e", "ann", host.now)
    host.do(host.engine.run("e", "ann", host.now, force=True))
    assert [one.verdict for one in host.journal] == ["ran", "ran"]
    with pytest.raises(NotFoundError, match="'nothing'"):
        host.engine.run("nothing", "ann", host.now)


def test_a_run_by_hand_while_one_goes_on_follows_the_overlap():
    """F23: ignored and said so, or queued."""
    host = Host(entry(**HOURLY), entry("queue", overlap="queue", **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    for name in ("e", "queue"):
        host.do(host.engine.run(name, "ann", host.now))
    assert [one.verdict for one in host.journal if one.cause == "by_hand"] == ["skipped_overlap"]
    host.end(host.begun[1].jid)
    assert host.begun[-1].cause == "by_hand"
    assert len(host.running) == 2


def test_skip_a_run():
    """S24 skip_job: the verdict is there at once, and nothing else of the plan changes."""
    host = Host(entry(**HOURLY))
    host.do(host.engine.skip("e", None, host.now))
    host.do(host.engine.skip("e", T0 + 3 * HOUR, host.now))
    host.start()
    assert host.engine.upcoming("e", 2, host.now) == [T0 + 2 * HOUR, T0 + 4 * HOUR]
    host.pass_time(4 * HOUR)
    assert host.told() == [(HOUR, "skipped_paused"), (3 * HOUR, "skipped_paused"), (2 * HOUR, "ran"), (4 * HOUR, "ran")]
    for planned in (T0 + 100, T0 + HOUR, T0):
        with pytest.raises(UsageError, match="nothing is planned at that time"):
            host.engine.skip("e", planned, host.now)


def test_skips_have_a_bound(monkeypatch: pytest.MonkeyPatch):
    """All of them stand in the journal at each change of the entry."""
    monkeypatch.setattr(verbs, "CHANGED_LIMIT", 5)
    host = Host(entry(every=60.0, base="grid"))
    for _ in range(verbs.CHANGED_LIMIT):
        host.do(host.engine.skip("e", None, host.now))
    with pytest.raises(UsageError, match="disable it instead"):
        host.engine.skip("e", None, host.now)


def test_postpone_a_run():
    """S24 postpone_job: it keeps its planned time and runs at the other, also over restarts; again, if asked."""
    host = Host(entry(**HOURLY))
    host.do(host.engine.postpone("e", None, T0 + 1.5 * HOUR, host.now))
    host.start()
    assert host.engine.upcoming("e", 3, host.now) == [T0 + 1.5 * HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR]
    host.do(host.engine.postpone("e", T0 + HOUR, T0 + 1.75 * HOUR, host.now))
    host.pass_time(3 * HOUR)
    assert [(one.planned - T0, one.at - T0, one.verdict) for one in host.begun] == [
        (HOUR, 1.75 * HOUR, "ran"), (2 * HOUR, 2 * HOUR, "ran"), (3 * HOUR, 3 * HOUR, "ran")]
    with pytest.raises(UsageError, match="the new time is past"):
        host.engine.postpone("e", None, T0, host.now)


def test_a_postponed_run_that_nobody_was_there_for():
    """S25: the same rules as for planned times."""
    host = Host(entry("last", **HOURLY), entry("none", catch_up="none", **HOURLY))
    for name in ("last", "none"):
        host.do(host.engine.postpone(name, None, T0 + HOUR + 600, host.now))
    host.away(HOUR + 1200)
    assert host.told("last") == [(HOUR, "caught_up")]
    assert host.told("none") == [(HOUR, "missed")]


# hold

def test_hold_all_and_release():
    """P23: what came due runs at the release, of each entry the last one; the others are skipped."""
    host = Host(entry(**HOURLY), entry("interval", every=HOUR), entry("continuous", continuous=True))
    host.do(host.engine.hold("ann", host.now))
    host.pass_time(3.5 * HOUR)
    host.away(60.0)
    assert len(host.begun) == 1, "the continuous one, before"
    assert host.shown()["status"] == "held"
    host.do(host.engine.release(host.now, "run"))
    for name in ("e", "interval"):
        assert host.told(name) == [(HOUR, "skipped_paused"), (2 * HOUR, "skipped_paused"), (3 * HOUR, "late")]
    assert len(host.told("continuous")) == 2
    host.pass_time(1740)
    assert host.told()[-1] == (4 * HOUR, "ran")
    assert host.do(host.engine.release(host.now, "run")) == []


def test_hold_all_and_drop():
    """P23, I04: truly postponed, as if all had just run; the queue is cleared, retries too."""
    host = Host(entry(retries=1, retry_delay=60.0, **HOURLY), entry("start", every=HOUR),
                entry("end", every=HOUR, base="end"), job_seconds=None)
    host.pass_time(HOUR)
    for jid in list(host.running):
        host.end(jid, State.FAILED)
    host.do(host.engine.hold("ann", host.now))
    host.pass_time(1.5 * HOUR)
    host.do(host.engine.release(host.now, "drop"))
    assert not host.running
    assert {one.verdict for one in host.journal[3:]} == {"skipped_paused"}
    assert [host.shown(name)["next"] - T0 for name in ("e", "start", "end")] == [3 * HOUR, 3.5 * HOUR, 3.5 * HOUR]


def test_a_hold_takes_effect_before_the_next_job():
    """P23: also for what is being asked whether it should run."""
    from common.schedule.model import Check

    host = Host(entry(should_run=Check(function="test.ping"), **HOURLY))
    host.answer = lambda key: None
    host.pass_time(HOUR)
    host.do(host.engine.hold("ann", host.now))
    host.do(host.engine.answered(host.asks[0], True, host.now))
    assert not host.journal
    host.answer = lambda key: True
    host.pass_time(60)
    host.do(host.engine.release(host.now, "run"))
    assert host.told() == [(HOUR, "late")]


def test_nothing_to_do_is_no_trouble():
    """P05, P26: no entries, only disabled ones, only manual ones: it idles."""
    for entries in ([], [entry(enabled=False, **HOURLY)], [entry()]):
        host = Host(*entries)
        assert host.engine.wait(host.now) is None
        host.stall(DAY)
        assert host.journal == []
    host.do(host.engine.run("e", "ann", host.now))
    assert host.told() == [(DAY, "ran")]


# what follows

def test_entries_follow_a_success_and_a_failure():
    """P16, I23, P10: with a delay, once, and after a success only what is for successes."""
    host = Host(entry("a", then=(Follow(entry="b"), Follow(entry="c", delay=60.0)), on_failure=(Follow(entry="d"),),
                      **HOURLY), entry("b"), entry("c"), entry("d"), job_seconds=None)
    host.pass_time(HOUR)
    host.end()
    assert [(one.schedule, one.cause, one.by) for one in host.begun] == [("a", "plan", ""), ("b", "then", "a")]
    host.away(30.0)
    host.pass_time(30.0)
    assert [one.schedule for one in host.begun] == ["a", "b", "c"]
    assert host.begun[-1].verdict == "ran"
    for jid in list(host.running):
        host.end(jid)
    host.pass_time(HOUR - 60)
    host.end(state=State.FAILED)
    assert [(one.schedule, one.cause) for one in host.begun[3:]] == [("a", "plan"), ("d", "on_failure")]


def test_nothing_follows_a_skip_or_an_attempt_that_is_tried_again():
    """P16."""
    host = Host(entry("a", then=(Follow(entry="b"),), on_failure=(Follow(entry="b"),), retries=1, retry_delay=10.0,
                      **HOURLY), entry("b"), job_seconds=None)
    host.do(host.engine.skip("a", None, host.now))
    host.pass_time(2 * HOUR)
    host.end(state=State.FAILED)
    assert [one.schedule for one in host.begun] == ["a"]
    host.pass_time(10.0)
    host.end(state=State.FAILED)
    assert [one.schedule for one in host.begun] == ["a", "a", "b"]


def test_what_follows_and_is_not_there_is_no_trouble_and_what_is_disabled_says_so():
    """P16."""
    host = Host(entry("a", then=(Follow(entry="b"), Follow(entry="ghost")), **HOURLY), entry("b", enabled=False))
    host.pass_time(HOUR)
    assert [(one.schedule, one.verdict) for one in host.journal] == [("a", "ran"), ("b", "skipped_paused")]


def test_an_entry_may_follow_itself():
    """P16: as a loop does, one after the other."""
    host = Host(entry(then=(Follow(entry="e", delay=10.0),)))
    host.do(host.engine.run("e", "ann", host.now))
    host.pass_time(35.0)
    assert [one.at - T0 for one in host.begun] == [0.0, 10.0, 20.0, 30.0]


def test_finished_and_started_again():
    """F20: enabling again counts from now."""
    host = Host(entry(once="2026-01-05T00:00:05"))
    host.pass_time(60)
    host.load(structs.replace(host.entries["e"], once="2026-01-05T00:10:00"))
    host.pass_time(600)
    assert host.told() == [(5.0, "ran"), (600.0, "ran")]


@pytest.mark.parametrize("days", ["monday", "february 29", "monday - sunday"])
def test_an_entry_that_no_window_ever_lets_run_is_shown_as_such(days):
    """The windows open again and again, and none of its times is in them: the calendar ends before the search would."""
    periods, _ = read_periods({"night": {days: "02:00-02:10"}}, UTC)
    host = Host(entry(cron="30 * * * *", during=("night",)), periods=periods)
    assert (host.shown()["next"], host.shown()["status"]) == (None, "scheduled")
    host.load(entry(cron="5 * * * *", during=("night",)))
    assert len(host.engine.upcoming("e", 20, host.now)) == 20
