"""The folders of a host's jobs: durable, checked, and robust against every kind of damage. Real files, no processes."""

from __future__ import annotations

import base64
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from common import clock, codec
from common.ids import Jid
from common.messages import JobFields, Return
from common.proc import lock
from common.proc.directory import JobFolders
from common.proc.folders.records import Records
from common.proc.folders.stops import STOPS_PER_JOB
from common.proc.record import JobRecord, StopRequest, encode_record
from common.proc.spool import SpoolError, seal
from common.states import State

A, B, C = (Jid(f"2026010203040512345{n}") for n in range(3))


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path / "state")


def record(jid: Jid = A, **fields: Any) -> JobRecord:
    return JobRecord(**{
        "jid": jid, "function": "cmd.run", "args": ["true"], "kwargs": {}, "user": "root", "state": State.ACCEPTED,
        "accepted": 1.0, "deadline_boot_id": "b", "deadline": 2.0,
        "args_packed": base64.b64encode(codec.pack(["true"])).decode(),
        "kwargs_packed": base64.b64encode(codec.pack({})).decode(), **fields})


def returned(jid: Jid = A, state: State = State.SUCCEEDED) -> Return:
    return Return(jid=jid, job=JobFields(function="cmd.run", user="root"), state=state, ended=1.0)


def request(stop: str = "s") -> StopRequest:
    return StopRequest(stop=stop, how="term", signal=15, grace=10.0, by="u@h", at=1.0)


def test_the_folders_are_ours_alone(folders: JobFolders) -> None:
    names = {path.name: path.stat().st_mode & 0o777 for path in folders.layout.state.iterdir()}
    assert names == dict.fromkeys(["proc", "claims", "secrets", "stops", "spool", "output", "quarantine"], 0o700)


def test_files_are_ours_alone(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    folders.stops.append(A, request())
    folders.end(returned(B))
    modes = {path.stat().st_mode & 0o777 for path in folders.layout.state.glob("*/*")}
    assert modes == {0o600}


# claims


def test_a_claim_is_made_once(folders: JobFolders) -> None:
    assert folders.claims.add(A, 12.5)
    assert not folders.claims.add(A, 99.0)
    assert folders.claims.all() == {A: (clock.boot_id(), 12.5, 0.0, False)}
    folders.claims.drop(A)
    assert folders.claims.all() == {}
    folders.claims.drop(A)
    assert folders.claims.add(A, 1.0)


@pytest.mark.parametrize("content", [b"", b"x", b"a b c", b"boot x", b"\xff\xfe 1"])
def test_a_claim_that_says_nothing_still_counts(folders: JobFolders, content: bytes) -> None:
    """P2: the mark that a jid was seen is the file, whatever a crash left of its text."""
    folders.layout.claim_of(A).write_bytes(content)
    assert folders.claims.all() == {A: ("", 0.0, 0.0, False)}
    assert not folders.claims.add(A, 1.0)


def test_strangers_among_the_claims(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    (folders.layout.claims / "not a jid").touch()
    (folders.layout.claims / B).mkdir()
    assert list(folders.claims.all()) == [A]
    assert len(list(folders.layout.quarantine.iterdir())) == 2


# records


def test_a_record_is_what_was_written(folders: JobFolders) -> None:
    wanted = record(schedule="nightly", timeout=3.0, cgroup="/x", user="grüße")
    folders.records.write(wanted)
    assert folders.records.read(A) == wanted
    assert folders.open_jobs() == ([wanted], [])
    folders.records.remove(A)
    assert folders.records.read(A) is None
    assert folders.open_jobs() == ([], [])


def _symlink(path: Path) -> None:
    (path.parent.parent / "target").write_bytes(encode_record(record()))
    path.symlink_to(path.parent.parent / "target")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.touch(),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "no map": lambda path: path.write_text("[]"),
    "wrong types": lambda path: path.write_bytes(encode_record(record()).replace(b'"user": "root"', b'"user": 5')),
    "missing field": lambda path: path.write_bytes(encode_record(record()).replace(b'"user": "root",', b"")),
    "bad state": lambda path: path.write_bytes(encode_record(record()).replace(b"accepted", b"imagined")),
    "another version": lambda path: path.write_bytes(encode_record(record()).replace(b'"v": 1', b'"v": 2')),
    "of another job": lambda path: path.write_bytes(encode_record(record(B))),
    "bad jid inside": lambda path: path.write_bytes(encode_record(record()).replace(A.encode(), b"../../etc")),
    "huge": lambda path: path.write_bytes(b" " * (2 * 1024 * 1024)),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "symlink": _symlink,
    "dangling symlink": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_costs_itself(folders: JobFolders, kind: str) -> None:
    """S01, R-B28: quarantined, named, and hiding no other; a pipe blocks nobody."""
    folders.records.write(record(B))
    folders.records.write(record(C))
    DAMAGE[kind](folders.layout.record_of(A))
    found, problems = folders.open_jobs()
    assert [one.jid for one in found] == [B, C]
    assert len(problems) == 1
    assert str(A) in problems[0]
    assert "quarantine" in problems[0]
    assert not os.path.lexists(folders.layout.record_of(A))
    assert len(list(folders.layout.quarantine.iterdir())) == 1
    assert folders.open_jobs()[1] == []  # said once


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_record_is_not_believed(folders: JobFolders) -> None:
    folders.records.write(record())
    os.chown(folders.layout.record_of(A), 65534, 65534)
    assert folders.open_jobs()[0] == []


def test_a_record_cut_at_any_byte(folders: JobFolders) -> None:
    """R-B28: each time it alone is set aside."""
    folders.records.write(record(B))
    whole = encode_record(record())
    for cut in range(len(whole.rstrip())):
        folders.layout.record_of(A).write_bytes(whole[:cut])
        found, problems = folders.open_jobs()
        assert ([one.jid for one in found], len(problems)) == ([B], 1)
    assert len(list(folders.layout.quarantine.iterdir())) == len(whole.rstrip())


@pytest.mark.parametrize("name", ["x.json", "2026.json", f"{A}.txt", f"{A}", "..json", f"{A}-short.json", "a\nb.json"])
def test_strangers_among_the_records(folders: JobFolders, name: str) -> None:
    folders.records.write(record(B))
    (folders.layout.proc / name).write_bytes(encode_record(record()))
    found, problems = folders.open_jobs()
    assert [one.jid for one in found] == [B]
    assert len(problems) == 1


def test_the_same_damage_twice_keeps_both(folders: JobFolders) -> None:
    for _ in range(3):
        folders.layout.record_of(A).touch()
        folders.open_jobs()
    assert len(list(folders.layout.quarantine.iterdir())) == 3


def test_a_record_whose_return_is_spooled_has_ended(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    folders.end(returned())
    folders.records.write(record())  # as a power cut brings it back
    assert folders.open_jobs() == ([], [])
    assert not folders.layout.record_of(A).exists()


def test_half_written_files_go_at_the_start(folders: JobFolders) -> None:
    ours = folders.layout.proc / f".{A}.json.{os.getpid()}.tmp"
    dead = folders.layout.spool / f".{A}.msgpack.4194305.tmp"
    for path in (ours, dead):
        path.touch()
    again = JobFolders(folders.layout.state)
    assert ours.exists()  # its writer lives
    assert not dead.exists()
    assert again.open_jobs() == ([], [])
    assert again.spool.jids() == []


def test_what_a_killed_supervisor_left_half_written_goes(folders: JobFolders) -> None:
    """R-A1."""
    left = [folders.layout.proc / f".{A}.json.4194305.tmp", folders.layout.spool / f".{A}.msgpack.4194305.tmp"]
    other = folders.layout.proc / ".20260102030405123457.json.4194305.tmp"
    for path in (*left, other):
        path.touch()
    folders.tidy(A)
    assert [path.exists() for path in (*left, other)] == [False, False, True]


# stop requests


def test_stop_requests_are_kept_in_order_and_once(folders: JobFolders) -> None:
    assert folders.stops.read(A) == []
    assert folders.stops.append(A, request("1"))
    assert folders.stops.append(A, request("2"))
    assert not folders.stops.append(A, request("1"))
    assert [one.stop for one in folders.stops.read(A)] == ["1", "2"]


def test_stop_requests_are_bounded(folders: JobFolders) -> None:
    signals = [structs.replace(request(f"s{n}"), how="signal") for n in range(STOPS_PER_JOB)]
    for one in [*signals[:3], request("first"), *signals[3:], request("last")]:
        assert folders.stops.append(A, one)
    kept = [one.stop for one in folders.stops.read(A)]
    assert len(kept) == STOPS_PER_JOB
    assert (kept[0], kept[-1]) == ("s2", "last")
    assert "first" in kept
    for one in signals:
        folders.stops.append(A, structs.replace(one, stop=one.stop + "again"))
    assert next(iter(folders.stops.read(A))).stop == "first"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"stop": "x"}]', b"\xff"])
def test_damaged_stop_requests(folders: JobFolders, content: bytes) -> None:
    folders.layout.stops_of(A).write_bytes(content)
    assert folders.stops.read(A) == []
    assert folders.stops.append(A, request("new"))
    assert [one.stop for one in folders.stops.read(A)] == ["new"]
    assert len(list(folders.layout.quarantine.iterdir())) == 1


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


# what the host cannot do for a while


def _full(folders: JobFolders) -> None:
    """A job that is recorded with its claim and a stop request, and another one's return."""
    folders.claims.add(A, 1.0)
    folders.records.write(record(started=3.0, boot_id="another", state=State.RUNNING))
    folders.stops.append(A, request("kept"))
    folders.end(returned(B))


READS: dict[str, Callable[[JobFolders], Any]] = {
    "claims": lambda folders: folders.claims.all(),
    "records": lambda folders: folders.open_jobs(),
    "record": lambda folders: folders.records.read(A),
    "stops": lambda folders: folders.stops.read(A),
    "another stop": lambda folders: folders.stops.append(A, request("new")),
    "return": lambda folders: folders.spool.read(B),
    "state": lambda folders: folders.spool.state(B),
    "settle": lambda folders: folders.settle(A),
    "supervisor": lambda folders: folders.claims.held(A),
}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
@pytest.mark.parametrize("name", READS)
def test_what_cannot_be_read_for_now_is_not_damaged(
    folders: JobFolders, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """R-B34: neither a record, nor a claim, nor a kill request, nor an unsent return goes to quarantine for that."""
    _full(folders)
    before = {path: path.read_bytes() for path in folders.layout.state.glob("*/*")}
    real = os.open

    def fail(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if not flags & (os.O_WRONLY | os.O_DIRECTORY):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError) as caught:
            READS[name](folders)
    assert caught.value.errno == number
    assert {path: path.read_bytes() for path in folders.layout.state.glob("*/*")} == before
    READS[name](folders)
    assert list(folders.layout.quarantine.iterdir()) == []


def test_a_claim_that_cannot_be_looked_at_is_kept(folders: JobFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.claims.add(A, 1.0)

    def fail(claim: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(lock, "holder", fail)
        folders.claims.drop(A)
    assert list(folders.claims.all()) == [A]
    folders.claims.drop(A)
    assert folders.claims.all() == {}


# what is synced, and what need not be


class Syncs:
    """What was synced, by the name of the file or folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real = os.fsync

        def fsync(fd: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            self.names.append(path.name if stat.S_ISDIR(os.fstat(fd).st_mode) else f"{path.parent.name}/")
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)

    def taken(self) -> list[str]:
        """Those since the last call."""
        names, self.names = self.names, []
        return names


def test_many_starts_share_the_syncs_of_their_folders(folders: JobFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    for jid in (A, B, C):
        assert folders.claims.add(jid, 1.0, sync=False)
        folders.records.write(record(jid), sync=False)
    assert syncs.taken() == ["proc/"] * 3  # no record is ever seen half written
    folders.sync_starts([A, B, C])
    assert syncs.taken() == ["proc", "claims/", "claims/", "claims/", "claims"]
    assert sorted(folders.claims.all()) == [one.jid for one in folders.open_jobs()[0]] == [A, B, C]
    folders.claims.drop(A)
    folders.sync_starts([A])


def test_what_may_come_back_is_removed_without_a_sync(folders: JobFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    _full(folders)
    syncs = Syncs(monkeypatch)
    folders.forget(B)
    folders.claims.drop(A)
    assert syncs.taken() == []
    folders.records.remove(A)
    assert syncs.taken() == ["proc"]  # one without a start that came back would be started


def test_a_recorded_job_gets_its_claim_again(folders: JobFolders) -> None:
    """P2: a crash may keep the record and not the claim."""
    folders.claims.add_again(record(start_by=77.0))
    found = folders.claims.all()[A]
    assert (found.start_by, found.cancelled) == (77.0, False)
    assert found.boot_id != clock.boot_id()
    assert not folders.claims.add(A, 1.0)
    folders.claims.drop(A)
    folders.claims.add(A, 5.0, 6.0)
    folders.claims.add_again(record())
    assert folders.claims.all()[A].until == 5.0


def test_who_dies_while_a_job_is_taken_back_leaves_no_claim_alone(
        folders: JobFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-A20: a claim without its record would forbid the job to run, and leave its master to call it lost."""
    folders.claims.add(A, 1.0)
    folders.records.write(record(A))
    syncs = Syncs(monkeypatch)
    with monkeypatch.context() as dying:
        dying.setattr(Records, "remove", lambda *_: os._exit(9))
        child = os.fork()
        if child == 0:
            folders.undo(A)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not folders.claims.has(A)
    assert [one.jid for one in folders.open_jobs()[0]] == [A]  # it is claimed again, and starts
    folders.undo(A)
    assert syncs.taken() == ["claims", "proc"]  # nor does a power cut bring one of them back
    assert folders.open_jobs() == ([], [])
