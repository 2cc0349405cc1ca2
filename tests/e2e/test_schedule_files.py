"""Files of a schedule under a real agent: edits count while it runs, a bad entry costs only itself. # S24 F30 I19"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1, lambda base: {"JR_MINION_LOOK_EVERY": "1s"}) as fleet:
        fleet.configure("m1", schedule={
            "keep": {"function": "test.ping", "every": "1h"},
            "bad": {"function": "test.ping", "every": "soon"},
            "windowed": {"function": "test.ping", "every": "1h", "during": ["night"]},
        })
        fleet.restart("m1")
        yield fleet


def listed(fleet: Fleet) -> dict[str, Any]:
    entries = fleet.call("m1", "schedule.list").json["m1"]["return"]
    return {entry["name"]: entry for entry in entries}


def usable(fleet: Fleet) -> set[str]:
    return {name for name, entry in listed(fleet).items() if "broken" not in entry}


def line_of(path: Path, name: str) -> str:
    """Where an entry stands, as errors say it."""
    number = next(number for number, line in enumerate(path.read_text().splitlines(), 1)
                  if line.strip().startswith(f"{name}:"))
    return f"{path} line {number}"


def test_an_agent_starts_with_bad_entries_and_names_them(fleet: Fleet) -> None:
    settings = fleet.settings("m1")
    bad = f"cannot use {line_of(settings, 'bad')}: schedule 'bad': every is 'soon'"
    windowed = f"cannot use {line_of(settings, 'windowed')}: schedule 'windowed': it names the period 'night', which is"
    log = fleet.log("m1")
    assert log.count(bad) == log.count(windowed) == 1

    entries = listed(fleet)
    assert set(entries) == {"keep", "bad", "windowed"}
    assert "every is 'soon'" in entries["bad"]["broken"]
    assert entries["keep"]["origin"] == line_of(settings, "keep")
    assert fleet.call("m1", "sys.status").json["m1"]["return"]["schedule_problems"] == 2

    checked = fleet.command("jr-minion", "--check-config", root=fleet.minion("m1"))
    assert checked.code == 2
    assert [bad in checked.err, windowed in checked.err, "keep" in checked.err] == [True, True, False]
    assert f"schedule keep: <test.ping every 3600 s>  ({line_of(settings, 'keep')})" in checked.out


def test_files_that_come_change_and_go_count_at_once_and_nothing_else_changes(fleet: Fleet) -> None:
    planned = listed(fleet)["keep"]["next"]
    folder = fleet.minion("m1") / "etc/jr/schedule.d"
    folder.mkdir()
    path = folder / "mine.yaml"
    ran = fleet.base / "ran"
    path.write_text(yaml.safe_dump({"tick": {"function": "cmd.run", "args": [f"echo >> {ran}"], "every": "1s"}}))
    until(ran.exists, what="the new entry runs")

    path.write_text(yaml.safe_dump({"tick": {"function": "test.ping", "cron": "0 3 * * *"}, "wrong": {"every": "1s"}}))
    fleet.send("m1", signal.SIGHUP)  # which saves the time until the next look
    until(lambda: listed(fleet).get("tick", {}).get("cron"), what="the edit counts")
    wrong = f"cannot use {path} line 4: schedule 'wrong': it needs a \"function\""
    assert fleet.log("m1").count(wrong) == 1

    path.write_text("tick: {function: [\n")
    fleet.send("m1", signal.SIGHUP)
    until(lambda: f"cannot use {path} line 2: it is not YAML" in fleet.log("m1"), what="the file is refused")
    assert listed(fleet)["tick"]["cron"] == "0 3 * * *", "what it said before holds"

    path.unlink()
    until(lambda: usable(fleet) == {"keep"}, what="the deletion counts")
    assert listed(fleet)["keep"]["next"] == planned


def test_sighup_reads_the_files_also_the_settings(fleet: Fleet) -> None:
    pid, planned = fleet.pid("m1"), listed(fleet)["keep"]["next"]
    settings = yaml.safe_load(fleet.settings("m1").read_text())
    settings["schedule"]["bad"]["every"] = "2h"
    fleet.configure("m1", schedule=settings["schedule"], periods={"night": {"monday - sunday": "22:00-06:00"}})
    fleet.send("m1", signal.SIGHUP)
    until(lambda: usable(fleet) == {"keep", "bad", "windowed"}, what="the settings file is read again")
    assert (fleet.pid("m1"), listed(fleet)["keep"]["next"]) == (pid, planned)
    assert fleet.command("jr-minion", "--check-config", root=fleet.minion("m1")).code == 0

    # I19: a period that goes while it is in use cannot be refused, since a file is edited; its entry stops alone.
    fleet.configure("m1", periods={})
    fleet.send("m1", signal.SIGHUP)
    until(lambda: usable(fleet) == {"keep", "bad"}, what="the period is gone")
    assert "it names the period 'night', which is not there" in listed(fleet)["windowed"]["broken"]


def test_a_schedule_with_nothing_in_it_idles(fleet: Fleet) -> None:
    # P26: no entry, and entries without a trigger.
    for schedule in ({}, {"by_hand": {"function": "test.ping"}, "off": {"function": "test.ping", "enabled": False}}):
        fleet.configure("m1", schedule=schedule)
        fleet.send("m1", signal.SIGHUP)
        until(lambda names=set(schedule): usable(fleet) == names, what="the schedule is read")
        assert fleet.jr("m1", "test.ping").code == 0
    assert all(entry["next"] is None for entry in listed(fleet).values())


def test_the_master_reads_files_of_its_own(fleet: Fleet) -> None:
    folder = fleet.root / "etc/jr/master-schedule.d"
    folder.mkdir()
    path = folder / "fleet.yaml"

    def rows() -> dict[str, Any]:
        return {entry["name"]: entry for entry in fleet.run("schedule.list").json}

    assert rows() == {}
    path.write_text("all: {function: test.ping, target: '*', every: 1s}\nbad: {function: manage.up, tagret: x}\n")
    fleet.send("master", signal.SIGHUP)
    until(lambda: set(rows()) == {"all", "bad"}, what="the file is read")
    until(lambda: fleet.run("jobs.list_jobs", "schedule=all").json["jobs"], what="it runs")
    problem = f"cannot use {path} line 2: schedule 'bad': it has no key 'tagret'"
    assert problem in fleet.log("master")
    assert rows()["all"]["origin"] == f"{path} line 1"
    assert fleet.run("manage.master").json["schedule_problems"] == 1
    checked = fleet.command("jr-master", "--check-config")
    assert (checked.code, problem in checked.err) == (2, True)

    path.unlink()
    fleet.send("master", signal.SIGHUP)
    until(lambda: rows() == {}, what="the deletion counts")
    assert fleet.run("manage.master").json["schedule_problems"] == 0


def test_a_minion_never_takes_an_entry_that_has_a_target(fleet: Fleet) -> None:
    fleet.configure("m1", schedule={"all": {"function": "test.ping", "target": "*", "every": "1s"}})
    checked = fleet.command("jr-minion", "--check-config", root=fleet.minion("m1"))
    checked.fails(2, f"{fleet.settings('m1')} line", "schedule 'all': target is for the master's own schedule")
