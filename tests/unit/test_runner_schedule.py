"""The runners schedule.*: what they ask of a master, and how they read what was typed. # R-S24, R-B05"""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import Exit, UsageError
from common.schedule.desk import when
from runners import registry
from runners.entries import parse_fields


class Asked:
    """A master that keeps what it is asked, and gives the answers it was made with."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def runs(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return self.answers.pop(0)

    def schedule(self, do: str, **fields: Any) -> Any:
        self.asked.append((do, {name: value for name, value in fields.items() if value is not None}))
        return self.answers.pop(0)


def call(master: Any, name: str, *args: str, **kwargs: str) -> Any:
    return registry.call(f"schedule.{name}", master, args, kwargs)


def test_an_audit_reads_page_after_page_and_counts_stretches_in_full() -> None:
    master = Asked({"runs": [{"verdict": "ran", "count": 1, "planned": 9.0}], "next": "9.0/1"},
                   {"runs": [{"verdict": "missed", "count": 40, "planned": 1.0}], "next": "8.0/1"})
    report = call(master, "audit", "t*", minion="m1", since="1767225600", limit="2")
    assert [asked["limit"] for asked in master.asked] == [2, 1]
    assert [asked["cursor"] for asked in master.asked] == [None, "9.0/1"]
    assert master.asked[0]["filters"] == {"schedule": "t*", "minion": "m1", "since": 1767225600.0}
    assert report.value["counts"] == {"ran": 1, "missed": 40}
    assert report.note == "1 ran, 40 missed; there are more: cursor=8.0/1"


def test_rows_of_an_audit_stand_by_their_planned_start() -> None:
    given = [{"verdict": "missed", "count": 5, "planned": 1.0, "last": 9.0},
             {"verdict": "ran", "count": 1, "planned": 8.0}, {"verdict": "late", "count": 1, "planned": 1.0},
             {"verdict": "ran", "count": 1, "planned": 0.5}]
    runs = call(Asked({"runs": given, "next": None}), "audit").value["runs"]
    assert [(run["planned"], run["verdict"]) for run in runs] == [
        (8.0, "ran"), (1.0, "missed"), (1.0, "late"), (0.5, "ran")]


def test_an_audit_of_nothing_and_of_nonsense() -> None:
    assert call(Asked({"runs": [], "next": None}), "audit").note == "no planned runs"
    with pytest.raises(UsageError, match="did you mean \"missed\""):
        call(Asked(), "audit", verdict="mised")
    with pytest.raises(UsageError, match="limit must be 1"):
        call(Asked(), "audit", limit="0")
    with pytest.raises(UsageError, match="since=soon"):
        call(Asked(), "audit", since="soon")


def test_fields_are_read_as_a_file_would_but_times_stay_text() -> None:
    assert parse_fields({"every": "30m", "at": "03:00", "cron": "*/5 * * * *", "retries": "3", "enabled": "false",
                         "args": "[a, 1]", "overlap": "{allow: 3}", "every_": "null", "once": "2026-01-01T00:00"}) == {
        "every": "30m", "at": "03:00", "cron": "*/5 * * * *", "retries": 3, "enabled": False, "args": ["a", 1],
        "overlap": {"allow": 3}, "every_": None, "once": "2026-01-01T00:00"}
    with pytest.raises(UsageError, match=r"cannot read args=\[a: it is no YAML"):
        parse_fields({"args": "[a"})


def test_what_is_asked_of_the_master() -> None:
    master = Asked({"done": True}, {"done": False}, {"verdict": "skipped_overlap"},
                   {"verdict": None, "reason": "it waits"}, {"verdict": "ran", "jid": "1"}, {"problems": ["x"]},
                   {"held": True})
    assert call(master, "add", "tidy", "cmd.run", args="[true]", every="1h").note == "added tidy"
    assert call(master, "modify", "tidy", every="null").note == "tidy was so already"
    assert call(master, "run_job", "tidy", force="true").exit is Exit.FAILED
    assert call(master, "run_job", "tidy").exit is Exit.OK
    assert call(master, "run_job", "tidy").value["jid"] == "1"
    assert call(master, "reload").exit is Exit.FAILED
    call(master, "hold")
    assert master.asked == [
        ("add", {"name": "tidy", "fields": {"function": "cmd.run", "args": [True], "every": "1h"}}),
        ("modify", {"name": "tidy", "fields": {"every": None}}), ("run_job", {"name": "tidy", "force": True}),
        ("run_job", {"name": "tidy", "force": False}), ("run_job", {"name": "tidy", "force": False}),
        ("reload", {"forget": False}), ("hold", {})]


@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("copy", ("tidy",), {}), ("move", ("tidy",), {}), ("copy", ("tidy",), {"source": "m1"}),
    ("move", ("tidy",), {"target": "m1"}), ("run_job", ("tidy",), {"force": "perhaps"}), ("show", (), {})])
def test_what_makes_no_sense_is_not_asked(name: str, args: tuple[str, ...], kwargs: dict[str, str]) -> None:
    master = Asked()
    with pytest.raises(UsageError):
        call(master, name, *args, **kwargs)
    assert master.asked == []


@pytest.mark.parametrize(("given", "meant"), [
    (1767225600, 1767225600.0), ("1767225600.5", 1767225600.5), ("2026-01-01T00:00:00+00:00", 1767225600.0)])
def test_a_time(given: Any, meant: float) -> None:
    assert when("to", given) == meant


@pytest.mark.parametrize("given", ["", "soon", 5, True, float("nan"), "1e99", "-2h"])
def test_no_time(given: Any) -> None:
    with pytest.raises(UsageError, match="cannot read to="):
        when("to", given)
