"""R-A23: a supervisor opens the secrets of its job at the last moment, and whoever ends the job removes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.codec import from_minion, pack
from common.messages import Return
from common.proc.directory import JobFolders
from common.states import State
from tests.process.host import make_record
from tests.process.inline_supervisor import die_at, fork_supervisor

CANARY = "canary-7Hq3"
SEALED = pack({"args": {0: f"echo {CANARY}"}, "kwargs": {}, "texts": [CANARY]})


def returned(folders: JobFolders) -> Return:
    (jid,) = folders.spool.jids()
    message: Return = from_minion.decode(folders.spool.read(jid))
    return message


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path / "state")


def test_the_payload_gets_them_and_the_file_is_gone(folders: JobFolders) -> None:
    record = make_record("run.shell", "***", sealed=True)
    folders.records.write_secrets(record.jid, SEALED)
    folders.claims.add(record.jid, 0.0)
    folders.records.write(record)
    os.waitpid(fork_supervisor(folders.layout, record.jid), 0)

    end = returned(folders)
    assert (end.state, end.stdout) == (State.SUCCEEDED, f"{CANARY}\n".encode())
    assert CANARY.encode() not in bytes(end.job.args)
    assert list(folders.layout.secrets.iterdir()) == []


@pytest.mark.parametrize(("sealed", "reason"), [
    (None, "not started: cannot read its secrets: No such file or directory"),
    (b"\xc1", "not started: cannot read its secrets: its secrets are damaged")])
def test_without_them_nothing_is_started(folders: JobFolders, sealed: bytes | None, reason: str) -> None:
    record = make_record("run.shell", "***", sealed=True)
    if sealed is not None:
        folders.records.write_secrets(record.jid, sealed)
    folders.claims.add(record.jid, 0.0)
    folders.records.write(record)
    os.waitpid(fork_supervisor(folders.layout, record.jid), 0)

    end = returned(folders)
    assert (end.state, end.started, end.evidence.reason) == (State.FAILED, None, reason)
    assert list(folders.layout.secrets.iterdir()) == []


@pytest.mark.parametrize("count", range(1, 4))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whenever_a_supervisor_dies_they_are_kept_until_the_start_and_gone_at_the_end(
        folders: JobFolders, count: int, after: bool) -> None:
    record = make_record("run.shell", "***", sealed=True)
    folders.records.write_secrets(record.jid, SEALED)
    folders.claims.add(record.jid, 0.0)
    folders.records.write(record)
    os.waitpid(fork_supervisor(folders.layout, record.jid, die_at(("rename", "unlink", "link"), count, after=after)), 0)

    if folders.settle(record.jid) is None:  # nothing was started: the agent asks for another supervisor
        os.waitpid(fork_supervisor(folders.layout, record.jid), 0)
        folders.settle(record.jid)
        assert returned(folders).state is State.SUCCEEDED
    assert list(folders.layout.secrets.iterdir()) == []
    assert folders.open_jobs() == ([], [])


def test_what_belongs_to_no_record_is_swept(folders: JobFolders) -> None:
    record, other = make_record("run.shell", "***", sealed=True), make_record("run.shell", "***", sealed=True)
    for one in (record, other):
        folders.records.write_secrets(one.jid, SEALED)
    folders.records.write(record)
    folders.records.sweep_secrets({record.jid})
    assert [path.name for path in folders.layout.secrets.iterdir()] == [record.jid]
    folders.undo(record.jid)
    assert list(folders.layout.secrets.iterdir()) == []
