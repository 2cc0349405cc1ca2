"""The engine and clocks that are set, stall, change for summer, or stop with the host (S25, R-B31, R-B32)."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from common.schedule.model import Follow, Moment
from common.states import State
from tests.lib.driven import DAY, HOUR, T0, Crashed, Host, at, entry

EVERY_HOUR = {"cron": "0 * * * *"}


def test_a_stall_is_late_and_a_long_one_is_made_up_for():
    """S25: some seconds late is late; a scheduler that did not ask for over a minute was not there."""
    host = Host(entry(**EVERY_HOUR))
    host.stall(HOUR + 3)
    host.stall(HOUR + 7)
    host.stall(HOUR + 300)
    assert host.told() == [(HOUR, "ran"), (2 * HOUR, "late"), (3 * HOUR, "caught_up")]


def test_a_clock_set_forward_an_hour_makes_up_for_what_it_skipped():
    """R-B31: the planned time inside the jump has its verdict, and the next ones come in time."""
    host = Host(entry(cron="30 * * * *"), entry("interval", every=HOUR))
    host.pass_time(600)
    host.set_clock(HOUR)
    host.tick()
    host.pass_time(HOUR)
    assert host.told() == [(1800.0, "caught_up"), (5400.0, "ran")]
    assert host.told("interval") == [(2 * HOUR, "ran")], "an hour of the boot clock"


@pytest.mark.parametrize("by", [HOUR, DAY])
def test_a_clock_set_back_repeats_no_planned_time_and_no_interval_starves(by: float):
    """R-B31: what has its verdict keeps it; intervals keep their rhythm."""
    host = Host(entry(**EVERY_HOUR), entry("interval", every=600.0))
    host.pass_time(3 * HOUR + 60)
    assert len(host.told()) == 3
    host.set_clock(-by)
    host.pass_time(by)
    assert len(host.told()) == 3, "that hour, or day, has its verdicts"
    host.pass_time(HOUR)
    assert host.told()[3:] == [(4 * HOUR, "ran")]
    intervals = [one for one in host.begun if one.schedule == "interval"]
    assert len(intervals) == (4 * HOUR + by) // 600
    assert len({one.planned for one in intervals}) == len(intervals)
    assert all(one.verdict == "ran" for one in intervals)


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_clock_that_was_ten_years_ahead_does_not_silence_the_schedule_for_ten_years(restarts: int):
    """R-B31: it was plainly wrong, so planning begins anew; keys of times that come again differ."""
    host = Host(entry(**EVERY_HOUR))
    host.set_clock(3650 * DAY)
    host.tick()
    host.pass_time(HOUR)
    host.set_clock(-3650 * DAY)
    for _ in range(restarts):
        host.start()
    host.pass_time(3 * HOUR)
    assert [round(one.planned - T0) for one in host.begun[-3:]] == [2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert [one.verdict for one in host.begun[-3:]] == ["ran"] * 3


def test_an_entry_that_waits_out_a_clock_that_was_set_back_says_so():
    """R-B31: its silence is no riddle; an interval goes on and has none to explain."""
    host = Host(entry(**EVERY_HOUR), entry("daily", cron="30 12 * * *"), entry("interval", every=600.0))
    host.pass_time(3 * HOUR)
    assert (host.shown()["status"], host.shown()["why"]) == ("scheduled", "")
    host.set_clock(-2.5 * HOUR)
    host.tick()
    assert (host.shown()["status"], host.shown()["next"]) == ("waiting", T0 + 4 * HOUR)
    assert host.shown()["why"] == ("the clock was set back: times until 2026-01-05 03:00:00+00:00 have their verdict "
                                   "already")
    assert {host.shown(name)["why"] for name in ("daily", "interval")} == {""}
    host.pass_time(2.5 * HOUR)
    assert (host.shown()["status"], host.shown()["why"]) == ("scheduled", "")


def test_a_clock_set_back_while_the_daemon_was_down_starves_no_interval():
    """F28, R-B31: after a start it is one interval away at the most."""
    host = Host(entry(every=600.0))
    host.pass_time(700)
    host.set_clock(-DAY)
    host.away(10)
    host.pass_time(600)
    assert [one.verdict for one in host.begun] == ["ran", "ran"]


def test_a_retry_and_what_follows_wait_by_the_boot_clock_and_a_postponed_run_by_the_wall_clock():
    """R-B31: a clock that is set neither hurries nor delays what counts seconds, nor makes a queued run too late."""
    host = Host(entry("a", retries=1, retry_delay=600.0, cron="0 1 * * *"), entry("c"),
                entry("b", then=(Follow(entry="c", delay=600.0),)), entry("moved", cron="0 4 * * *"),
                entry("queued", overlap="queue", start_deadline=HOUR, **EVERY_HOUR), job_seconds=None)
    host.do(host.engine.run("b", "ann", host.now))
    host.do(host.engine.run("queued", "ann", host.now))
    host.do(host.engine.postpone("moved", None, T0 + 3 * HOUR, host.now))
    host.pass_time(HOUR)
    for one, _ in list(host.running.values()):
        if one.schedule != "queued":
            host.end(one.jid, State.FAILED if one.schedule == "a" else State.SUCCEEDED)
    host.set_clock(1.5 * HOUR)
    host.tick()
    assert not [one for one in host.begun if one.attempt or one.schedule in ("c", "moved")]
    host.pass_time(600.0)
    assert [(one.schedule, one.attempt) for one in host.begun if one.attempt or one.schedule == "c"] == [
        ("a", 1), ("c", 0)]
    host.pass_time(1200.0)
    assert [one.at - T0 for one in host.begun if one.schedule == "moved"] == [3 * HOUR]
    for _ in range(2):
        host.end(next(one.jid for one, _ in host.running.values() if one.schedule == "queued"))
    assert host.told("queued")[1:] == [(2 * HOUR, "caught_up"), (HOUR, "late")]


def test_an_interval_takes_what_was_skipped_and_moved_with_it():
    """R-B31: a step changes what its times are called, and nothing else."""
    host = Host(entry(every=600.0))
    host.do(host.engine.skip("e", None, host.now))
    host.do(host.engine.skip("e", None, host.now))
    host.set_clock(HOUR)
    host.tick()
    host.pass_time(1900.0)
    assert [round(one.at - T0 - HOUR) for one in host.begun] == [1800]
    host = Host(entry(every=600.0, base="end"))
    for _ in range(5):
        host.do(host.engine.skip("e", None, host.now))
    host.away(100.0)
    host.pass_time(HOUR)
    assert host.told()[5:] == [(HOUR, "ran")], "skipped five times, and a restart forgets none of them"


def test_a_scheduler_is_there_from_its_start_on_whatever_its_clock_says():
    """R-B31: runs planned after the clock was set back are no runs of before its start."""
    host = Host()
    host.set_clock(-HOUR)
    host.load(entry(catch_up="none", cron="* * * * *"))
    host.stall(100.0)
    assert host.told() == [(60.0 - HOUR, "late")]


def test_a_step_is_noticed_within_a_minute_and_an_interval_waits_as_long_as_it_must():
    """P11: where nothing follows the wall clock there is no waking in between."""
    assert Host(entry(every=DAY)).engine.wait(Moment(T0, 1000.0)) == DAY
    host = Host(entry(once="2026-02-01"))
    assert host.engine.wait(host.now) == 60.0
    host.set_clock(100.0)
    assert host.engine.wait(host.now) == 0.0


@pytest.mark.parametrize("point", ["decided", "committed"])
@pytest.mark.parametrize("again", [0.0, 0.4])
def test_a_restart_inside_the_due_second_neither_doubles_nor_loses_the_run(point: str, again: float):
    """S25, R-B32: wherever it dies, also twice in a row."""
    host = Host(entry(**EVERY_HOUR), entry("interval", every=HOUR))
    host.move(HOUR)
    for _ in range(2):
        host.crash = point
        with pytest.raises(Crashed):
            host.tick() if not host.journal else host.start()
        host.move(again)
    host.crash = ""
    host.start()
    host.tick()
    for name in ("e", "interval"):
        assert host.told(name) == [(HOUR, "ran")]
    assert len(host.begun) == 2
    host.pass_time(HOUR)
    assert len(host.begun) == 4


CHANGES = [
    # zone, the evening before, planned by the wall clock, what the wall clock's planned times are in UTC
    ("Europe/Berlin", "2026-03-28T20:00", "30 2 * * *", ["2026-03-29T01:00", "2026-03-30T00:30"]),
    ("Europe/Berlin", "2026-10-24T20:00", "30 2 * * *", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("Europe/Berlin", "2026-10-24T20:00", "30 1 * * *", ["2026-10-24T23:30", "2026-10-26T00:30"]),
    ("America/New_York", "2026-03-08T00:00", "30 2 * * *", ["2026-03-08T07:00", "2026-03-09T06:30"]),
    ("America/New_York", "2026-10-31T20:00", "30 1 * * *", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    # Cairo's summer begins at midnight, which is not there
    ("Africa/Cairo", "2026-04-23T18:00", "0 0 * * *", ["2026-04-23T22:00", "2026-04-24T21:00"]),
    ("Africa/Cairo", "2026-04-23T18:00", "30 0 * * *", ["2026-04-23T22:00", "2026-04-24T21:30"]),
    ("Africa/Cairo", "2026-10-29T12:00", "30 23 * * *", ["2026-10-29T20:30", "2026-10-30T21:30"]),
]


@pytest.mark.parametrize(("zone", "begin", "cron", "planned"), CHANGES)
@pytest.mark.parametrize("restart", [False, True])
def test_each_planned_time_of_a_day_with_a_change_runs_once(
    zone: str, begin: str, cron: str, planned: list[str], restart: bool,
):
    """R-B32, F14, I21: also when the daemon starts again and again inside the hour that is doubled or not there."""
    host = Host(entry(cron=cron), wall=at(begin), zone=ZoneInfo(zone))
    while host.wall < at(planned[-1]) + 60:
        if restart:
            host.away(300.0)
        else:
            host.pass_time(300.0)
    assert [one.planned for one in host.begun] == [at(one) for one in planned]
    assert {one.verdict for one in host.journal} <= {"ran", "late", "caught_up"}


def test_an_hour_that_comes_twice_runs_what_goes_by_elapsed_time_twice():
    """R-B32: every half hour is every half hour."""
    host = Host(entry(cron="*/30 * * * *"), wall=at("2026-10-24T22:00"), zone=ZoneInfo("Europe/Berlin"))
    host.pass_time(6 * HOUR)
    assert len(host.begun) == 12
    assert {one.verdict for one in host.begun} == {"ran"}
