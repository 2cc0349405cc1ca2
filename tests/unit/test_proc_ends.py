"""The returns and ends of jobs in the folders of a host: kept until acknowledged, concluded when nobody else does."""

from __future__ import annotations

import os

import pytest

from common import clock, codec
from common.ids import Jid
from common.proc import lock
from common.proc.directory import JobFolders
from common.proc.spool import SpoolError, seal
from common.states import State
from tests.lib.folders import A, B, C, record, request, returned

# spool


def test_a_return_is_kept_until_it_is_acknowledged(folders: JobFolders) -> None:
    folders.records.write(record())
    folders.stops.append(A, request())
    assert folders.end(returned())
    assert not folders.end(returned(state=State.FAILED))
    assert folders.spool.jids() == [A]
    assert folders.spool.state(A) is State.SUCCEEDED
    assert codec.from_minion.decode(folders.spool.read(A)) == returned()
    assert folders.spool.read(A) == codec.encode(returned())
    assert folders.records.read(A) is None
    folders.forget(A)
    assert (folders.spool.jids(), folders.spool.state(A), folders.stops.read(A)) == ([], None, [])
    with pytest.raises(SpoolError, match="it is not in the spool"):
        folders.spool.read(A)


@pytest.mark.parametrize("content", [
    b"", b"jr1\n", b"jr1\n1234", b"jr2\n" + seal(b"x")[4:], seal(b""), seal(b"\xc1"), seal(b"garbage"),
    seal(codec.encode(returned(B))), seal(codec.encode(returned())) + b"x", b"x" * 2_000_000])
def test_a_damaged_return_costs_itself(folders: JobFolders, content: bytes) -> None:
    """R-B30."""
    folders.end(returned(C))
    folders.layout.spool_of(A).write_bytes(content)
    with pytest.raises(SpoolError, match=f"cannot read the return of {A}"):
        folders.spool.read(A)
    assert folders.spool.jids() == [C]
    assert folders.spool.state(C) is State.SUCCEEDED
    assert len(list(folders.layout.quarantine.iterdir())) == 1


def test_a_single_bit_of_a_return_counts(folders: JobFolders) -> None:
    """R-B30."""
    whole = bytearray(seal(codec.encode(returned())))
    for bit in range(0, 8 * len(whole), 5):
        whole[bit // 8] ^= 1 << bit % 8
        folders.layout.spool_of(A).write_bytes(whole)
        with pytest.raises(SpoolError):
            folders.spool.read(A)
        whole[bit // 8] ^= 1 << bit % 8
    folders.layout.spool_of(A).write_bytes(whole)
    assert folders.spool.read(A) == codec.encode(returned())


def test_a_large_spool_with_a_few_damaged_files(folders: JobFolders) -> None:
    """R-B30: ten thousand returns; what is damaged is told apart, and all the others are read."""
    whole = seal(codec.encode(returned()))
    jids = [Jid(f"20260102030405{number:06d}") for number in range(10_000)]
    bad = set(jids[::1000])
    for jid in jids:
        frame = codec.encode(returned(jid))
        (folders.layout.spool / f"{jid}.msgpack").write_bytes(whole if jid in bad else seal(frame))
    states = {jid: folders.spool.state(jid) for jid in folders.spool.jids()}
    assert {jid for jid, state in states.items() if state is None} == bad
    assert len(states) == len(jids)
    assert len(list(folders.layout.quarantine.iterdir())) == len(bad)


def test_a_return_cut_at_any_byte(folders: JobFolders) -> None:
    """R-B30."""
    whole = seal(codec.encode(returned()))
    for cut in range(len(whole)):
        folders.layout.spool_of(A).write_bytes(whole[:cut])
        assert folders.spool.state(A) is None
    assert len(list(folders.layout.quarantine.iterdir())) == len(whole)


def test_a_return_of_a_supervisor_is_not_forestalled(folders: JobFolders) -> None:
    """One that an earlier agent asked for has the job: what it will say outranks what this agent concluded."""
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    with lock.held_by_agent(folders.layout.claim_of(A)):
        assert not folders.end(returned(state=State.LOST))
    assert folders.spool.jids() == []
    assert folders.records.read(A) is not None
    assert folders.end(returned(state=State.LOST))


def test_strangers_in_the_spool(folders: JobFolders) -> None:
    folders.end(returned(B))
    for name in ("x", "x.msgpack", f"{A}.json"):
        (folders.layout.spool / name).touch()
    assert folders.spool.jids() == [B]
    assert len(list(folders.layout.quarantine.iterdir())) == 3


def test_a_refused_return_is_set_aside(folders: JobFolders) -> None:
    folders.end(returned())
    folders.set_aside(A, "the master knows better")
    assert folders.spool.jids() == []
    assert [path.name for path in folders.layout.quarantine.iterdir()] == [f"spool-{A}.msgpack-0"]
    folders.set_aside(A, "again")


# ends


def test_settling(folders: JobFolders) -> None:
    assert folders.settle(A) is None
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    assert folders.settle(A) is None  # nothing of it was started
    folders.end(returned(state=State.KILLED))
    assert folders.settle(A) is State.KILLED


@pytest.mark.parametrize("recorded", [False, True])
def test_a_job_whose_return_was_damaged_has_ended_all_the_same(folders: JobFolders, recorded: bool) -> None:
    """R-B30, P2: it is none that may be started."""
    folders.claims.add(A, 1.0)
    folders.end(returned())
    if recorded:
        folders.records.write(record())
    folders.layout.spool_of(A).write_bytes(b"x")
    with pytest.raises(SpoolError, match="it does not begin as one"):
        folders.settle(A)
    assert len(list(folders.layout.quarantine.iterdir())) == 1


def test_a_started_job_without_supervisor_is_lost(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    folders.records.write(record(started=3.0, boot_id="another", pid=1, create_time=1, state=State.RUNNING))
    folders.layout.output_of(A)[0].write_bytes(b"as far as it came")
    folders.stops.append(A, request())
    assert folders.settle(A) is State.LOST
    end = codec.from_minion.decode(folders.spool.read(A))
    assert (end.stdout, end.started, end.pid, end.retcode) == (b"as far as it came", 3.0, 1, None)
    assert (end.evidence.by, end.evidence.asked_signal) == ("u@h", 15)
    assert end.job.function == "cmd.run"
    assert folders.open_jobs() == ([], [])


def test_a_started_job_without_claim_gets_one(folders: JobFolders) -> None:
    """It was seen, so it must not be started again."""
    folders.records.write(record(started=3.0, boot_id="another", state=State.RUNNING))
    assert folders.settle(A) is State.LOST
    assert not folders.claims.add(A, 1.0)


def test_two_agents_do_not_clean_up_at_once(folders: JobFolders) -> None:
    started = record(started=3.0, boot_id="another", state=State.RUNNING)
    folders.claims.add(A, 1.0)
    folders.records.write(started)
    with lock.held_by_agent(folders.layout.claim_of(A)) as free:
        assert free
        assert folders.claims.held(A)
        assert folders.clean_up(A, started) is None
    assert folders.clean_up(A, started) is State.LOST


def test_old_output_goes(folders: JobFolders) -> None:
    for jid, age in ((A, 100), (B, 0)):
        path = folders.layout.output_of(jid)[0]
        path.write_text("x")
        os.utime(path, (clock.wall() - age, clock.wall() - age))
    assert folders.drop_outputs(clock.wall() - 50) == 1
    assert [path.name for path in folders.layout.output.iterdir()] == [f"{B}.out"]


def test_output_of_a_return_that_nobody_has_yet_stays(folders: JobFolders) -> None:  # R-B31
    path = folders.layout.output_of(A)[0]
    path.write_text("x")
    folders.layout.spool_of(A).touch()
    assert folders.drop_outputs(clock.wall() + 10 * 365 * 86400) == 0
    folders.forget(A)
    assert folders.drop_outputs(clock.wall() + 10 * 365 * 86400) == 1
