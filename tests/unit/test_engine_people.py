"""What people do to entries: run, skip, postpone, hold, enable, edit, delete; and entries that follow one another."""

from __future__ import annotations

from collections import Counter
from datetime import UTC

import pytest
from msgspec import structs

from common.errors import NotFoundError, UsageError
from common.schedule.engine import verbs
from common.schedule.entries.calendars import read_periods
from common.schedule.model import Check, Follow, Key
from common.states import State
from tests.lib.driven import DAY, HOUR, T0, Host, entry

HOURLY = {"cron": "0 * * * *"}


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


# enabled, edits

def test_disabled_entries_plan_nothing_and_have_no_verdicts():
    """P08, I04, F21, F25: enabling plans anew from then, and what was meanwhile is nobody's."""
    host = Host(entry(**HOURLY))
    host.load(entry(enabled=False, **HOURLY))
    host.pass_time(3.5 * HOUR)
    assert (host.shown()["next"], host.shown()["status"]) == (None, "disabled")
    assert host.engine.wait(host.now) is None
    host.away(DAY)
    host.load(entry(**HOURLY))
    host.pass_time(HOUR)
    assert host.told() == [(DAY + 4 * HOUR, "ran")]


def test_disabled_while_it_runs():
    """F22: the run ends by itself with its true result, and nothing comes after it: no retry, no queue."""
    host = Host(entry(retries=2, retry_delay=0.0, overlap="queue", **HOURLY), job_seconds=None)
    host.pass_time(2 * HOUR)
    host.load(entry(retries=2, retry_delay=0.0, overlap="queue", enabled=False, **HOURLY))
    assert host.told()[1:] == [(2 * HOUR, "skipped_paused")]
    host.end(state=State.FAILED)
    host.pass_time(5 * HOUR)
    assert (len(host.begun), host.shown()["last_state"]) == (1, "failed")


def test_deleted_while_it_runs():
    """F25: the run ends as it ends; what waited has its verdict; the name is free, and one that comes back is new."""
    host = Host(entry(overlap="queue", **HOURLY), entry("other", **HOURLY), job_seconds=None)
    host.pass_time(2 * HOUR)
    host.load(host.entries["other"])
    assert host.told()[1:] == [(2 * HOUR, "skipped_paused")]
    assert "e" not in host.standings
    host.load(entry(**HOURLY), host.entries["other"])
    host.pass_time(HOUR)
    assert host.told()[2:] == [(3 * HOUR, "skipped_overlap")], "its old run still goes on"
    host.end(host.begun[0].jid)
    host.pass_time(HOUR)
    assert host.told()[-1] == (4 * HOUR, "ran")


def test_an_edit_that_changes_no_planned_time_keeps_everything():
    """F37, P25, I14: also an edit that was made while the daemon was down."""
    host = Host(entry(every=HOUR))
    host.pass_time(1800)
    host.load(entry(every=HOUR, timeout=5.0, retries=3))
    assert host.shown()["next"] == T0 + HOUR
    host.entries = {"e": entry(every=HOUR, splay=0.0, args=["x"])}
    host.away(600)
    assert host.shown()["next"] == T0 + HOUR
    host.pass_time(1200)
    assert host.told() == [(HOUR, "ran")]


@pytest.mark.parametrize(("fields", "reason"), [
    ({"cron": "15 * * * *"}, "its planned times were edited while nobody was there"),
    ({"every": 300.0}, "its planned times were edited while nobody was there"),
    ({**HOURLY, "enabled": False}, "its planned times were edited while nobody was there"),
    (None, "the entry was deleted while nobody was there")])
@pytest.mark.parametrize("old", [HOURLY, {"every": HOUR}, {"every": HOUR, "base": "end"}])
def test_an_edit_while_the_daemon_is_down_leaves_no_planned_time_without_its_verdict(old, fields, reason):
    """S25, R-B32: what came due meanwhile is judged by the entry as it was, and not made up for."""
    host = Host(entry(**old, catch_up="all", catch_up_window=DAY))
    host.pass_time(HOUR + 60)
    host.entries = {} if fields is None else {"e": entry(**fields)}
    host.away(3 * HOUR)
    # Of an interval that counts from the end of its runs only the next one is planned.
    missed = {(one.planned - T0, one.verdict, one.count, one.reason) for one in host.journal[1:]}
    assert missed == {(2 * HOUR, "missed", 1 if "base" in old else 3, reason)}
    host.start()
    assert len(host.journal) == 2
    assert ("e" in host.standings) == (fields is not None)


@pytest.mark.parametrize("fields", [{"run_on_start": True}, {}])
def test_a_time_that_came_while_the_daemon_was_down_has_its_verdict_whatever_else_waits(fields):
    """S25: of an interval that counts from the end of its runs too, beside its run on start or one that follows."""
    host = Host(entry(every=HOUR, base="end", catch_up_window=DAY, **fields),
                entry("first", cron="10 0 5 1 *", then=(Follow(entry="e", delay=DAY),)))
    host.pass_time(1000.0)
    host.away(2 * HOUR)
    came = [one for one in host.journal if one.schedule == "e" and one.cause == "plan"]
    assert [(round(one.planned - T0), one.verdict) for one in came] == [(HOUR, "caught_up")]


def test_an_edit_while_the_daemon_is_down_begins_what_waits_for_its_splay_and_ends_what_waits_for_a_deleted_entry():
    """S25: a time that has come and is not yet due is neither missed nor lost."""
    splayed = entry(**HOURLY, splay=HOUR)
    host = Host(splayed, entry("gone", retries=1, retry_delay=HOUR, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.end(state=State.FAILED)
    host.move(1.0)
    host.entries = {"e": entry(cron="15 5 * * *", splay=HOUR)}
    host.start()
    assert [(one.attempt, one.verdict, one.reason) for one in host.journal if one.schedule == "gone"] == [
        (0, "ran", ""), (1, "skipped_paused", "the entry was deleted")]
    host.pass_time(HOUR)
    assert host.told() == [(HOUR, "ran")]


def test_a_kept_plan_that_cannot_be_read_any_more_costs_its_own_verdicts_alone():
    """P12, P31: a journal of another version, or a time zone that is gone, never keeps a daemon from its entries."""
    host = Host(entry(**HOURLY), entry("other", **HOURLY))
    host.pass_time(HOUR + 60)
    host.standings["e"] = structs.replace(host.standings["e"], plan={"cron": "every full moon", "timezone": "No/Where"})
    host.entries["e"] = entry(cron="15 * * * *")
    host.away(2 * HOUR)
    assert host.shown()["next"] == T0 + 3 * HOUR + 900
    assert host.told("other")[1:] == [(2 * HOUR, "missed"), (3 * HOUR, "caught_up")]


def test_an_edit_of_the_times_moves_the_next_run_at_once():
    """F37, P07: and the other entries keep theirs."""
    host = Host(entry(every=HOUR), entry("other", every=HOUR))
    host.pass_time(1800)
    host.load(entry(every=600.0), host.entries["other"])
    assert (host.shown()["next"], host.shown("other")["next"]) == (T0 + 2400, T0 + HOUR)
    host.load(entry(**HOURLY), host.entries["other"])
    assert host.shown()["next"] == T0 + HOUR
    host.entries["e"] = entry(cron="30 * * * *")
    host.away(10)
    assert host.told() == []
    assert host.shown()["next"] == T0 + HOUR + 1800


@pytest.mark.parametrize(("edited", "verdict"), [
    ({"at": ("01:00", "05:00"), "splay": 600.0}, "ran"), ({"every": HOUR, "splay": 600.0}, "ran"),
    ({"at": ("01:00",), "splay": 600.0, "enabled": False}, "skipped_paused"), (None, "skipped_paused")])
def test_an_edit_loses_no_run_that_waits_for_its_splay(edited, verdict):
    host = Host(entry(at=("01:00",), splay=600.0))
    host.pass_time(HOUR + 1)
    assert host.told() == []
    host.load(*([] if edited is None else [entry(**edited)]))
    host.pass_time(900)
    assert [(one.planned, one.verdict) for one in host.journal] == [(T0 + HOUR, verdict)]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("between", [{"every": 900.0, "base": "end"}, {"every": 900.0}, {}, {"enabled": False}])
@pytest.mark.parametrize("by", [30.0, -30.0])
def test_a_time_moved_by_hand_keeps_its_name_while_the_entry_is_another_one(restart: bool, between, by: float):
    """S25, F20: postponed, turned into an interval, the clock set, turned back; a shifted time takes no other's place.
    """
    noon = entry(at=("12:00", "12:00:30", "11:59:30"))
    host = Host(noon, wall=T0 + 11 * HOUR)
    host.do(host.engine.postpone("e", T0 + 12 * HOUR, T0 + 13 * HOUR, host.now))
    for one in (entry(**{"at": noon.at, **between}) if "enabled" in between else entry(**between), noon):
        host.set_clock(by)
        host.tick()
        host.load(one)
        if restart:
            host.away(1.0)
    host.pass_time(3 * HOUR)
    told = [(round(planned - 12 * HOUR), verdict) for planned, verdict in host.told()]
    # Whoever disables an entry gives up what waits.
    rest = (0, "skipped_paused" if "enabled" in between else "ran")
    assert sorted(told) == [(-30, "ran"), rest, (30, "ran")]
    assert host.shown()["skips"] == []


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("verb", ["skip", "postpone"])
def test_no_run_of_an_interval_comes_to_the_name_of_one_that_was_skipped_or_moved(restart: bool, verb: str):
    """S24, P04: the clock goes forward by a multiple of the interval, and its next run to the time of another one."""
    host = Host(entry(every=300.0))
    if verb == "skip":
        host.do(host.engine.skip("e", T0 + 600.0, host.now))
    else:
        host.do(host.engine.postpone("e", T0 + 600.0, T0 + 2000.0, host.now))
    host.set_clock(300.0)
    host.tick()
    if restart:
        host.start()
    host.pass_time(1700.0)
    begun = [round(one.at - T0) for one in host.begun]
    assert begun == [600, 1200, 1500, 1800, *([2000] if verb == "postpone" else [])]


@pytest.mark.parametrize("restart", [False, True])
def test_no_edit_makes_a_planned_time_come_twice(restart: bool):
    """S25, P08, F20: not while the clock shows an hour again, not by disabling and enabling what has run."""
    host = Host(entry(**HOURLY), entry("once", once="2026-01-05T01:00:00"))
    host.pass_time(HOUR + 60)
    host.set_clock(-600.0)
    host.load(*(structs.replace(one, enabled=False) for one in host.entries.values()))
    if restart:
        host.start()
    host.load(entry(cron="*/30 * * * *"), entry("once", once="2026-01-05T01:00:00"))
    host.pass_time(HOUR)
    assert host.told() == [(HOUR, "ran"), (1.5 * HOUR, "ran")]
    assert host.told("once") == [(HOUR, "ran")]
    assert host.shown("once")["status"] == "finished"


def test_an_entry_that_comes_back_decides_nothing_twice():
    """S25: deleted, and added again by its name."""
    host = Host(entry(**HOURLY), entry("once", once="2026-01-05T01:00:00"), entry("hand"))
    host.pass_time(HOUR + 60)
    host.do(host.engine.run("hand", "ann", host.now))
    old = list(host.entries.values())
    host.load()
    assert not host.standings
    host.load(*old)
    host.do(host.engine.run("hand", "ann", host.now))
    host.set_clock(-HOUR)
    host.pass_time(2 * HOUR)
    assert host.told() == [(HOUR, "ran"), (2 * HOUR, "ran")]
    assert host.told("once") == [(HOUR, "ran")]
    assert len(host.told("hand")) == 2


@pytest.mark.parametrize("restarts", [0, 2])
def test_an_entry_that_cannot_be_used_for_a_while_keeps_all_it_had(restarts: int):
    """P12, I19: a slip in a file is no deletion. What came due meanwhile has its verdict, and is not made up for."""
    fields = {"max_runs": 3, "retries": 1, "retry_delay": 3.5 * HOUR}
    host = Host(entry(**HOURLY, **fields), entry("start", every=HOUR), entry("end", every=HOUR, base="end"))
    used = list(host.entries.values())
    host.job_seconds = None
    host.pass_time(HOUR)
    for jid in tuple(host.running):
        host.end(jid, State.FAILED)
    host.load(broken=["e", "start", "end"])
    for _ in range(restarts):
        host.away(HOUR)
    host.pass_time((3 - restarts) * HOUR + 600)
    assert (len(host.journal), {*host.standings}) == (3, {"e", "start", "end"})
    host.load(*used)
    assert host.told() == [(HOUR, "ran"), (2 * HOUR, "missed")]
    missed = host.ledger[Key("e", T0 + 2 * HOUR)]
    assert (missed.count, missed.last, missed.reason) == (3, T0 + 4 * HOUR, "the entry could not be used")
    assert (host.shown()["runs"], [one["attempt"] for one in host.shown()["waiting"]]) == (1, [1])
    assert host.told("start") == [(HOUR, "ran"), (2 * HOUR, "missed")]
    assert host.shown("start")["next"] == T0 + 5 * HOUR
    assert host.told("end") == [(HOUR, "ran"), (2 * HOUR, "missed")]
    assert host.shown("end")["next"] == T0 + 5 * HOUR + 600
    host.pass_time(HOUR / 2)
    assert [(one.attempt, one.verdict) for one in host.journal if one.schedule == "e"][2:] == [(1, "ran")]


@pytest.mark.parametrize("restarts", [0, 2])
def test_a_run_that_ends_while_its_entry_cannot_be_used_counts(restarts: int):
    """P20: its end is told, and a failure of it is one in the row."""
    host = Host(entry(pause_after_failures=2, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.end(state=State.FAILED)
    host.pass_time(HOUR)
    used = host.entries["e"]
    host.load(broken=["e"])
    host.end(state=State.FAILED)
    for _ in range(restarts):
        host.away(1.0)
    host.load(used)
    assert (host.shown()["failures"], host.shown()["last_state"]) == (2, "failed")
    assert host.shown()["paused"] == "2 runs in a row failed"


@pytest.mark.parametrize("restarts", [0, 2])
@pytest.mark.parametrize(("state", "fields", "due"), [
    (State.FAILED, {"retries": 1, "retry_delay": 600.0}, ("e", 1, "retry", 600.0)),
    (State.LOST, {"retries": 0}, ("alarm", 0, "on_failure", 300.0)),
    (State.SUCCEEDED, {}, ("next", 0, "then", 0.0))])
@pytest.mark.parametrize(("broken", "verdict"), [(100.0, "in time"), (1800.0, "caught_up"), (5000.0, "missed")])
def test_what_follows_a_run_that_ended_while_its_entry_could_not_be_used_comes_when_it_can(
        restarts, state, fields, due, broken, verdict):
    """P12, R-B31: a slip in a file ends no chain: what is due longer ago than `catch_up` allows is missed, in words."""
    follows = {"then": (Follow(entry="next"),), "on_failure": (Follow(entry="alarm", delay=300.0),)}
    host = Host(entry(once="2026-01-05T01:00", **fields, **follows),
                entry("alarm"), entry("next"), job_seconds=None)
    used = list(host.entries.values())
    host.pass_time(HOUR)
    host.load(*used[1:], broken=["e"])
    host.end(state=state)
    for _ in range(restarts):
        host.away(1.0)
    host.pass_time(broken - restarts)
    assert len(host.journal) == 1
    host.load(*used)
    host.pass_time(600.0)
    name, attempt, cause, after = due
    found = host.journal[1]
    assert (found.schedule, found.attempt, found.cause) == (name, attempt, cause)
    assert len(host.journal) == 2
    if verdict == "in time":
        assert found.verdict in ("ran", "caught_up")
        assert found.at == T0 + HOUR + max(after, broken)
    else:
        assert found.verdict == verdict
        whose = "the entry" if cause == "retry" else "the entry before it"
        assert found.reason == (f"{whose} could not be used" if verdict == "missed" else "")


@pytest.mark.parametrize("restarts", [0, 2])
@pytest.mark.parametrize("fields", [None, {}, {"cron": "0 5 * * *"}])
@pytest.mark.parametrize(("broken", "verdict"), [(100.0, "caught_up"), (5000.0, "missed"), (0.0, "skipped_paused")])
def test_an_entry_to_follow_that_cannot_be_used_runs_when_it_can_or_says_so(restarts, fields, broken, verdict):
    """P12, R-B31: its turn comes while it has a slip in its file, perhaps since ever; 0: it is deleted instead."""
    first = entry(once="2026-01-05T01:00", then=(Follow(entry="next"), Follow(entry="nobody")))
    host = Host(first, job_seconds=60.0)
    if fields is not None:
        host.load(first, entry("next", **fields))
    host.load(first, broken=["next"])
    host.pass_time(HOUR + 60)
    for _ in range(restarts):
        host.away(1.0)
    assert len(host.journal) == 1
    host.pass_time(broken)
    host.load(first, *([entry("next", **(fields or {}))] if broken else []))
    host.pass_time(60.0)
    [told] = host.journal[1:]
    assert (told.schedule, told.cause, told.by, told.verdict) == ("next", "then", "e", verdict)
    assert told.planned == T0 + HOUR + 60
    assert told.reason == {"caught_up": "", "missed": "the entry could not be used",
                           "skipped_paused": "the entry was deleted"}[verdict]
    assert ("next" in host.standings) == bool(broken)


def test_runs_that_wait_for_an_entry_that_cannot_be_used_have_a_bound_and_names_of_their_own():
    """P20, R-B31: also where its plan has a time at that very moment, and a retry waits already."""
    first = entry(cron="* * * * *", then=(Follow(entry="next"),))
    late = entry("next", every=3 * HOUR, base="grid", anchor="2026-01-05T01:00", overlap="queue")
    host = Host(first, late)
    host.load(first, broken=["next"])
    host.pass_time(HOUR + 101 * 60)
    told = [one for one in host.journal if one.schedule == "next"]
    assert {(one.verdict, one.reason) for one in told} == {("skipped_overlap", "100 runs wait already")}
    assert len(told) == 61
    host.load(first, late)
    verdicts = Counter(one.verdict for one in host.journal if one.schedule == "next")
    assert verdicts["missed"] + verdicts["caught_up"] == 101
    assert {one.planned for one in host.journal if one.schedule == "next" and one.cause == "plan"} == {T0 + HOUR}


def test_an_entry_that_could_not_be_used_and_is_deleted_leaves_nothing_behind():
    host = Host(entry(retries=1, retry_delay=HOUR, **HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.end(state=State.FAILED)
    host.load(broken=["e"])
    host.load()
    assert [(one.attempt, one.verdict, one.reason) for one in host.journal][1:] == [
        (1, "skipped_paused", "the entry was deleted")]
    assert not host.standings


def test_an_edit_during_a_run_survives_its_end():
    """P25, I14."""
    host = Host(entry(**HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.load(entry(max_runs=9, cron="15 * * * *"))
    host.end()
    assert host.shown()["next"] == T0 + HOUR + 900
    assert host.shown()["max_runs"] == 9


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
