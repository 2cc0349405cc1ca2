"""New keys for old while jobs run: of a minion, then of the master. # R-B37"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator

import pytest
import yaml

from common.control import MASTER, Connection
from common.keys import KeyPair, ensure, generate, load
from common.link import Closed, Key
from common.zmqline import open_line
from tests.lib.fleet import Fleet, started
from tests.lib.links import Agent, until_async
from tests.lib.wait import until

JOBS = 200
OPEN = 40
"""Jobs at a time."""
MINIONS = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(len(MINIONS)) as fleet:
        yield fleet


def master_key(fleet: Fleet) -> Key:
    return Key(fleet.key("list", "-o", "json").json["master"]["key"])


def pair_of(fleet: Fleet, minion: str) -> KeyPair:
    found = load(fleet.state(minion) / "pki", "minion")
    assert found is not None
    return found


def all_up(fleet: Fleet) -> None:
    until(lambda: sorted(fleet.run("manage.up").json) == list(MINIONS), seconds=60, what="all are back")


def knock(fleet: Fleet, server: Key, pair: KeyPair) -> str:
    """What becomes of whoever comes with these keys: `opened`, or how it is turned away."""
    port = yaml.safe_load(fleet.settings("master").read_text())["port"]

    async def story() -> str:
        agent = Agent()
        line = open_line("127.0.0.1", port, server, pair, agent)
        try:
            await until_async(lambda: agent.events, "an answer", seconds=30)
        finally:
            line.close()
        return agent.events[0] if agent.end is None else agent.end.value

    return asyncio.run(story())


def test_no_job_is_lost_while_keys_are_replaced(fleet: Fleet) -> None:
    old_pair, old_master = pair_of(fleet, "m1"), master_key(fleet)
    ran = fleet.base / "ran"
    ran.mkdir()
    jids: list[str] = []
    with Connection(fleet.root / "run/jr/master.sock", MASTER) as master:
        def open_jobs() -> int:
            return len(master.ask("active", limit=1000)["jobs"])

        def publish() -> None:
            # Beyond what a connection's queue holds, messages are dropped and said again after 30 s.
            until(lambda: open_jobs() < OPEN, seconds=60, what="there is room for one more")
            jids.append(_publish(master, f"echo . >> {ran}/$JR_JID"))

        for words in (["rotate", "m1"], ["rotate-master"], ["rotate-master", "--finish"]):
            command = fleet.spawn("jr-key", *words)
            while command.poll() is None:
                publish()
            _, err = command.communicate()
            assert command.returncode == 0, err
        while len(jids) < JOBS:
            publish()

        until(lambda: all(job["done"] for job in master.ask("jobs", limit=1000)["jobs"]), seconds=60, what="the ends")
        counts = {job["jid"]: job["counts"] for job in master.ask("jobs", limit=1000)["jobs"]}
    assert {jid: counts[jid] for jid in jids if counts[jid] != {"succeeded": 3}} == {}
    assert {jid: (ran / jid).read_text() for jid in jids} == dict.fromkeys(jids, ".\n" * 3), "each ran once on each"

    all_up(fleet)
    assert master_key(fleet) != old_master
    assert pair_of(fleet, "m1") != old_pair
    assert knock(fleet, master_key(fleet), pair_of(fleet, "m1")) == "opened"
    assert knock(fleet, master_key(fleet), old_pair) == Closed.REFUSED.value
    assert knock(fleet, old_master, pair_of(fleet, "m1")) == Closed.STRANGE.value
    for minion in MINIONS:
        kept = json.loads((fleet.state(minion) / "pki/masters.json").read_text())["keys"]
        assert kept == [master_key(fleet)], "whoever has the old key is no master any more"


def _publish(master: Connection, command: str) -> str:
    job, *_ = master.stream("publish", None, target="*", function="cmd.run", args=[command], follow=False)
    assert "jid" in job, job
    return str(job["jid"])


def test_an_agent_that_dies_with_a_key_that_the_master_never_heard_of(fleet: Fleet) -> None:
    before = pair_of(fleet, "m1")
    fleet.end("m1")
    spare = ensure(fleet.state("m1") / "pki", "minion.next")
    fleet.up()
    all_up(fleet)
    assert pair_of(fleet, "m1") == before
    # The pair that is there already is the one that is offered.
    assert fleet.key("rotate", "m1", "-o", "json").json == {"minions": {"m1": "rotated"}}
    until(lambda: pair_of(fleet, "m1") == spare, what="it is taken up")


def test_an_agent_that_dies_before_its_new_key_is_the_only_one(fleet: Fleet) -> None:
    """The master has dropped the old key; on the minion both are still there."""
    old = pair_of(fleet, "m1")
    assert fleet.key("rotate", "m1").code == 0
    until(lambda: pair_of(fleet, "m1") != old, what="it is taken up")
    fleet.end("m1")
    pki = fleet.state("m1") / "pki"
    (pki / "minion.key").rename(pki / "minion.next.key")
    assert ensure(pki, "minion") != old, "a key that nobody knows stands for the old one, which is refused as well"
    fleet.up()
    all_up(fleet)
    until(lambda: not (pki / "minion.next.key").exists(), what="it is taken up")


@pytest.mark.parametrize("member", ["m1", "master"])
def test_who_is_killed_while_a_minion_changes_its_key(fleet: Fleet, member: str) -> None:
    fleet.send("m1", signal.SIGSTOP)  # so that the question is on its way when somebody dies
    command = fleet.spawn("jr-key", "rotate", "m1")
    until(lambda: command.poll() is None, what="it has begun")
    fleet.end(member)
    if member == "master":
        fleet.send("m1", signal.SIGCONT)
    command.communicate()
    fleet.up()
    all_up(fleet)
    assert fleet.key("rotate", "m1").out == "m1: rotated\n"
    all_up(fleet)


def test_a_master_that_dies_between_the_steps(fleet: Fleet) -> None:
    old = master_key(fleet)
    announced = fleet.key("rotate-master", "-o", "json").json
    assert (announced["finished"], announced["missing"]) == (False, [])
    fleet.end("master")
    fleet.up()
    all_up(fleet)
    assert fleet.key("rotate-master", "-o", "json").json["key"] == announced["key"], "the same one is announced again"
    assert master_key(fleet) == old
    fleet.end("master")
    pki = fleet.state("master") / "pki"
    (pki / "master.next.key").rename(pki / "master.key")  # what --finish does first; then it dies
    fleet.up()
    all_up(fleet)
    assert master_key(fleet) == announced["key"]


def test_a_minion_that_misses_the_change_is_shown_and_needs_a_join_string(fleet: Fleet) -> None:
    early = fleet.key("token", "--address", "127.0.0.1").out.strip()
    fleet.end("m3")
    assert fleet.key("rotate-master", "-o", "json").json["missing"] == ["m3"]
    fleet.key("rotate-master", "--finish").fails(2, "m3", "--force")
    between = fleet.key("token", "--address", "127.0.0.1").out.strip()
    assert fleet.key("rotate-master", "--finish", "--force", "-o", "json").json["missing"] == ["m3"]
    shown = {key["id"]: key["confirmed"] for key in fleet.key("list", "-o", "json").json["keys"]}
    assert shown == {"m1": True, "m2": True, "m3": False}

    lost = fleet.spawn("jr-minion", "--root", str(fleet.minion("m3")), "--join", early)
    try:
        assert lost.stderr is not None
        assert any("join string" in line for line in lost.stderr), "its log says what is wrong"
    finally:
        lost.terminate()
        lost.communicate()
    fleet.configure("m3", join=between)
    fleet.up()
    all_up(fleet)


def test_nothing_to_finish_and_nobody_to_ask(fleet: Fleet) -> None:
    fleet.key("rotate-master", "--finish").fails(2, "no next key")
    fleet.key("rotate-master", "--force").fails(2)
    fleet.key("rotate", "m9").fails(3, "m9")
    fleet.key("rotate").fails(2)
    assert knock(fleet, master_key(fleet), generate()) == Closed.REFUSED.value
