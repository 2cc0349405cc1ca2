"""S23: who belongs to the fleet. A minion without a token waits; a rejected one is cut."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.newcomers import keys, master_of, newcomer
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def test_a_minion_without_a_token_waits_until_it_is_accepted(fleet: Fleet) -> None:
    with newcomer(fleet, "w1", **master_of(fleet)) as process:
        until(lambda: keys(fleet).get("w1", {}).get("state") == "pending", what="its key is filed")
        assert fleet.job("-L", "w1", "test.ping").pair("w1")["state"] == "undelivered"
        assert fleet.jr("w1", "test.ping").code == 3, "a pattern picks members only"
        assert "w1" not in fleet.run("manage.status").json

        # The operator compares what both sides show.
        assert fleet.key("finger", "w1", "-o", "json").json == {"w1": keys(fleet)["w1"]["fingerprint"]}
        shown = fleet.command("jr-minion", "--finger", "--id", "w1", root=fleet.minion("w1"))
        assert shown.out == f"w1  {keys(fleet)['w1']['fingerprint']}\n"
        # m1 and m2 are members already: --all means those that wait.
        assert fleet.key("accept", "--all", "-o", "json").json == {"changed": ["w1"]}
        until(lambda: "w1" in fleet.run("manage.up").json, seconds=20, what="it connects")
        assert fleet.job("w1", "test.ping").pair("w1")["return"] is True
        assert process.poll() is None


def test_a_token_lets_one_minion_in_at_once(fleet: Fleet) -> None:
    made = fleet.key("token", "--minion", "t1", "--ttl", "5m", "-o", "json").json
    assert 0 < made["expires"] - time.time() <= 300
    with newcomer(fleet, "t1", join=made["join"]):
        until(lambda: "t1" in fleet.run("manage.up").json, what="it is in")
        # It was good once, and for that name.
        with newcomer(fleet, "t2", join=made["join"]):
            until(lambda: keys(fleet).get("t2", {}).get("state") == "pending" or "token" in fleet.log("t2"),
                  what="the second one is told")
            assert "t2" not in fleet.run("manage.status").json


def test_a_token_for_another_name_lets_nobody_in(fleet: Fleet) -> None:
    join = fleet.key("token", "--minion", "somebody").out.strip()
    with newcomer(fleet, "t3", join=join):
        until(lambda: "t3" in keys(fleet) or "token" in fleet.log("t3"), what="it is told")
        assert keys(fleet).get("t3", {}).get("state") != "accepted"
        assert fleet.job("-L", "t3", "test.ping").pair("t3")["state"] == "undelivered"


def test_a_rejected_key_is_cut_within_two_seconds(fleet: Fleet) -> None:
    # S23
    jid = fleet.start("m2", "cmd.run", "sleep 100")
    fleet.running(jid, "m2")
    assert fleet.key("reject", "m2").code == 0
    until(lambda: "m2" not in fleet.run("manage.up").json, what="it is cut")
    until(lambda: fleet.job("m1", "test.ping").code == 0, what="the others are not")
    assert fleet.job("-L", "m2", "test.ping").pair("m2")["state"] == "undelivered"
    assert keys(fleet)["m2"]["state"] == "rejected"
    assert fleet.of_job(jid), "its job goes on: nobody asked to kill it"

    assert fleet.key("accept", "m2").code == 0
    until(lambda: "m2" in fleet.run("manage.up").json, seconds=20, what="it is back")
    assert fleet.running(jid, "m2")
    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.lookup(jid)["minions"]["m2"]["state"] == "killed"


def test_a_deleted_key_closes_what_its_minion_still_owes(fleet: Fleet) -> None:
    # DESIGN 6
    with newcomer(fleet, "d1", join=fleet.key("token").out.strip()) as process:
        until(lambda: "d1" in fleet.run("manage.up").json, what="it is in")
        jid = fleet.start("d1", "cmd.exec", "sleep", "100")
        pid = fleet.running(jid, "d1")["pid"]
        process.send_signal(signal.SIGSTOP)  # so that it does not ask again at once
        assert fleet.key("delete", "d1").code == 0

        assert "d1" not in keys(fleet)
        assert fleet.lookup(jid)["minions"]["d1"]["state"] == "lost"
        process.send_signal(signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not fleet.of_job(jid), what="the job is over")


def test_keys_that_are_not_there(fleet: Fleet) -> None:
    for verb in ("accept", "reject", "delete"):
        fleet.key(verb, "m9").fails(3, "m9")
        fleet.key(verb, "../m1").fails(2, "../m1")
        fleet.key(verb, "m1", "--all").fails(2)
    assert keys(fleet)["m1"]["state"] == "accepted"


def test_a_wrong_master_key_is_never_spoken_to(fleet: Fleet) -> None:
    # DESIGN 5: no trust on first use.
    wrong = {**master_of(fleet), "master_key": keys(fleet)["m1"]["key"]}
    with newcomer(fleet, "x1", **wrong) as process:
        until(lambda: (fleet.minion("x1") / "run/jr/minion.sock").exists(), what="it is up")
        # It goes on trying; what it must not do is get through. Its own answers do not depend on a master.
        assert fleet.call("x1", "test.ping").json["x1"]["return"] is True
        assert "x1" not in keys(fleet)
        assert process.poll() is None
