"""What the folders of a host make durable, in which order, and what they do while the host cannot read or write."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.proc import lock
from common.proc.directory import JobFolders
from common.proc.folders.records import Records
from common.states import State
from tests.lib.folders import A, B, C, record, request, returned

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
