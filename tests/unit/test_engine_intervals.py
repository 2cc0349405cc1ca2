"""Intervals that the engine counts, by the boot clock: from starts, from ends, without a pause (I03, P03, F09)."""

from __future__ import annotations

from common.schedule.model import Check
from common.schedule.times.periods import Period
from common.states import State
from tests.lib.driven import BOOT, HOUR, T0, UTC, Host, entry


def spaces(host: Host) -> list[float]:
    """Seconds between the runs that began."""
    return [round(late.at - early.at, 3) for early, late in zip(host.begun, host.begun[1:], strict=False)]


def test_from_the_start_of_the_attempt():
    """I03: however long it takes, failed or not; without a start the first is one interval away."""
    host = Host(entry(every=600.0), job_seconds=None)
    host.pass_time(600)
    host.move(400)
    host.end(state=State.FAILED)
    host.pass_time(200)
    assert host.told() == [(600.0, "ran"), (1200.0, "ran")]


def test_a_run_that_was_made_up_for_leaves_the_rhythm_as_it_was():
    """I03: an interval counts from the planned start of the attempt, whenever and however that begins. F28: after a
    stall, and after a restart, each planned time has its verdict, and none comes twice.
    """
    host = Host(entry(every=600.0), entry("splayed", every=600.0, splay=60.0))
    spread = host.shown("splayed")["next"] - T0 - 600
    host.stall(1150)
    host.pass_time(1300)
    host.away(1000)
    host.pass_time(200)
    verdicts = ["caught_up", "ran", "ran", "ran", "caught_up", "ran"]
    planned = [600.0, 1200.0, 1800.0, 2400.0, 3000.0, 3600.0]
    assert host.told() == host.told("splayed") == [*zip(planned, verdicts, strict=True)]
    assert {one.at - T0 for one in host.begun if one.planned == T0 + 600} == {1150.0}
    assert {one.at - T0 for one in host.begun if one.planned == T0 + 3600} == {3600.0, 3600.0 + spread}


def test_from_the_end_of_the_run_or_from_a_skip():
    """P03."""
    host = Host(entry(every=600.0, base="end"), job_seconds=None)
    host.pass_time(600)
    assert host.shown()["next"] is None, "it depends on the end"
    host.move(1000)
    host.end()
    assert host.shown()["next"] == T0 + 2200
    host.do(host.engine.skip("e", None, host.now))
    assert (host.told()[-1], host.shown()["next"]) == ((2200.0, "skipped_paused"), T0 + 2800)
    host.pass_time(1200)
    assert host.told()[-1] == (2800.0, "ran")


def test_a_skip_by_should_run_counts_as_one():
    """P03, P12."""
    host = Host(entry(every=600.0, base="end", should_run=Check(function="test.ping")))
    host.answer = lambda key: False
    host.pass_time(1300)
    assert host.told() == [(600.0, "skipped_should_run"), (1200.0, "skipped_should_run")]
    assert host.shown()["last_skipped"] == T0 + 1200
    assert not host.begun


def test_a_run_by_hand_counts_for_those_that_count_from_ends_only():
    """P03: the last end is the last end, whoever asked for the run. I03: a plan is not disturbed by hand."""
    host = Host(entry("end", every=600.0, base="end"), entry("start", every=600.0))
    host.pass_time(300)
    for name in ("end", "start"):
        host.do(host.engine.run(name, "ann", host.now))
    host.pass_time(700)
    assert host.told("end") == [(300.0, "ran"), (900.0, "ran")]
    assert host.told("start") == [(300.0, "ran"), (600.0, "ran")]


def test_continuous_runs_back_to_back_a_second_apart_and_never_two_at_once():
    """F09: `Host` refuses two at once."""
    host = Host(entry("quick", continuous=True), entry("slow", continuous=True), job_seconds=0.25)
    host.pass_time(5.0)
    quick = [one.at - T0 for one in host.begun if one.schedule == "quick"]
    assert quick == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    host.job_seconds = 3.0
    host.pass_time(12.0)
    assert spaces(host)[-3:] == [0.0, 3.0, 0.0]


def test_continuous_goes_on_after_a_restart_at_once_and_after_a_failure():
    """F09, F28."""
    host = Host(entry(continuous=True), job_seconds=None)
    jid = host.begun[0].jid
    assert jid is not None
    host.end_unseen(jid, State.LOST)
    host.away(HOUR)
    assert len(host.begun) == 2
    assert host.begun[1].verdict == "ran"
    host.end(state=State.FAILED)
    host.pass_time(1.0)
    assert len(host.begun) == 3


def test_outside_its_window_it_is_skipped_once_and_runs_as_the_window_opens():
    """I19: and goes on from there."""
    periods = {"day": Period({"monday": "06:00-08:00", "tuesday": "06:00-08:00"}, UTC)}
    for fields in ({"every": 3 * HOUR}, {"every": 3 * HOUR, "base": "end"}, {"continuous": True}):
        host = Host(entry(during=("day",), **fields), periods=periods, job_seconds=HOUR)
        host.pass_time(6.5 * HOUR)
        first = 0.0 if "continuous" in fields else 3 * HOUR
        assert host.told() == [(first, "skipped_window"), (6 * HOUR, "ran")]
        for _ in range(3):
            host.start()
        assert len(host.journal) == 2, "restarts ask no window again"


def test_a_window_that_is_there_now_counts_now():
    """P07: an entry that waits for its window is planned anew when its windows are others."""
    periods = {"night": Period({"monday": "22:00-24:00"}, UTC)}
    host = Host(entry(every=HOUR, during=("night",)), periods=periods)
    host.pass_time(HOUR)
    assert host.shown()["next"] == T0 + 22 * HOUR
    host.load(entry(every=HOUR))
    assert host.shown()["next"] == T0 + 2 * HOUR


def test_bounds_of_intervals():
    """F12: start and end belong to it; after the end it is finished."""
    host = Host(entry(every=600.0, base="start", start="2026-01-05T01:00:00", end="2026-01-05T01:20:00"),
                entry("end", every=600.0, base="end", end="2026-01-05T00:20:00"))
    host.pass_time(3 * HOUR)
    assert host.told() == [(HOUR, "ran"), (HOUR + 600, "ran"), (HOUR + 1200, "ran")]
    assert host.told("end") == [(600.0, "ran"), (1200.0, "ran")]
    assert {host.shown(name)["status"] for name in ("e", "end")} == {"finished"}
    host.away(10)
    assert {host.shown(name)["status"] for name in ("e", "end")} == {"finished"}
    assert host.boot > BOOT
