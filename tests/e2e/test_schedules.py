"""S24, as far as it goes: entries of a minion's settings file make jobs of their own, with or without a master."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        fleet.configure("m1", schedule={
            "tick": {"function": "cmd.run", "args": ["echo tick; echo $JR_JID >> " + str(fleet.base / "ticks")],
                     "every": "1s", "metadata": {"team": "storage"}},
            "slow": {"function": "test.sleep", "kwargs": {"seconds": 100}, "every": "1s"},
            "nightly": {"function": "test.ping", "cron": "0 3 * * *", "timezone": "Europe/Berlin"},
            "off": {"function": "test.ping", "every": "1s", "enabled": False},
            "wrong": {"function": "test.sleep", "kwargs": {"seconds": "s3cret"}, "every": "1s"},
            "unknown": {"function": "no.such", "args": ["s3cret"], "every": "1s"},
        })
        fleet.restart("m1")
        yield fleet


def runs(fleet: Fleet, name: str, *words: str) -> list[Any]:
    """The jobs of an entry that the master knows, newest first."""
    jobs: list[Any] = fleet.run("jobs.list_jobs", f"schedule={name}", "limit=100", *words).json["jobs"]
    return jobs


def slow(fleet: Fleet) -> str:
    """The jid of the run of `slow` that is under way."""
    def look() -> str:
        return next((str(job["jid"]) for job in runs(fleet, "slow") if not job["done"]), "")

    jid = until(look, what="a run of slow")
    fleet.running(jid)
    return jid


def test_an_entry_fires_and_its_jobs_stand_in_the_list(fleet: Fleet) -> None:
    def twice() -> list[Any]:
        found = [job for job in runs(fleet, "tick") if job["done"]]
        return found if len(found) > 1 else []

    done = until(twice, what="two runs are done")
    for job in done:
        assert (job["function"], job["schedule"], job["user"]) == ("cmd.run", "tick", "schedule")
        assert job["counts"] == {"succeeded": 1}
        stem, _, sender = job["jid"].partition("-")
        assert (len(stem), len(sender)) == (20, 16)
    assert len({job["jid"] for job in done}) == len(done)
    document = fleet.lookup(done[0]["jid"])
    assert document["schedule"] == "tick"
    assert document["minions"]["m1"]["stdout"] == "tick\n"
    times = sorted(job["published"] for job in done)
    assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(times)), times


def test_a_run_that_goes_on_holds_up_the_next(fleet: Fleet) -> None:
    # S08: a scheduled job is in jobs.active, and can be killed as any other.
    jid = slow(fleet)
    assert fleet.run("jobs.active").json[jid]["schedule"] == "slow"
    ticks = len(runs(fleet, "tick"))
    until(lambda: len(runs(fleet, "tick")) > ticks, what="another second")
    assert [job["jid"] for job in runs(fleet, "slow")] == [jid]

    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.lookup(jid)["minions"]["m1"]["state"] == "killed"
    until(lambda: len(runs(fleet, "slow")) > 1, what="the next run")


def test_the_agent_lists_its_entries(fleet: Fleet) -> None:
    entries = {entry["name"]: entry for entry in fleet.job("m1", "schedule.list").pair()["return"]}

    assert set(entries) == {"tick", "slow", "nightly", "off", "wrong", "unknown"}
    assert entries["tick"]["function"] == "cmd.run"
    assert entries["off"]["enabled"] is False
    assert runs(fleet, "off") == []
    assert runs(fleet, "nightly") == []


def test_runs_while_the_master_is_down_are_told_later_and_once(fleet: Fleet) -> None:
    # P3: the spool keeps them.
    ticks = fleet.base / "ticks"
    fleet.end("master", signal.SIGKILL)
    before = len(ticks.read_text().split())
    until(lambda: len(ticks.read_text().split()) >= before + 2, what="two more runs")
    ran = ticks.read_text().split()
    fleet.up()

    until(lambda: set(ran) <= {job["jid"] for job in runs(fleet, "tick") if job["done"]}, what="all are told")
    jids = [job["jid"] for job in runs(fleet, "tick")]
    assert len(jids) == len(set(jids))
    assert len(ran) == len(set(ran)), "P2: none ran twice"


@pytest.mark.parametrize("journal", ["as it was", "damaged"])
def test_a_run_that_outlives_its_agent_is_taken_over_and_not_started_twice(fleet: Fleet, journal: str) -> None:
    # F28; also where nothing is known of it but its proc record, as from an agent of an older version.
    jid = slow(fleet)
    fleet.end("m1", signal.SIGKILL)
    if journal == "damaged":
        (fleet.state("m1") / "schedule.db").write_bytes(b"no database" * 1000)
    fleet.up()
    ticks = len(runs(fleet, "tick"))
    until(lambda: len(runs(fleet, "tick")) > ticks + 1, what="two seconds more")

    assert [job["jid"] for job in runs(fleet, "slow") if not job["done"]] == [jid]
    assert fleet.run("jobs.kill", jid).code == 0


@pytest.mark.parametrize(("entry", "words"), [
    ({"function": "test.ping", "evry": "1s"}, ["wrong", "evry", "every"]),
    ({"function": "test.ping", "every": "1s", "at": "03:00"}, ["wrong", "2 triggers, every and at"]),
    ({"function": "test.ping", "every": "1s", "cron": "* * * * *"}, ["wrong", "every", "cron"]),
    ({"every": "1s"}, ["wrong", "function"]),
    ({"function": "test.ping", "cron": "61 * * * *"}, ["wrong", "cron"]),
    ({"function": "test.ping", "every": "soon"}, ["wrong", "every"]),
    ({"function": "test.ping", "cron": "0 3 * * *", "timezone": "Europe/Berlim"}, ["wrong", "Europe/Berlin"]),
])
def test_an_entry_that_makes_no_sense_is_named(fleet: Fleet, entry: dict[str, Any], words: list[str]) -> None:
    text = fleet.settings("m1").read_text()
    try:
        fleet.configure("m1", schedule={"wrong": entry})
        ended = fleet.command("jr-minion", "--check-config", root=fleet.minion("m1"))
        ended.fails(2, *words)
    finally:
        fleet.settings("m1").write_text(text)


def test_what_cannot_run_is_logged_without_its_arguments(fleet: Fleet) -> None:
    def told() -> bool:
        return "cannot run wrong" in fleet.log("m1") and "cannot run unknown" in fleet.log("m1")

    until(told, what="both are logged")
    log = fleet.log("m1")
    assert "cannot run wrong: cannot call test.sleep: seconds is missing, unknown or wrong" in log
    assert "cannot run unknown: cannot call no.such: this host has no such function" in log
    assert "s3cret" not in log
