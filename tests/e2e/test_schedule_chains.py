"""R-B31, R-B27: what follows a run follows it too when it ends while its daemon is down."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until


def entries(base: Path) -> dict[str, Any]:
    """A run that succeeds and one that fails, each as soon as the test lets it, and what follows them."""
    wait = f"until test -e {base / 'go'}; do sleep 0.1; done"
    mark = f"echo $JR_JID >> {base}/"
    return {
        "ok": {"function": "cmd.run", "args": [f"{mark}ok; {wait}"], "then": "after_ok",
               "on_failure": "after_bad"},
        "bad": {"function": "cmd.run", "args": [f"{mark}bad; {wait}; false"], "retries": 1, "retry_delay": "0.1s",
                "on_failure": "after_bad", "pause_after_failures": 1},
        "after_ok": {"function": "cmd.run", "args": [f"{mark}after_ok"]},
        "after_bad": {"function": "cmd.run", "args": [f"{mark}after_bad"]},
    }


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        fleet.configure("m1", schedule=entries(fleet.base))
        fleet.configure("master", schedule={name: {**each, "target": "m1"}
                                            for name, each in entries(fleet.base).items()})
        fleet.restart("master", "m1")
        until(lambda: fleet.run("manage.up").json == ["m1"], what="it is connected")
        yield fleet


@contextlib.contextmanager
def busy(database: Path) -> Iterator[None]:
    """Somebody else holds a database for as long as the block lasts."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def ran(fleet: Fleet, name: str) -> int:
    """How often the job of an entry began."""
    path = fleet.base / name
    return len(path.read_text().split()) if path.exists() else 0


def is_told(fleet: Fleet) -> bool:
    """Whether all that follows has run, each once."""
    return [ran(fleet, name) for name in ("ok", "after_ok", "bad", "after_bad")] == [1, 1, 2, 1]


@pytest.fixture(autouse=True)
def _bare(fleet: Fleet) -> None:
    for name in ("ok", "bad", "after_ok", "after_bad", "go"):
        (fleet.base / name).unlink(missing_ok=True)


def test_a_run_that_ended_while_its_agent_was_down_is_followed_up(fleet: Fleet) -> None:
    for name in ("ok", "bad"):
        assert fleet.job("m1", "schedule.run_job", name).code == 0
    until(lambda: ran(fleet, "ok") == ran(fleet, "bad") == 1, what="both run")
    fleet.acked()
    fleet.end("m1", signal.SIGKILL)
    (fleet.base / "go").touch()
    until(lambda: len(list((fleet.state("m1") / "spool").iterdir())) == 2, what="both returns")
    jids = [(fleet.base / name).read_text().strip() for name in ("ok", "bad")]
    with busy(fleet.state("m1") / "schedule.db"):
        fleet.up()  # the master takes both returns before the schedule can look at its journal
        for jid in jids:
            fleet.ended(jid)
    until(lambda: is_told(fleet), what="all that follows")
    until(lambda: fleet.job("m1", "schedule.job_status", "bad").pair()["return"].get("paused"), what="its pause")
    fleet.acked()  # nothing is kept back for ever


def test_a_run_whose_return_was_damaged_while_its_agent_was_down_is_lost_and_followed_up_as_such(fleet: Fleet) -> None:
    """R-B28, R-B31: nobody knows how it ended, so it is no success; that is told, and not passed over in silence."""
    assert fleet.job("m1", "schedule.run_job", "ok").code == 0
    until(lambda: ran(fleet, "ok") == 1, what="it runs")
    fleet.acked()
    fleet.end("m1", signal.SIGKILL)
    (fleet.base / "go").touch()
    spool = fleet.state("m1") / "spool"
    until(lambda: len(list(spool.iterdir())) == 1, what="its return")
    next(spool.iterdir()).write_bytes(b"jr1\nhalf of it is gone")
    fleet.up()
    until(lambda: ran(fleet, "after_bad") == 1, what="what follows a failure")
    told = fleet.job("m1", "schedule.job_status", "ok").pair()["return"]
    assert (told["last_state"], told["running"], ran(fleet, "after_ok")) == ("lost", [], 0)
    jid = (fleet.base / "ok").read_text().strip()
    assert f"cannot tell how {jid}, a run of ok, ended" in fleet.log("m1")
    assert fleet.ended(jid)["state"] == "lost"


def test_a_fleet_job_of_the_masters_schedule_that_ended_while_it_was_down_is_followed_up(fleet: Fleet) -> None:
    for name in ("ok", "bad"):
        assert fleet.run("schedule.run_job", f"name={name}").code == 0
    until(lambda: ran(fleet, "ok") == ran(fleet, "bad") == 1, what="both run")
    fleet.end("master", signal.SIGKILL)
    (fleet.base / "go").touch()
    until(lambda: len(list((fleet.state("m1") / "spool").iterdir())) >= 2, what="both returns")
    fleet.up()
    until(lambda: is_told(fleet), what="all that follows")
    until(lambda: fleet.run("schedule.job_status", "name=bad").json.get("paused"), what="its pause")
