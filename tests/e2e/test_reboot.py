"""A minion's host is switched off in the middle of its jobs and comes back in another boot, as the kernel tells it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from common import clock
from tests.chaos import reboot
from tests.chaos.members import Members, members
from tests.lib.wait import until

JOB = "echo {name} >>{ran}; until [ -e {gate} ]; do sleep 0.02; done"
EXPIRES = 3.0


def test_every_job_has_a_true_end_after_a_reboot(tmp_path: Path) -> None:
    # R-A5, P2, P4: both sides are down. What ran is lost, what had ended is delivered, what waited starts only when
    # the master has told the time, and only if its time to start has not passed.
    if why := reboot.missing(tmp_path):
        pytest.skip(why)
    with members(1) as fleet:
        fleet.fleet.configure("m1", max_jobs=2)
        fleet.minions[0].end(signal.SIGTERM)
        fleet.up()
        jids, boot_id, published = switched_off(fleet)
        ran = fleet.fleet.base / "ran"
        before = ran.read_text()
        reboot.boot(fleet, fleet.minions[0])
        until(lambda: clock.boottime() > published + EXPIRES, EXPIRES * 2, "one job may start no more")
        assert (fleet.fleet.record(jids["waits"]).exists(), ran.read_text()) == (True, before)
        fleet.up()
        pairs = {name: fleet.fleet.ended(jid) for name, jid in jids.items()}
        assert {name: pair["state"] for name, pair in pairs.items()} == {
            "ended": "succeeded", "runs": "lost", "follows": "lost", "waits": "succeeded", "expires": "lost"}
        for name in ("runs", "follows"):
            assert pairs[name]["evidence"]["reason"] == "the host restarted while the job ran"
            assert pairs[name]["evidence"]["boot_id"] == boot_id
        assert "its time to start passed" in pairs["expires"]["evidence"]["reason"]
        assert ran.read_text().split() == ["ended", "runs", "follows", "waits"]
        fleet.fleet.acked()


def switched_off(members: Members) -> tuple[dict[str, str], str, float]:
    """Five jobs on two places, and then no power: one job has ended, two run, two wait for their turn.

    Their jids by name, the boot id, and when the last of them was published (boot time).
    """
    fleet = members.fleet
    (fleet.base / "gate-waits").touch()
    jids = {}
    for name in ("ended", "runs", "follows", "waits", "expires"):
        words = ["--expires", f"{EXPIRES:g}s"] if name == "expires" else []
        line = JOB.format(name=name, ran=fleet.base / "ran", gate=fleet.base / f"gate-{name}")
        jids[name] = fleet.start(*words, "m1", "cmd.run", line)
        until(fleet.record(jids[name]).exists, what=f"{name} is accepted")
        if name == "runs":
            fleet.running(jids[name])
    published = clock.boottime()
    members.master.end(signal.SIGKILL)
    (fleet.base / "gate-ended").touch()
    fleet.over(jids["ended"])
    until(lambda: "follows" in (fleet.base / "ran").read_text(), what="the next job runs in its place")
    boot_id: str = json.loads(fleet.record(jids["runs"]).read_text())["boot_id"]
    assert reboot.switch_off(members, members.minions[0])
    return jids, boot_id, published
