"""S24: what functions change of a minion's schedule takes effect at once, is told with its origin, and survives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from common import clock
from tests.lib.fleet import Done, Fleet, started
from tests.lib.wait import until

BEGUN = ("ran", "late", "caught_up")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        fleet.configure("m1", schedule_timeout="2s", schedule={
            "nightly": {"function": "test.ping", "cron": "0 3 * * *", "timezone": "Europe/Berlin",
                        "metadata": {"team": "storage"}},
            "at-start": {"function": "test.ping", "run_on_start": True},  # F07
        })
        fleet.restart("m1")
        yield fleet


def call(fleet: Fleet, name: str, *words: str) -> Any:
    """What schedule.NAME answers."""
    ended = fleet.job("m1", f"schedule.{name}", *words)
    assert ended.code == 0, ended
    return ended.pair()["return"]


def refused(fleet: Fleet, name: str, *words: str) -> str:
    """Why schedule.NAME fails."""
    ended: Done = fleet.job("m1", f"schedule.{name}", *words)
    assert ended.code == 1, ended
    return str(ended.pair()["evidence"]["reason"])


def runs(fleet: Fleet, name: str) -> list[Any]:
    """The verdicts of an entry, latest first."""
    found: list[Any] = fleet.run("schedule.audit", f"name={name}").json["runs"]
    return found


def verdict(fleet: Fleet, name: str) -> Any:
    """Its first verdict, once the master has it, with the end of its job."""
    def look() -> Any:
        found = runs(fleet, name)
        return found[-1] if found and (found[-1]["verdict"] not in BEGUN or found[-1].get("states")) else None

    return until(look, what=f"the verdict of {name}")


def test_entries_are_added_changed_and_deleted_over_restarts(fleet: Fleet) -> None:
    added = call(fleet, "add", "tidy", "function=cmd.run", "args=[df -h]", "at=03:00", "timezone=UTC", "splay=5m")
    assert (added["at"], added["status"]) == (["03:00"], "scheduled")
    assert added["origin"].startswith("added at run time by ")
    assert "there is one of that name" in refused(fleet, "add", "tidy", "function=test.ping")
    assert "did you mean" in refused(fleet, "add", "other", "function=test.ping", "evry=1s")
    assert 'did you mean "nightly"' in refused(fleet, "show", "nihgtly")
    call(fleet, "add", "after", "function=test.ping", "then=tidy")
    assert "then leads back to itself: tidy, after, tidy" in refused(fleet, "modify", "tidy", "then=after")
    call(fleet, "delete", "after")

    # F37, P07: the next run moves at once, the other fields stay; null is the default again.
    moved = call(fleet, "modify", "tidy", "at=04:00", "splay=null")
    assert moved["next"] % 86_400 == 4 * 3600
    assert (moved["args"], moved["timezone"], "splay" in moved) == (["df -h"], "UTC", False)
    changed = call(fleet, "modify", "nightly", "cron=30 3 * * *")
    assert "minion.yaml line" in changed["origin"]
    assert "cron changed at run time by" in changed["origin"]
    assert changed["metadata"] == {"team": "storage"}
    call(fleet, "copy", "tidy", "tidy-too")
    call(fleet, "move", "tidy-too", "tidy-three")
    assert call(fleet, "disable", "tidy-three")["next"] is None  # P08

    before = call(fleet, "list")
    fleet.restart("m1", number=signal.SIGKILL)
    entries = {entry["name"]: entry for entry in call(fleet, "list")}
    assert entries == {entry["name"]: {**entry, **_last(entries[entry["name"]])} for entry in before}
    assert set(entries) == {"nightly", "at-start", "tidy", "tidy-three"}
    assert entries["tidy-three"]["enabled"] is False

    assert call(fleet, "enable", "tidy-three")["next"] is not None
    call(fleet, "delete", "nightly")
    assert call(fleet, "save")["saved"].endswith("saved.yaml")
    fleet.restart("m1")
    assert {entry["name"] for entry in call(fleet, "list")} == {"at-start", "tidy", "tidy-three"}
    assert "added by" in call(fleet, "show", "tidy")["origin"]
    call(fleet, "delete", "tidy-three")
    call(fleet, "reload", "forget=true")
    assert call(fleet, "show", "tidy-three")["next"] is not None


def _last(entry: dict[str, Any]) -> dict[str, Any]:
    """What a start of the agent changes: the entry that runs then."""
    return {key: entry[key] for key in entry if key.startswith("last_") or key in ("runs", "status", "running")}


def test_a_run_by_hand_gives_its_jid_and_a_disabled_entry_refuses(fleet: Fleet) -> None:
    """I24, P09."""
    call(fleet, "add", "hand", "function=test.echo", "kwargs={value: done}", "metadata={why: asked}")
    jid = call(fleet, "run_job", "hand")["jid"]
    pair = fleet.ended(jid)
    assert (pair["state"], pair["return"]) == ("succeeded", "done")
    document = fleet.lookup(jid)
    assert (document["user"], document["schedule"], document["metadata"]) == ("schedule", "hand", {"why": "asked"})
    told = verdict(fleet, "hand")
    assert (told["verdict"], told["jid"], told["cause"]) == ("ran", jid, "by_hand")

    call(fleet, "disable", "hand")
    assert "it is disabled" in refused(fleet, "run_job", "hand")
    assert fleet.ended(call(fleet, "run_job", "hand", "force=true")["jid"])["state"] == "succeeded"


def test_a_single_time_runs_once(fleet: Fleet) -> None:
    """F05, P11: the agent, which had nothing to do, wakes for it."""
    begun = verdict(fleet, "at-start")  # F07
    assert (begun["verdict"], begun["cause"]) == ("ran", "run_on_start")
    later = int(clock.wall()) + 3600
    call(fleet, "add", "single", "function=test.ping", f"once={utc(later)}")
    assert call(fleet, "show_next_fire_time", "single", "count=5")["next"] == [later]
    at = int(clock.wall()) + 3
    call(fleet, "modify", "single", f"once={utc(at)}")
    told = verdict(fleet, "single")
    assert (told["verdict"], told["planned"], told["states"]) == ("ran", at, {"succeeded": 1})
    status = call(fleet, "job_status", "single")
    assert (status["status"], status["next"], status["last_state"]) == ("finished", None, "succeeded")


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_planned_times_are_skipped_and_moved(fleet: Fleet) -> None:
    call(fleet, "add", "daily", "function=test.ping", "at=[03:00, 15:00]", "timezone=UTC")
    first, second, third = call(fleet, "show_next_fire_time", "daily", "count=3")["next"]
    call(fleet, "skip_job", "daily")
    assert call(fleet, "show_next_fire_time", "daily", "count=2")["next"] == [second, third]
    told = verdict(fleet, "daily")
    assert (told["planned"], told["verdict"], told["reason"]) == (first, "skipped_paused", "skipped by hand")
    call(fleet, "postpone_job", "daily", utc(third + 60))
    assert call(fleet, "show_next_fire_time", "daily", "count=2")["next"] == [third, third + 60]
    fleet.restart("m1", number=signal.SIGKILL)
    assert call(fleet, "show_next_fire_time", "daily", "count=2")["next"] == [third, third + 60]
    assert "past" in refused(fleet, "postpone_job", "daily", "2020-01-01T00:00")


def test_should_run_skips_without_a_job_and_its_failure_does_not(fleet: Fleet) -> None:
    """P12."""
    call(fleet, "add", "never", "function=test.ping", "every=1s", "should_run=test -e /nowhere")
    call(fleet, "add", "unsure", "function=test.ping", "every=1s", "should_run={function: test.fail}")
    call(fleet, "add", "inside", "function=test.ping", "every=1s",
         "should_run={function: job.is_running, args: [no.such]}")
    assert verdict(fleet, "never")["verdict"] == verdict(fleet, "inside")["verdict"] == "skipped_should_run"
    assert verdict(fleet, "unsure")["verdict"] == "ran"
    assert call(fleet, "job_status", "never")["last_skipped"] is not None
    assert fleet.run("jobs.list_jobs", "schedule=never").json["jobs"] == []
    for name in ("never", "unsure", "inside"):
        call(fleet, "delete", name)


@pytest.mark.parametrize(("name", "words", "limit"), [("long", ["timeout=1s"], 1.0), ("longer", [], 2.0)])
def test_a_run_that_takes_too_long_is_killed_with_all_it_started_and_keeps_its_output(
        fleet: Fleet, name: str, words: list[str], limit: float) -> None:
    """P15, by the entry or by the settings; P25: what is changed while it runs stays so."""
    call(fleet, "add", name, "function=cmd.run", "args=[echo begun; sleep 60 & sleep 61]", *words)
    jid = call(fleet, "run_job", name)["jid"]
    call(fleet, "disable", name)
    pair = fleet.ended(jid)
    assert (pair["state"], pair["stdout"], pair["evidence"]["timeout"]) == ("timed_out", "begun\n", limit)
    assert fleet.of_job(jid) == {}
    status = call(fleet, "job_status", name)
    assert (status["enabled"], status["last_state"], status["failures"]) == (False, "timed_out", 1)


def test_a_function_of_the_agent_that_fails_costs_its_run_alone(fleet: Fleet) -> None:
    """P13; and one that cannot be called has its verdict, without its arguments."""
    call(fleet, "add", "wrong", "function=job.find_job", "args=[s3cret]", "run_on_start=true")
    assert verdict(fleet, "wrong")["states"] == {"failed": 1}
    call(fleet, "add", "unknown", "function=no.such", "args=[s3cret]", "run_on_start=true")
    told = verdict(fleet, "unknown")
    assert told["verdict"] == "failed_to_start"
    assert "this host has no such function" in told["reason"]
    assert "s3cret" not in told["reason"] + fleet.log("m1")


def test_all_is_held_and_released(fleet: Fleet) -> None:
    """Over a kill of the agent as well."""
    call(fleet, "add", "beat", "function=test.ping", "every=1s")
    verdict(fleet, "beat")
    assert call(fleet, "hold")["held"] is True
    fleet.restart("m1", number=signal.SIGKILL)
    status = call(fleet, "job_status", "beat")
    assert status["status"] == "held"
    assert "all schedules are held" in refused(fleet, "run_job", "beat")
    until(lambda: call(fleet, "job_status", "beat")["waiting"], what="a run that is held")
    assert call(fleet, "job_status", "beat")["last_jid"] == status["last_jid"]
    assert call(fleet, "release")["held"] is False
    until(lambda: call(fleet, "job_status", "beat")["last_jid"] != status["last_jid"], what="a run")


def test_without_an_agent_nothing_is_changed(fleet: Fleet) -> None:
    fleet.end("m1", signal.SIGTERM)
    try:
        for words in (["add", "x", "function=test.ping"], ["list"], ["run_job", "x"]):
            ended = fleet.call("m1", f"schedule.{words[0]}", *words[1:])
            ended.fails(5, "cannot reach the minion's agent", f"schedule.{words[0]} needs", "jr-minion")
            assert ended.out == ""
        assert fleet.call("m1", "schedule.periods").code == 0, "what the files say is there all the same"
    finally:
        fleet.up()
