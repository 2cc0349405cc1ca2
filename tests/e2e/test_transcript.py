"""The story of a newcomer, line by line: a fleet comes up, is pinged, runs a long job, shows it, kills it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.fleet import USER, Fleet, started

ALL = {"m1", "m2", "m3"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(3) as fleet:
        yield fleet


@pytest.fixture
def long_job(fleet: Fleet) -> Iterator[str]:
    """`sleep 100` on all minions, as it runs."""
    jid = fleet.start("*", "cmd.run", "sleep 100")
    for minion in ALL:
        fleet.running(jid, minion)
    yield jid
    fleet.run("jobs.kill", jid)


def test_jr_local_up_says_what_runs_and_is_safe_to_repeat(fleet: Fleet) -> None:
    again = fleet.command("jr-local", "up", "--minions", "3")

    assert again.code == 0
    assert again.out == f"export JR_ROOT={fleet.root}\n"
    assert "m1, m2, m3" in again.err
    assert fleet.command("jr-local", "status").out.count(" up ") == 4


def test_ping_all(fleet: Fleet) -> None:
    document = fleet.job("*", "test.ping").json

    assert {minion: pair["return"] for minion, pair in document["minions"].items()} == dict.fromkeys(ALL, True)
    assert document["counts"] == {"succeeded": 3}
    assert document["done"] >= document["published"]


def test_a_minion_that_is_not_there_is_told_at_once(fleet: Fleet) -> None:
    # S13: without any wait. --wait would end with 124 if the master waited for anybody.
    ended = fleet.job("--wait", "5", "-L", "m1,ghost", "test.ping")

    assert ended.code == 6
    assert ended.pair("m1")["state"] == "succeeded"
    assert ended.pair("ghost")["state"] == "undelivered"
    assert "ghost" not in ended.pair("ghost")["evidence"]["reason"]
    assert ended.json["done"] - ended.json["published"] < 5


def test_async_prints_the_jid_alone(fleet: Fleet, long_job: str) -> None:
    # S14
    assert long_job.isdigit()
    assert len(long_job) == 20


def test_active_shows_who_runs_it(fleet: Fleet, long_job: str) -> None:
    # S08
    job = fleet.run("jobs.active").json[long_job]

    assert set(job) == {"jid", "function", "args", "kwargs", "target", "target_type", "user", "published", "running",
                        "queued", "waiting", "returned"}
    assert (job["function"], job["args"], job["kwargs"]) == ("cmd.run", ["sleep 100"], {})
    assert (job["target"], job["target_type"], job["user"]) == ("*", "glob", USER)
    assert set(job["running"]) == ALL
    assert (job["queued"], job["waiting"], job["returned"]) == ([], [], [])
    for run in job["running"].values():
        assert 0 <= run["age"] < 60
        os.kill(run["pid"], 0)


def test_every_minion_has_its_proc_file(fleet: Fleet, long_job: str) -> None:
    # S01
    active = fleet.run("jobs.active").json[long_job]["running"]
    for minion in ALL:
        record = json.loads(fleet.record(long_job, minion).read_text())
        assert (record["jid"], record["function"], record["args"]) == (long_job, "cmd.run", ["sleep 100"])
        assert (record["state"], record["user"]) == ("running", USER)
        assert record["pid"] == active[minion]["pid"]
        assert record["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{record['pid']}/stat").read_text()
        assert record["create_time"] == int(stat.rpartition(")")[2].split()[19])


def test_kill_leaves_nothing_but_a_record_of_who_did_it(fleet: Fleet, long_job: str) -> None:
    # S03, S06, P7
    assert fleet.of_job(long_job)
    killed = fleet.run("jobs.kill", long_job)

    assert killed.code == 0
    assert {pair["state"] for pair in killed.json.values()} == {"killed"}
    assert fleet.of_job(long_job) == {}
    document = fleet.lookup(long_job)
    assert document["counts"] == {"killed": 3}
    for minion in ALL:
        evidence = document["minions"][minion]["evidence"]
        assert (evidence["by"], evidence["asked_signal"]) == (USER, 9)
        assert document["published"] <= evidence["asked"] <= document["done"]
        assert "survivors" not in evidence
        # S01: the file goes when the return is spooled, the return when the master has it.
        assert not fleet.record(long_job, minion).exists()
        fleet.acked(minion)
    assert long_job not in fleet.run("jobs.active").json
    shown = fleet.command("jr-run", "jobs.lookup_jid", long_job).out
    assert f"by {USER}" in shown


def test_the_killed_job_stands_in_the_list(fleet: Fleet, long_job: str) -> None:
    # S10
    fleet.run("jobs.kill", long_job)
    newest = fleet.run("jobs.list_jobs", "limit=1").json["jobs"][0]

    assert set(newest) == {"jid", "function", "args", "kwargs", "target", "target_type", "user", "published", "done",
                           "counts"}
    assert newest["jid"] == long_job
    assert newest["counts"] == {"killed": 3}


def test_presence_comes_from_the_bus(fleet: Fleet) -> None:
    # S22
    assert set(fleet.run("manage.up").json) == ALL
    assert fleet.run("manage.down").json == []
    status = fleet.run("manage.status").json
    assert {minion: here["up"] for minion, here in status.items()} == dict.fromkeys(ALL, True)
