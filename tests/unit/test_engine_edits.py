"""Entries that are edited, disabled, deleted and come back: no planned time is lost, none is decided twice."""

from __future__ import annotations

import pytest
from msgspec import structs

from common.schedule.model import Follow
from common.states import State
from tests.lib.driven import DAY, HOUR, HOURLY, T0, Host, entry


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


def test_an_edit_during_a_run_survives_its_end():
    """P25, I14."""
    host = Host(entry(**HOURLY), job_seconds=None)
    host.pass_time(HOUR)
    host.load(entry(max_runs=9, cron="15 * * * *"))
    host.end()
    assert host.shown()["next"] == T0 + HOUR + 900
    assert host.shown()["max_runs"] == 9
