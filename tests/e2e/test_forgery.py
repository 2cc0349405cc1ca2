"""A minion with an accepted key that lies: it speaks for itself alone, whatever it says. R-A6, S3, P8."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Raw

from common.codec import pack
from common.ids import Jid, MinionId, mint
from common.keys import generate
from common.messages import (
    RETURNED,
    Accepted,
    Ack,
    FromMinion,
    HeldJob,
    JobFields,
    Message,
    Offer,
    Ping,
    Pong,
    Publish,
    Refused,
    Return,
    Started,
    Stop,
    Stopped,
    Taken,
    Welcome,
)
from common.states import State
from tests.lib.fleet import Fleet, started
from tests.lib.hostile import Peer
from tests.lib.wait import until

FIELDS = JobFields(function="cmd.run", args=Raw(pack(["forged"])), user="root")
NOW = time.time()
STOP = "0123456789abcdef"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def evil(fleet: Fleet) -> Iterator[Peer]:
    peer = Peer(fleet, "evil")
    yield peer
    peer.close()


def rows(fleet: Fleet) -> dict[str, list[Any]]:
    """All that the database holds, but for the keys of who lies and what counts time."""
    with contextlib.closing(sqlite3.connect(f"file:{fleet.state('master') / 'jr.db'}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {table: sorted(map(repr, database.execute(f"SELECT * FROM {table}"))) for table in tables
                 if table != "meta" and not table.startswith("sqlite_")}
    return {table: [row for row in lines if "evil" not in row] for table, lines in found.items()}


def words(jid: Jid) -> list[Message]:
    """Every message about a job that a minion can say."""
    returns = [Return(jid=jid, job=FIELDS, state=state, retcode=0, ended=NOW, stdout=b"forged")
               for state in sorted(RETURNED)]
    outcomes: list[Any] = ["stopping", "signalled", "cancelled", "ended", "failed"]
    return [Accepted(jid=jid, at=NOW), Accepted(jid=jid, at=NOW, job=FIELDS), Accepted(jid=jid, at=NOW, queued=True),
            Started(jid=jid, pid=1, at=NOW), Refused(jid=jid, reason="forged"),
            *(Stopped(stop=STOP, jid=jid, outcome=outcome) for outcome in outcomes), *returns]


def test_the_words_are_all_there_are() -> None:
    said = {type(word) for word in words(mint(NOW, None))}
    about_jobs = {kind for kind in FromMinion.__args__ if "jid" in kind.__struct_fields__}
    assert said == about_jobs


def test_nobody_speaks_for_another(fleet: Fleet, evil: Peer) -> None:
    done = fleet.job("m1", "cmd.run", "echo done").json["jid"]
    own = next(iter(path.name for path in _called(fleet)))
    running = fleet.start("m1", "cmd.run", "sleep 1000")
    fleet.running(running)
    elsewhere = fleet.start("-L", "m9", "test.ping")  # a pair that is terminal, of a minion that never was
    fleet.acked()
    fresh = mint(NOW, None, MinionId("m1"))
    unminted = mint(NOW + 86400, None)
    names = [Jid(name) for name in (done, own, running, elsewhere)]
    before, log = rows(fleet), fleet.log("master")

    evil.greet([HeldJob(name, state) for name in (*names, fresh) for state in State])
    count = 0
    for name in (*names, fresh, unminted):
        for word in words(name):
            evil.say(word)
            count += isinstance(word, Return)
    refusals = [evil.hear(Ack) for _ in range(count)]
    evil.settle()

    assert rows(fleet) == before
    assert {ack.jid for ack in refusals} == {*names, fresh, unminted}
    assert {ack.refused for ack in refusals} == {
        "this job never targeted its sender", "this jid carries another minion's suffix",
        "no master has minted this jid yet"}
    assert {type(message) for message in evil.heard} <= {Welcome, Ping, Pong, Ack}, "it learned nothing of others"
    lines = fleet.log("master").removeprefix(log).splitlines()
    assert [line for line in lines if " word.refused: " in line and "minion=evil" in line]
    assert fleet.running(running)
    assert fleet.run("jobs.kill", running).code == 0
    assert fleet.lookup(running)["minions"]["m1"]["state"] == "killed"


def _called(fleet: Fleet) -> Any:
    """The return of a job that began on m1: its jid carries m1's suffix."""
    assert fleet.call("m1", "cmd.run", "echo own").code == 0
    return until(lambda: [path for path in (fleet.state("m1") / "claims").iterdir()
                          if path.name.endswith(MinionId("m1").suffix)], what="the claim of a call")


def test_in_a_job_of_both_each_speaks_for_itself(fleet: Fleet, evil: Peer) -> None:
    evil.greet()
    jid = Jid(fleet.start("-L", "m1,evil", "cmd.run", "sleep 1000"))
    assert evil.hear(Publish).jid == jid
    fleet.running(jid)
    for state in (State.KILLED, State.SUCCEEDED):  # the second word of an end is stale
        evil.say(Return(jid=jid, job=FIELDS, state=state, retcode=0, ended=NOW))
        assert evil.hear(Ack) == Ack(jid=jid)
    pairs = fleet.lookup(jid)["minions"]
    assert (pairs["evil"]["state"], pairs["m1"]["state"]) == ("killed", "running")
    assert fleet.lookup(jid)["done"] is None

    fleet.end("m1")
    assert fleet.run("jobs.kill", jid, "wait=0").code == 124
    evil.say(Stopped(stop=STOP, jid=jid, outcome="ended"))
    evil.settle()
    fleet.up()
    assert fleet.ended(jid)["state"] == "killed", "the stop of m1 was kept for m1"


def test_a_stop_that_is_answered_by_the_wrong_one_stays(fleet: Fleet, evil: Peer) -> None:
    evil.greet()
    jid = Jid(fleet.start("-L", "m1,evil", "cmd.run", "sleep 1000"))
    evil.hear(Publish)
    evil.say(Accepted(jid=jid, at=NOW))
    fleet.running(jid)
    fleet.end("m1")
    assert fleet.run("jobs.kill", jid, "wait=0").code == 124
    evil.say(Stopped(stop=evil.hear(Stop).stop, jid=jid, outcome="ended"))  # the same stop, so the same id
    evil.say(Return(jid=jid, job=FIELDS, state=State.KILLED, ended=NOW))
    evil.hear(Ack)
    fleet.up()
    assert fleet.ended(jid)["state"] == "killed"


def test_a_return_that_claims_another_function_and_user_changes_neither(fleet: Fleet, evil: Peer) -> None:
    evil.greet()
    jid = Jid(fleet.start("evil", "test.echo", "asked"))
    evil.hear(Publish)
    forged = JobFields(function="cmd.run", args=Raw(pack(["rm -rf /"])), user="nobody", metadata={"a": "b"})
    evil.say(Return(jid=jid, job=forged, state=State.SUCCEEDED, retcode=0, ended=NOW, value=Raw(pack("lie"))))
    assert evil.hear(Ack) == Ack(jid=jid)
    told = fleet.lookup(jid)
    assert (told["function"], told["args"], told.get("metadata")) == ("test.echo", ["asked"], None)
    assert told["minions"]["evil"]["return"] == "lie", "of its own host it may say what it likes"


def test_a_key_changes_hands_only_when_the_operator_asks(fleet: Fleet, evil: Peer) -> None:  # S4, R-B37
    evil.greet()
    shown = fleet.key("list", "-o", "json").json["keys"]
    evil.say(Offer(key=generate().public))
    assert evil.hear(Taken).refused == "nobody asked for a new key"
    evil.say(Offer(key=next(key["key"] for key in shown if key["id"] == "m1")))
    assert evil.hear(Taken).refused == "this key is filed already"
    assert fleet.key("list", "-o", "json").json["keys"] == shown

    old = fleet.key("finger", "m1", "-o", "json").json
    assert fleet.key("rotate", "m1").code == 0
    until(lambda: fleet.key("finger", "m1", "-o", "json").json != old, seconds=60, what="the new key of m1")
    until(lambda: fleet.job("m1", "test.ping").code == 0, seconds=60, what="m1 is back")
