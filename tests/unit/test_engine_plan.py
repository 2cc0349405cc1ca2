"""The engine: planned times come, in time and late, over stalls and restarts (S25, P24)."""

from __future__ import annotations

from tests.lib.driven import DAY, HOUR, T0, Host, at, entry


def test_runs_begin_when_they_are_planned():
    """F05, F12: a single time runs once, then the entry is finished and shown so."""
    host = Host(entry(once="2026-01-05T00:00:05"))
    assert host.shown()["next"] == T0 + 5
    host.pass_time(HOUR)
    assert host.told() == [(5.0, "ran")]
    assert host.begun[0].at == T0 + 5
    assert (host.shown()["status"], host.shown()["next"], host.shown()["last_state"]) == ("finished", None, "succeeded")


def test_a_single_time_that_is_past():
    """F06: half an hour past runs at once, two hours past is missed, and neither stays scheduled for ever."""
    host = Host(entry("near", once="2026-01-04T23:30:00"), entry("far", once="2026-01-04T22:00:00"))
    assert host.told("near") == [(-1800.0, "caught_up")]
    assert host.told("far") == [(-7200.0, "missed")]
    assert {host.shown(name)["status"] for name in ("near", "far")} == {"finished"}
    host.away(10)
    host.pass_time(HOUR)
    assert len(host.journal) == 2


def test_down_over_three_due_times_is_one_run_on_return():
    """P24: the last one is made up for, the others are missed, as one stretch."""
    host = Host(entry(cron="0 * * * *"))
    host.away(3.5 * HOUR)
    assert host.told() == [(HOUR, "missed"), (3 * HOUR, "caught_up")]
    assert (host.journal[0].count, host.journal[0].last) == (2, T0 + 2 * HOUR)


def test_a_year_away_costs_two_verdicts():
    """S25: a stretch of a year is found without looking at each of its times."""
    host = Host(entry("grid", every=1.0, base="grid"), entry("start", every=1.0))
    host.away(365 * DAY)
    for name in ("grid", "start"):
        missed, made_up = [one for one in host.journal if one.schedule == name]
        assert (missed.verdict, missed.count, made_up.verdict) == ("missed", 365 * 86400 - 1, "ran")
    assert at("2027-01-05") == made_up.planned


def test_an_interval_neither_fires_again_nor_starves_over_restarts():
    """F28: its rhythm is kept by the journal, however often the daemon starts."""
    host = Host(entry(every=HOUR))
    for _ in range(8):
        host.away(1000.0)
    assert host.told() == [(HOUR, "caught_up"), (2 * HOUR, "caught_up")]
