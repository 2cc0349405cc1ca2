"""Small parts of the daemons: master time, ages, cancelled tasks, who is there."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from common import clock
from common.aio import cancelled, guarded
from common.clock import MasterClock, local_zone
from common.ids import MinionId
from common.link import Connection
from common.messages import HeldJob
from common.states import State
from master.core.presence import COMPARING, SILENCE, Fleet
from master.core.retention import Retention
from tests.lib.stored import jid

M1, M2 = MinionId("m1"), MinionId("m2")
ONE, TWO = Connection(1), Connection(2)


# master time


class Clocks:
    """Both clocks of a host, as the test sets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.boot = 1000.0, 50.0
        monkeypatch.setattr(clock, "wall", lambda: self.wall)
        monkeypatch.setattr(clock, "boottime", lambda: self.boot)


def test_master_time_does_not_step(monkeypatch: pytest.MonkeyPatch) -> None:  # DESIGN 5, rule 6
    clocks = Clocks(monkeypatch)
    master = MasterClock()
    assert master.now() == 1000
    clocks.boot += 5
    clocks.wall += 10 * 365 * 86400
    assert master.now() == 1005
    clocks.wall = 0
    assert master.now() == 1005


def test_master_time_never_falls_behind_the_former_run(monkeypatch: pytest.MonkeyPatch) -> None:
    Clocks(monkeypatch)
    assert MasterClock(floor=5000).now() == 5000
    assert MasterClock(floor=500).now() == 1000


def test_the_clocks_run() -> None:
    assert clock.wall() > 1.7e9
    assert clock.boottime() <= clock.boottime()
    assert len(clock.boot_id()) == 36
    assert clock.boot_id() == clock.boot_id()


def test_the_zone_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Stockholm")
    assert local_zone() == ZoneInfo("Europe/Stockholm")
    monkeypatch.setenv("TZ", ":Africa/Cairo")
    assert local_zone() == ZoneInfo("Africa/Cairo")


@pytest.mark.parametrize("name", ["No/Such", "../../etc/passwd", "\u00e9"])
def test_a_zone_that_nobody_knows_is_utc(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    assert local_zone() is UTC


def test_without_a_name_the_host_says_it_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    offset = datetime(2026, 1, 1, tzinfo=local_zone()).utcoffset()
    assert offset is not None
    assert offset < timedelta(days=1)
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("localtime")))
    assert local_zone() is UTC


# ages


@pytest.mark.parametrize(("keep_jobs", "keep_pairs", "limits"), [
    (86400, 30 * 86400, (86400, 30 * 86400)),
    (60 * 86400, 30 * 86400, (60 * 86400, 60 * 86400)),  # a pair is never shorter-lived than its value
    (0, 30 * 86400, (math.inf, math.inf)),  # S11: 0 keeps for ever
])
def test_what_is_over_is_kept_for(keep_jobs: float, keep_pairs: float, limits: tuple[float, float]) -> None:
    assert Retention(keep_jobs, keep_pairs).limits() == limits


# tasks


@pytest.mark.parametrize("ends", ["waits", "fails", "is done"])
def test_a_task_is_cancelled_whatever_its_end(ends: str) -> None:
    async def work() -> None:
        if ends == "waits":
            await asyncio.Event().wait()
        if ends == "fails":
            raise ValueError

    async def scene() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        await cancelled(task)
        assert task.done()

    asyncio.run(scene())


@pytest.mark.parametrize(("error", "reason"), [
    (ValueError("too odd"), "housekeeping failed: too odd"), (OSError(28, "no space"), "no space"),
    (KeyError(), "housekeeping failed: KeyError"),
])
def test_a_task_that_must_not_fail_ends_the_daemon_when_it_does(
    error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:  # P9
    reasons: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    async def scene() -> None:
        task = guarded(work, "housekeeping", reasons.append)
        assert task.get_name() == "housekeeping"
        await asyncio.wait_for(task, 10)

    asyncio.run(scene())
    assert len(reasons) == 1
    assert reason in reasons[0]
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("ends", ["before it begins", "while it waits", "after it is done"])
def test_a_task_that_is_cancelled_or_done_has_not_failed(ends: str) -> None:
    reasons: list[str] = []

    async def work() -> None:
        if ends == "while it waits":
            await asyncio.Event().wait()

    async def scene() -> None:
        task = guarded(work, "housekeeping", reasons.append)
        if ends != "before it begins":
            await asyncio.sleep(0)
        await cancelled(task)
        assert task.cancelled() is (ends != "after it is done")

    asyncio.run(scene())
    assert reasons == []


# who is there


def test_the_newest_connection_counts() -> None:
    fleet = Fleet()
    assert fleet.add(M1, ONE, 0) is None
    assert fleet.add(M1, ONE, 1) is None
    assert fleet.add(M1, TWO, 5) == ONE
    presence = fleet.get(M1)
    assert presence is not None
    assert (presence.connection, presence.since, presence.heard) == (TWO, 0, 5)
    assert fleet.heard(M1, ONE, 6) is None
    assert not fleet.remove(M1, ONE)
    assert fleet.remove(M1, TWO)
    assert not fleet.remove(M1, TWO)
    assert fleet.heard(M1, TWO, 7) is None
    assert fleet.up() == []


def test_jobs_go_to_those_who_have_said_what_they_hold() -> None:
    fleet = Fleet()
    assert fleet.synced(M1) is None
    fleet.add(M1, ONE, 0)
    assert fleet.synced(M1) is None
    presence = fleet.heard(M1, ONE, 1)
    assert presence is not None
    assert presence.held is not None
    presence.held += [HeldJob(jid(1), State.RUNNING)]
    assert fleet.compared(M1) == [HeldJob(jid(1), State.RUNNING)]
    assert fleet.synced(M1) == ONE


def test_who_does_not_say_what_it_holds_is_found() -> None:
    fleet = Fleet()
    fleet.add(M1, ONE, 0)
    fleet.add(M2, TWO, 1)
    fleet.compared(M2)
    assert fleet.uncompared(COMPARING - 1) == []
    assert fleet.uncompared(COMPARING + 9) == [(M1, ONE)]
    fleet.add(M1, ONE, 100)
    fleet.remove(M1, ONE)
    assert fleet.uncompared(1e9) == []


def test_silence_costs_nothing_while_frames_come() -> None:
    fleet = Fleet()
    fleet.add(M1, ONE, 0)
    fleet.compared(M1)
    for at in range(1, 41):
        fleet.heard(M1, ONE, at)
    assert fleet.next() == SILENCE  # no timer was moved by any frame
    assert fleet.silent(SILENCE) == []
    assert fleet.next() == 40 + SILENCE
    assert fleet.silent(40 + SILENCE) == [(M1, ONE)]


def test_the_masters_own_host_is_never_silent() -> None:
    fleet = Fleet()
    fleet.add(M1, ONE, 0)
    fleet.stay(M1)
    assert fleet.next() is None
    assert fleet.silent(1e9) == []
