"""Tables of schedules: planned runs, entries, and where one stands. # R-B05"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from common.output import FORMATS, render, render_pair
from common.text import local_time
from tests.unit.test_output import HOSTILE, UNSAFE


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(verdict: str = "ran", **more: Any) -> dict[str, Any]:
    return {"schedule": "tidy", "minion": "m1", "planned": 0.0, "verdict": verdict, "at": 0.0, "jid": None,
            "cause": "plan", "count": 1, **more}


@pytest.mark.parametrize(("given", "shown"), [
    (run(jid="1-a", states={"succeeded": 2, "failed": 1}), "ran 1-a 2 succeeded, 1 failed"),
    (run("late", at=12.0, jid="1-a"), "late 1-a 12.0s late"),
    (run("missed", count=31, last=60.0, reason="nobody was there"),
     "missed 31 runs until 1970-01-01 00:01:00; nobody was there"),
    (run(cause="retry", attempt=2), "ran retry 2"), (run(cause="then", by="dump"), "ran after dump"),
    (run(cause="on_failure", by="dump"), "ran after the failure of dump"),
    (run(cause="by_hand", by="ann"), "ran by ann"),
    (run(cause="run_on_start"), "ran at the start"), (run("failed_to_start", reason="no"), "failed_to_start no"),
])
def test_a_planned_run_in_one_line(given: dict[str, Any], shown: str) -> None:
    titles, line = render("runs", {"runs": [given]}, width=200).splitlines()
    assert titles.split() == ["PLANNED", "SCHEDULE", "MINION", "VERDICT", "JID", "STATES", "WHY"]
    assert " ".join(line.split()) == f"1970-01-01 00:00:00 tidy m1 {shown}"


def test_entries_in_a_table() -> None:
    entries = [{"name": "tidy", "status": "scheduled", "function": "cmd.run", "args": ["a b"], "target": "web*",
                "at": ["03:00", "mon 10:00"], "next": 5.0,
                "last_verdict": "ran", "last_state": "failed", "origin": "f line 3"},
               {"name": "bad", "origin": "f line 9", "broken": "it has no key 'evry'"}]
    lines = [" ".join(line.split()) for line in render("schedules", entries, width=200).splitlines()]
    assert lines == ["NAME STATUS RUNS WHEN NEXT LAST FROM",
                     "tidy scheduled cmd.run 'a b' on web* at 03:00, mon 10:00 1970-01-01 00:00:05 ran, "
                     "failed f line 3",
                     "bad broken f line 9; it has no key 'evry'"]
    assert render("schedules", []) == ""


def test_when_entries_run() -> None:
    def when(**fields: Any) -> str:
        shown = render("schedules", [{"name": "n", "status": "s", "function": "f", **fields}], width=200)
        return " ".join(shown.splitlines()[1].split()[3:])

    assert when(every="5m") == "every 5m"
    assert when(cron="* * * * *") == "cron * * * * *"
    assert when(calendar={"day": "last", "hour": "3"}) == "calendar day=last, hour=3"
    assert when(continuous=True) == "continuous"
    assert when() == "by hand"
    assert when(at=["03:00"], timezone="Asia/Tokyo") == "at 03:00 (Asia/Tokyo)"
    assert when(cron="0 3 * * *", zone="Europe/Berlin") == "cron 0 3 * * * (Europe/Berlin)"
    assert (when(at=["03:00"], zone="Etc/UTC"), when(every="5m", timezone="Asia/Tokyo")) == ("at 03:00", "every 5m")


def test_entries_that_minions_return_are_a_table_too() -> None:
    entry = {"name": "tidy", "status": "held", "function": "f", "next": 5.0}
    assert render_pair("m1", {"state": "succeeded", "return": [entry]}, function="schedule.list").splitlines() == [
        "m1  succeeded", "  NAME  STATUS  RUNS  WHEN     NEXT                 LAST  FROM",
        "  tidy  held    f     by hand  1970-01-01 00:00:05"]
    assert "next: 1970-01-01 00:00:05" in render_pair("m1", {"return": entry}, function="schedule.show")
    assert "next: 5" in render_pair("m1", {"return": entry}, function="site.show")


@pytest.mark.parametrize("key", ["name", "status", "function", "args", "next", "at", "calendar", "broken", "origin"])
@pytest.mark.parametrize("value", [None, 1, "x", [1], {"a": 1}, [[1]], True])
def test_a_minion_may_return_anything(key: str, value: Any) -> None:
    entry = {"name": "tidy", "status": "held", "function": "f", "next": 5.0, key: value}
    assert render_pair("m1", {"state": "succeeded", "return": [entry, entry]}, function="schedule.list")
    assert render_pair("m1", {"state": "succeeded", "return": value}, function="schedule.list")


def test_where_one_stands_without_what_is_not_so() -> None:
    entry = {"name": "tidy", "next": 60.0, "running": [], "paused": "", "last_jid": None, "runs": 0, "enabled": False,
             "waiting": [{"planned": 1.0, "due": 2.0}], "changed": ["every"], "done": True}
    assert render("schedule", entry).splitlines() == [
        "name: tidy", "next: 1970-01-01 00:01:00", "runs: 0", "enabled: false", "waiting:",
        "  - planned: 1970-01-01 00:00:01", "    due: 1970-01-01 00:00:02"]
    assert render("schedule", []) == "", "no run came due"
    assert render("schedule", {"next": [1.0]}).splitlines() == ["next:", "  - 1970-01-01 00:00:01"]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("kind", "value"), [
    ("runs", {"runs": [run(HOSTILE, schedule=HOSTILE, minion=HOSTILE, jid=HOSTILE, reason=HOSTILE, by=HOSTILE,
                           cause=HOSTILE, states={HOSTILE: 1})]}),
    ("schedules", [{"name": HOSTILE, "status": HOSTILE, "function": HOSTILE, "args": [HOSTILE], "target": HOSTILE,
                    "last_verdict": HOSTILE, "origin": HOSTILE, "broken": HOSTILE}]),
    ("schedule", {HOSTILE: [HOSTILE], "next": HOSTILE})])
def test_nothing_that_minions_say_moves_the_cursor(kind: Any, value: Any, fmt: Any) -> None:
    if fmt != "raw":
        assert not UNSAFE.search(render(kind, value, fmt, width=100))


def test_json_is_the_value_itself() -> None:
    value = {"runs": [run()], "next": None}
    assert json.loads(render("runs", value, "json")) == value
    assert [json.loads(line) for line in render("runs", value, "jsonl").splitlines()] == [run()]


def test_a_paused_entry_shows_no_next_run_and_moved_runs_show_local_times() -> None:  # S24
    rows = [{"name": "a", "status": "paused", "next": 1e9}, {"name": "b", "status": "scheduled", "next": 1e9}]
    assert render("schedules", rows).count(local_time(1e9)) == 1
    shown = render("schedule", {"name": "a", "skips": [1e9], "moved": [[1e9, 1.1e9]]})
    assert (shown.count(local_time(1e9)), shown.count(local_time(1.1e9))) == (2, 1)
