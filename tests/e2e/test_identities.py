"""Whose key it is: cloned hosts, two hosts of one name, keys that are taken back, hosts that were renamed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.newcomers import keys, master_of, newcomer
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def all_keys(fleet: Fleet, name: str) -> list[Any]:
    return [key for key in fleet.key("list", "-o", "json").json["keys"] if key["id"] == name]


def up(fleet: Fleet, name: str) -> bool:
    return name in fleet.run("manage.up").json


def why(fleet: Fleet, name: str, known: str) -> str:
    """What the agent in a root says of its connection."""
    answer = fleet.call(name, "sys.status")
    return "" if answer.code else str(answer.json[known]["return"]["why"])


def clone(fleet: Fleet, name: str, copy: str) -> None:
    """Copy a minion's key, as an image of its machine would."""
    shutil.copytree(fleet.state(name) / "pki", fleet.state(copy) / "pki")
    for folder in (fleet.state(copy), fleet.state(copy) / "pki"):
        folder.chmod(0o700)


def counting(path: Path) -> str:
    """A shell line that leaves a mark for each time that it runs."""
    return f"echo ran >> {path}; sleep 100"


def test_an_agent_that_comes_back_is_no_clone(fleet: Fleet) -> None:  # R-A13: killed, stopped and continued, restarted
    for number in (signal.SIGKILL, signal.SIGTERM):
        fleet.restart("m2", number=number)
    fleet.send("m2", signal.SIGSTOP)
    fleet.send("m2", signal.SIGCONT)
    assert fleet.job("m2", "test.ping").pair("m2")["state"] == "succeeded"
    assert keys(fleet)["m2"]["state"] == "accepted"


def test_two_hosts_with_one_key_are_put_into_quarantine(fleet: Fleet) -> None:  # R-A13
    marks = fleet.base / "marks"
    before = fleet.start("m1", "cmd.run", counting(marks))
    fleet.running(before)
    clone(fleet, "m1", "c1")
    with newcomer(fleet, "c1", **{**master_of(fleet), "id": "m1"}):
        until(lambda: keys(fleet)["m1"]["state"] == "quarantined", seconds=60, what="two hosts are noticed")
        assert "two hosts answer with this key" in keys(fleet)["m1"]["reason"]
        assert "two hosts answer" in fleet.key("list").out
        status = fleet.run("manage.status").json["m1"]
        assert (status["up"], "two hosts" in status["quarantined"]) == (False, True)
        assert "key quarantined: two hosts answer" in fleet.log("master")

        refused = fleet.job("m[1]", "cmd.run", counting(marks)).pair("m1")
        assert (refused["state"], "in quarantine" in refused["evidence"]["reason"]) == ("undelivered", True)
        until(lambda: "quarantine" in why(fleet, "m1", "m1"), seconds=60, what="the host knows why")
        until(lambda: "quarantine" in why(fleet, "c1", "m1"), seconds=60, what="and so does its clone")
        assert fleet.lookup(before)["minions"]["m1"]["state"] == "running"
        assert fleet.of_job(before), "what runs goes on"
    # The clone is gone, or has a key of its own now: the other one may come back.
    assert fleet.key("accept", keys(fleet)["m1"]["fingerprint"]).code == 0
    until(lambda: up(fleet, "m1"), seconds=60, what="m1 is back")
    assert fleet.run("jobs.kill", before).code == 0
    assert fleet.lookup(before)["minions"]["m1"]["state"] == "killed"
    assert marks.read_text() == "ran\n", "no job ran on both, nor the refused one at all"


def test_two_hosts_of_one_name(fleet: Fleet) -> None:  # R-A14, S23
    with newcomer(fleet, "r1", **{**master_of(fleet), "id": "m2"}), newcomer(fleet, "w1", **master_of(fleet)):
        until(lambda: len(all_keys(fleet, "m2")) == 2 and "w1" in keys(fleet), seconds=60, what="the keys are filed")
        own, rival = all_keys(fleet, "m2")
        assert (own["state"], rival["state"]) == ("accepted", "pending")
        assert {own["fingerprint"], rival["fingerprint"]} <= set(fleet.key("list").out.split())
        assert fleet.job("m2", "test.ping").pair("m2")["return"] is True

        for verb in ("accept", "reject", "delete"):
            fleet.key(verb, "m2").fails(2, own["fingerprint"], rival["fingerprint"])
        fleet.key("accept", rival["fingerprint"]).fails(2, "another key holds this id")
        left = fleet.key("accept", "--all", "-o", "json")
        assert left.code == 1
        assert left.json == {"changed": ["w1"], "left": [{"id": "m2", "fingerprint": rival["fingerprint"]}]}
        assert rival["fingerprint"] in left.err
        until(lambda: up(fleet, "w1"), seconds=60, what="the other one is in")

        assert fleet.key("reject", rival["fingerprint"][:11]).code == 0
        assert [key["state"] for key in all_keys(fleet, "m2")] == ["accepted", "rejected"]
        assert fleet.job("m2", "test.ping").pair("m2")["return"] is True
    assert fleet.key("delete", rival["fingerprint"], "w1").code == 0
    assert fleet.key("accept", "ff:ff:ff:ff").code == 3


def test_the_return_of_a_rejected_minion_waits_until_it_is_accepted_again(fleet: Fleet) -> None:  # R-A12, S23
    go = fleet.base / "go"
    jid = fleet.start("m2", "cmd.run", f"until test -e {go}; do sleep 0.05; done; echo true end")
    fleet.running(jid, "m2")
    assert fleet.key("reject", "m2").code == 0
    until(lambda: not up(fleet, "m2"), what="it is cut")
    go.touch()
    fleet.over(jid, "m2")
    assert list((fleet.state("m2") / "spool").iterdir()), "it keeps what it could not say"
    assert fleet.lookup(jid)["minions"]["m2"]["state"] == "running"
    assert fleet.job("-L", "m2", "test.ping").pair("m2")["state"] == "undelivered"
    assert fleet.key("accept", "m2").code == 0
    pair = fleet.ended(jid, "m2")
    assert (pair["state"], pair["return"]) == ("succeeded", "true end")
    fleet.acked("m2")


def test_a_new_key_of_an_id_gets_nothing_that_was_sent_to_the_old_one(fleet: Fleet) -> None:  # DESIGN 6
    with newcomer(fleet, "d1", join=fleet.key("token").out.strip()):
        until(lambda: up(fleet, "d1"), seconds=60, what="it is in")
        sent = fleet.start("d1", "cmd.exec", "sleep", "100")
        fleet.running(sent, "d1")
        assert fleet.key("delete", keys(fleet)["d1"]["fingerprint"][:20]).code == 0
        until(lambda: not up(fleet, "d1"), what="it is cut")
        pair = fleet.lookup(sent)["minions"]["d1"]
        assert (pair["state"], pair["evidence"]["reason"]) == ("lost", "the minion's key was deleted")
        token = fleet.key("token", "--minion", "d1").out.strip()
        with newcomer(fleet, "d2", **{"id": "d1", "join": token}):
            until(lambda: up(fleet, "d1"), seconds=60, what="its successor is in")
            fresh = fleet.job("d1", "cmd.run", "true").json["jid"]
            claims = {name: {path.name for path in (fleet.state(name) / "claims").iterdir()} for name in ("d1", "d2")}
            assert (sent in claims["d1"], fresh in claims["d1"]) == (True, False)
            assert (sent in claims["d2"], fresh in claims["d2"]) == (False, True)
        assert fleet.call("d1", "job.kill_job", sent).code == 0
        until(lambda: not fleet.of_job(sent), seconds=60, what="the old one's job is over")


def test_a_minion_that_was_renamed_does_no_work_and_says_why(fleet: Fleet) -> None:
    with newcomer(fleet, "n1", join=fleet.key("token").out.strip()):
        until(lambda: up(fleet, "n1"), seconds=60, what="it is in")
    with newcomer(fleet, "n1", **{**master_of(fleet), "id": "n2"}):
        reason = "the master knows this key as n1, and the settings say n2"
        # Not asked before: a jr-call that finds no agent runs on the folder itself, and would keep this one out.
        until(lambda: reason in fleet.log("n1"), seconds=60, what="it says why")
        assert reason in why(fleet, "n1", "n2")
        until(lambda: fleet.job("n1", "test.ping").pair("n1")["state"] == "undelivered", seconds=60,
              what="it takes no job")
