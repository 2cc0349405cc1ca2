"""Entries that cannot be used for a while: what they keep, and what becomes of the runs that wait for them."""

from __future__ import annotations

from collections import Counter

import pytest

from common.schedule.model import Follow, Key
from common.states import State
from tests.lib.driven import HOUR, HOURLY, T0, Host, entry


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
