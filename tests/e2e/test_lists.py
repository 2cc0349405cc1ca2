"""S08, S10: what the master tells of jobs: open ones, past ones, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lib.fleet import USER, Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def past(fleet: Fleet) -> dict[str, str]:
    """Jids of jobs that have ended, by what they are in this module, in the order in which they were published."""
    words = {
        "both": ["*", "test.ping"], "one": ["m1", "test.ping"], "failed": ["m2", "cmd.run", "exit 1"],
        "noted": ["--metadata", "ticket=42", "--metadata", "who=me", "m1", "test.echo", "hello"],
        "ghost": ["-L", "m2,ghost", "test.ping"],
    }
    return {name: fleet.job(*typed).json["jid"] for name, typed in words.items()}


def listed(fleet: Fleet, *words: str) -> list[str]:
    """The jids that jobs.list_jobs shows."""
    ended = fleet.run("jobs.list_jobs", *words)
    assert (ended.code, set(ended.json)) == (0, {"jobs", "next"})
    return [job["jid"] for job in ended.json["jobs"]]


def test_the_newest_comes_first(fleet: Fleet, past: dict[str, str]) -> None:
    assert listed(fleet) == list(past.values())[::-1]


@pytest.mark.parametrize(("words", "names"), [
    (["function=test.*"], ["ghost", "noted", "one", "both"]),
    (["function=cmd.run"], ["failed"]),
    (["target=m1"], ["noted", "one"]),
    (["target=[*]"], ["both"]),
    (["minion=m1"], ["noted", "one", "both"]),
    (["minion=ghost"], ["ghost"]),
    (["minion=m2", "function=test.ping"], ["ghost", "both"]),
    (["state=failed"], ["failed"]),
    (["state=undelivered"], ["ghost"]),
    (["state=undelivered", "minion=m1"], []),
    (["metadata.ticket=42"], ["noted"]),
    (["metadata.ticket=42", "metadata.who=you"], []),
    ([f"user={USER}", "state=failed"], ["failed"]),
    (["user=nobody-we-know"], []),
    (["since=1h", "function=cmd.*"], ["failed"]),
    (["until=1h"], []),
    (["since=2020-01-01", "until=2020-01-02"], []),
    (["schedule=tidy"], []),
])
def test_filters_and_together(fleet: Fleet, past: dict[str, str], words: list[str], names: list[str]) -> None:
    assert listed(fleet, *words) == [past[name] for name in names]


def test_a_window_of_time_is_exact(fleet: Fleet, past: dict[str, str]) -> None:
    start = fleet.lookup(past["one"])["published"]
    end = fleet.lookup(past["noted"])["published"]

    found = listed(fleet, f"since={start:.6f}", f"until={end:.6f}")
    assert set(found) >= {past["failed"]}
    assert set(found) <= {past["one"], past["failed"], past["noted"]}


def test_pages_by_cursor_show_every_job_once(fleet: Fleet, past: dict[str, str]) -> None:
    seen: list[str] = []
    cursor: list[str] = []
    for _ in range(10):
        page = fleet.run("jobs.list_jobs", "limit=2", *cursor)
        seen += [job["jid"] for job in page.json["jobs"]]
        if page.json["next"] is None:
            break
        assert len(page.json["jobs"]) == 2
        assert page.json["next"] in page.err
        cursor = [f"cursor={page.json['next']}"]

    assert seen == list(past.values())[::-1]


def test_a_page_stays_where_it_was_while_jobs_are_added(fleet: Fleet, past: dict[str, str]) -> None:
    first = fleet.run("jobs.list_jobs", "limit=2", "function=test.*").json
    fleet.job("m1", "test.echo", "later", "--metadata", "extra=1")
    second = listed(fleet, "limit=2", "function=test.*", f"cursor={first['next']}")

    assert second == [past["one"], past["both"]]


@pytest.mark.parametrize("words", [["state=done"], ["since=soon"], ["limit=0"], ["limit=100000"], ["cursor=x"],
                                   ["age=1"], ["minion=../x"]])
def test_a_filter_that_makes_no_sense_is_refused(fleet: Fleet, words: list[str]) -> None:
    fleet.run("jobs.list_jobs", *words).fails(2)


def test_a_row_counts_the_states(fleet: Fleet, past: dict[str, str]) -> None:
    (row,) = fleet.run("jobs.list_jobs", "minion=ghost").json["jobs"]

    assert row["counts"] == {"succeeded": 1, "undelivered": 1}
    assert (row["target"], row["target_type"]) == ("m2,ghost", "list")


def test_last_run_is_the_newest_that_fits(fleet: Fleet, past: dict[str, str]) -> None:
    assert fleet.run("jobs.last_run", "function=test.ping", "minion=m1").json["jid"] == past["one"]
    assert fleet.run("jobs.last_run", "state=failed", "function=cmd.*").json["jid"] == past["failed"]


def test_exit_success_reads_states_and_not_values(fleet: Fleet) -> None:
    empty = fleet.job("m1", "test.echo", "false").json["jid"]
    ended = fleet.run("jobs.exit_success", empty)
    assert (ended.code, ended.json) == (0, {"m1": True})

    failed = fleet.job("-L", "m1,m2", "cmd.run", "echo fine; exit 1").json["jid"]
    ended = fleet.run("jobs.exit_success", failed)
    assert (ended.code, ended.json) == (1, {"m1": False, "m2": False})


def test_active_tells_who_is_waited_for_and_who_has_returned(fleet: Fleet) -> None:
    # S08
    # Whoever comes first makes the folder and returns; the other one sleeps.
    jid = fleet.start("*", "cmd.run", f"mkdir {fleet.base / 'first'} || exec sleep 100")
    job = until(lambda: (found := fleet.run("jobs.active").json[jid])["returned"] and found["running"] and found,
                what="one has returned and one runs")
    (back,), (busy,) = job["returned"], job["running"]

    assert {back, busy} == {"m1", "m2"}
    assert job["waiting"] == job["queued"] == []
    assert fleet.run("jobs.active", f"minion={busy}").json.keys() == {jid}
    assert fleet.run("jobs.active", f"minion={back}").json == {}
    # S13: longer than any look at it, it is running and never missing.
    assert fleet.lookup(jid)["minions"][busy]["state"] == "running"
    assert listed(fleet, "state=running") == [jid]
    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.run("jobs.active").json == {}
    assert fleet.run("jobs.active", "minion=m9").json == {}


def test_a_full_minion_queues_and_a_queued_job_can_be_cancelled(fleet: Fleet) -> None:
    # S02, S03, S08
    fleet.configure("m2", max_jobs=1)
    fleet.restart("m2")
    first = fleet.start("m2", "cmd.run", "sleep 100")
    fleet.running(first, "m2")
    second = fleet.start("m2", "cmd.run", f"touch {fleet.base}/second")
    third = fleet.start("m2", "cmd.run", "echo third")
    until(lambda: fleet.run("jobs.active").json[second]["queued"] == ["m2"], what="the second is queued")

    here = {job["jid"]: job["state"] for job in fleet.job("m2", "job.running").pair("m2")["return"]}
    assert here == {first: "running", second: "queued", third: "queued"}
    killed = fleet.run("jobs.kill", second)
    assert (killed.code, killed.json["m2"]["state"], killed.json["m2"]["pid"]) == (0, "killed", None)
    assert fleet.run("jobs.kill", first).code == 0
    assert fleet.ended(third, "m2")["stdout"] == "third\n"
    assert not (fleet.base / "second").exists()
