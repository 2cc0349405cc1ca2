"""Jobs and pairs as the maps that operators get: the shapes are a promise to scripts. # S09, S17"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, structs

from common.codec import pack
from common.ids import MinionId
from common.messages import Evidence, JobFields, Process
from common.pairs import of_return, opened
from common.states import State
from master import documents
from master.core.ledger import OpenJob
from master.core.track import outcome_of
from master.records import Outcome, Pair
from master.store.base import Listed
from tests.lib.cores import returned
from tests.lib.stored import NOON, jid, job, pair, word
from tests.lib.stored import returned as stored_return

PAIR = ["state", "retcode", "return", "stdout", "stderr", "started", "ended", "duration", "pid", "evidence"]
JOB = ["jid", "function", "args", "kwargs", "target", "target_type", "user", "published", "done"]


def test_a_pair_of_a_function() -> None:
    assert documents.pair(stored_return(jid(1), "m1")) == {
        "state": "succeeded", "retcode": 0, "return": "pong", "stdout": "", "stderr": "", "started": NOON + 0.25,
        "ended": NOON + 0.5, "duration": 0.25, "pid": 4711, "evidence": {"exit_code": 0, "containment": "subreaper"}}


def test_the_keys_of_a_pair_are_always_there_and_in_this_order() -> None:
    for state in State:
        assert list(documents.pair(pair(jid(1), "m1", state))) == PAIR
    assert list(of_return(returned(jid(1)))) == PAIR
    assert documents.pair(pair(jid(1), "m1", State.SENT))["evidence"] is None


def test_the_return_of_a_command_is_what_it_wrote() -> None:
    def of(stdout: bytes, **more: Any) -> Any:
        return documents.pair(pair(jid(1), "m1", State.FAILED, Outcome(retcode=3, stdout=stdout, **more)))["return"]

    assert of(b"one\ntwo\n") == "one\ntwo"
    assert of(b"one\n\n") == "one\n"
    assert of(b"") == ""
    assert of(b"\xff\xfe") == "\ufffd\ufffd"
    assert of(b"out\n", value=pack(None)) is None  # a function that returns nothing is another thing
    assert of(b"out\n", value=pack([1, {"a": 2}])) == [1, {"a": 2}]


def test_nothing_ran_so_nothing_is_returned() -> None:
    lost = documents.pair(pair(jid(1), "m1", State.LOST, Outcome(ended=1.0, evidence=Evidence(reason="gone"))))
    assert (lost["retcode"], lost["return"], lost["evidence"]) == (None, None, {"reason": "gone"})


def test_cut_and_expired_are_said_only_when_they_are_so() -> None:
    cut = documents.pair(pair(jid(1), "m1", State.SUCCEEDED, Outcome(retcode=0, truncated=True)))
    assert list(cut) == [*PAIR, "truncated"]
    gone = documents.pair(structs.replace(pair(jid(1), "m1", State.SUCCEEDED, Outcome(retcode=0)), expired=True))
    assert list(gone) == [*PAIR, "expired"]
    assert gone["return"] is None


def test_an_open_pair_shows_what_is_known() -> None:
    running = Pair(jid=jid(1), minion=MinionId("m1"), state=State.RUNNING, pid=11, started=NOON)
    told = documents.pair(running)
    assert (told["state"], told["pid"], told["started"], told["ended"]) == ("running", 11, NOON, None)


def test_evidence_is_plain() -> None:
    evidence = Evidence(signal=9, by="ann", survivors=[Process(pid=7, name="sleep", state="D")])
    told = documents.pair(pair(jid(1), "m1", State.KILLED, Outcome(evidence=evidence)))
    assert told["evidence"] == {"signal": 9, "by": "ann", "survivors": [{"pid": 7, "name": "sleep", "state": "D"}]}


def test_a_return_and_what_is_kept_of_it_look_the_same() -> None:
    message = structs.replace(returned(jid(1), State.FAILED), value=Raw(pack("text")), truncated=True, started=1.0)
    kept = Pair(jid=jid(1), minion=MinionId("m1"), state=State.FAILED, outcome=outcome_of(message))
    assert documents.pair(kept) == of_return(message)


def test_a_job() -> None:
    plain = job(1, done=NOON + 9)
    assert documents.summary(plain) == {
        "jid": str(jid(1)), "function": "test.ping", "args": [], "kwargs": {}, "target": "*", "target_type": "glob",
        "user": "root", "published": NOON + 1, "done": NOON + 9}
    assert list(documents.head(plain, [MinionId("m1")])) == [*JOB, "minions"]
    assert documents.head(plain, [MinionId("m1")])["minions"] == ["m1"]
    queued = structs.replace(plain, queue=True)  # S18
    waits = documents.head(queued, [MinionId("m1"), MinionId("m2")], [MinionId("m2")])
    assert (waits["absent"], waits["start_by"]) == (["m2"], plain.start_by)
    soon = documents.head(plain, [MinionId("m2")], [MinionId("m2")])  # only for the master's first minute
    assert (soon["absent"], "start_by" in soon) == (["m2"], False)
    rich = documents.summary(job(1, schedule="nightly", metadata={"ticket": "7"}))
    assert list(rich) == [*JOB, "schedule", "metadata"]
    assert (rich["schedule"], rich["metadata"], rich["done"]) == ("nightly", {"ticket": "7"}, None)


def test_a_row_of_a_list() -> None:
    told = documents.listed(Listed(job(1), {State.FAILED: 2, State.SUCCEEDED: 1, State.LOST: 0}))
    assert list(told) == [*JOB, "counts"]
    assert list(told["counts"].items()) == [("succeeded", 1), ("failed", 2)]  # in the order of the states


def test_who_runs_a_job_now() -> None:  # S08
    states = {"m1": State.RUNNING, "m2": State.QUEUED, "m3": State.SENT, "m4": State.ACCEPTED, "m5": State.FAILED,
              "m6": State.RUNNING, "m7": State.PLANNED}
    pairs = {MinionId(name): pair(jid(1), name, state) for name, state in states.items()}
    pairs[MinionId("m1")] = structs.replace(pairs[MinionId("m1")], pid=11, started=NOON + 2)
    opened_job = OpenJob(job=structs.replace(job(1), queue=True), pairs=pairs, open=set(pairs) - {MinionId("m5")})
    told = documents.active(opened_job, NOON + 12)
    assert list(told) == [*JOB[:-1], "running", "queued", "waiting", "returned", "start_by"]
    assert told["running"] == {"m1": {"pid": 11, "age": 10.0}, "m6": {"pid": None, "age": None}}
    assert (told["queued"], told["waiting"], told["returned"]) == (["m2"], ["m3", "m4", "m7"], ["m5"])


def test_how_long_a_job_runs_is_counted_by_the_masters_clock() -> None:  # S08
    def age(started: float, now: float, heard: float | None) -> Any:
        row = Pair(jid=jid(1), minion=MinionId("m1"), state=State.RUNNING, pid=11, started=started)
        running = OpenJob(job=job(1), pairs={row.minion: row}, open={row.minion},
                          running={} if heard is None else {row.minion: heard})
        return documents.active(running, now)["running"]["m1"]["age"]

    assert age(started=NOON - 9999, now=NOON + 12, heard=NOON + 2) == 10.0
    assert age(started=NOON + 9999, now=NOON + 12, heard=NOON + 2) == 10.0
    # Nobody remembers when the word came: the minion's clock must do, within what is possible at all.
    assert age(started=NOON + 2, now=NOON + 12, heard=None) == 10.0
    assert age(started=NOON + 9999, now=NOON + 12, heard=None) == 0.0
    assert age(started=NOON - 9999, now=NOON + 12, heard=None) == 11.0  # it was published at NOON + 1


def test_arguments_that_a_minion_says_itself_may_be_anything_and_hide_no_other_job() -> None:  # P8
    odd = JobFields(function="x", user="", args=Raw(b"\xc7\x00\x05"), kwargs=Raw(pack([1])))
    told = documents.summary(structs.replace(job(1), fields=odd))
    assert told["args"][0].startswith("cannot unpack a value: ")
    assert told["kwargs"] == {"?": [1]}


def test_a_value_that_does_not_open_is_told_as_text() -> None:
    assert str(opened(b"\xc1")).startswith("cannot unpack a value: ")
    assert word().value == pack("pong")
