"""R-A20: a disk without room. New jobs are refused, all else of a job waits in order, and nothing is told too early."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import JrError
from common.files import SHORT
from common.host import effects as do
from common.host.parking import Parking
from common.host.writer import BALLAST_FILE, Writer
from common.messages import Held, HeldJob, Publish, Return, Stop
from common.proc.record import StopRequest
from common.sequencer import Then
from common.states import State
from tests.lib.cores import FIELDS, Driven, record
from tests.lib.stored import jid
from tests.lib.told import told

FULL = "No space left on device"
STOP = StopRequest(stop="s1", how="kill", signal=9, grace=0.0, by="ann", at=1.0)


def begun(number: int) -> list[Any]:
    """What makes a new job durable."""
    return [do.Claim(jid(number), 1300.0, 2000.0), do.SaveRecord(record(jid(number)))]


def lost(number: int) -> do.Spool:
    return do.Spool(Return(jid=jid(number), job=FIELDS, state=State.LOST, ended=1.0))


# the core


def publish(host: Driven, number: int) -> list[Any]:
    """The effects of a job of the master, as they are."""
    message = Publish(jid=jid(number), start_by=host.master_now + 300, job=FIELDS)
    return list(host.host.publish(message, host.now, host.master_now))


def test_a_job_that_cannot_be_written_is_refused_for_good() -> None:
    host = Driven()
    publish(host, 1)
    assert told(host.host.unwritten(jid(1), "cannot accept the job: full", host.now)) == [
        "undo 1", "say refused 1: cannot accept the job: full"]
    assert host.host.held.states() == {}
    assert host.publish(1) == ["say refused 1: cannot accept the job: full"]
    # Were the stop answered and the refusal lost, the next start of the agent would be sent the job.
    assert host.stop(1) == ["say refused 1: cannot accept the job: full"]
    assert host.host.unwritten(jid(1), "again", host.now) == []
    assert host.host.held.figures() == {"held": 0, "running": 0, "queued": 0, "unacked": 0}


def test_a_queued_job_leaves_the_queue_and_one_in_its_place_goes_on() -> None:
    host = Driven(max_jobs=1)
    for number in (1, 2, 3):
        host.publish(number)
    assert told(host.host.unwritten(jid(2), "full", host.now)) == ["undo 2", "say refused 2: full"]
    assert told(host.host.unwritten(jid(1), "full", host.now)) == ["undo 1", "say refused 1: full", "start 3"]


def test_a_job_of_this_host_is_no_matter_of_the_master() -> None:
    host = Driven()
    host.host.begin(jid(1, "web1"), FIELDS, 300.0, host.now)
    assert told(host.host.unwritten(jid(1, "web1"), "full", host.now)) == ["undo 1@"]


def test_one_that_was_stopped_before_it_was_written_is_refused_too() -> None:
    host = Driven(max_jobs=1)
    host.publish(1)
    host.publish(2)
    assert "spool 2 killed" in host.stop(2)
    assert told(host.host.unwritten(jid(2), "full", host.now)) == ["undo 2", "say refused 2: full"]
    assert host.host.held.figures()["unacked"] == 0


# what waits


def test_a_refused_job_takes_all_of_itself_along() -> None:
    host = Driven()
    parking = Parking(host.host)
    other = publish(host, 2)
    queued = [*publish(host, 1), *other, do.SaveStop(jid(1), STOP), do.Wake(jid(1)),
              do.Send(Held(jobs=[HeldJob(jid(1), State.ACCEPTED), HeldJob(jid(2), State.ACCEPTED)], last=True))]
    assert told(parking.unwritten(queued, {jid(1): FULL}, host.now)) == [
        *told(other), "say held 2=accepted", "undo 1",
        f"say refused 1: cannot accept the job: {FULL}"]
    assert len(parking) == 0


def test_whoever_waits_for_a_new_job_is_told_why_not_once_nothing_of_it_is_left() -> None:
    """A schedule that was told earlier, and whose agent died then, found its failed run begun by the next agent."""
    async def story() -> None:
        host = Driven()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        effects = host.host.begin(jid(1, "web1"), FIELDS, 300.0, host.now)
        queued = [*effects, Then(waiter, jid(1, "web1"))]
        undo, then = Parking(host.host).unwritten(queued, {jid(1, "web1"): FULL}, host.now)
        assert undo == do.Undo(jid(1, "web1"))
        assert not waiter.done()
        then.tell()
        with pytest.raises(JrError, match=f"cannot accept the job: {FULL}"):
            await waiter

    asyncio.run(story())


def test_a_stop_waits_with_all_that_follows_it_and_others_pass() -> None:
    host = Driven()
    host.publish(1)
    host.started(1)
    parking = Parking(host.host)
    stop = list(host.host.stop(Stop(stop="s1", jid=jid(1), how="kill", signal=9, grace=0.0, by="ann", start_by=0.0),
                               host.now, host.master_now))
    assert parking.unwritten([*stop, do.Start(jid(2))], {jid(1): FULL}, host.now) == [do.Start(jid(2))]
    for _ in range(3):  # the master asks again and again
        assert parking.admit([do.Wake(jid(1)), do.SendSpooled(jid(1)), do.Start(jid(3))]) == [do.Start(jid(3))]
    assert len(parking) == 1
    assert parking.again(10) == [*stop, do.SendSpooled(jid(1))]
    assert len(parking) == 0
    assert parking.admit([do.Wake(jid(1))]) == [do.Wake(jid(1))]


def test_so_many_are_tried_again_at_once() -> None:
    parking = Parking(Driven().host)
    now = Driven().now
    parking.unwritten([lost(number) for number in range(5)], {jid(number): FULL for number in range(5)}, now)
    assert parking.again(2) == [lost(0), lost(1)]
    assert len(parking) == 3


# the disk


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    made = Writer(tmp_path / "state")
    made.open()
    return made


class Broken:
    """Makes calls of a function fail while it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str,
                 when: Callable[[Any], bool] = lambda _: True) -> None:
        self.error: int | None = None
        self.count = 0
        real = getattr(os, name)

        def call(first: Any, *rest: Any) -> Any:
            if self.error is not None and when(first):
                self.count += 1
                raise OSError(self.error, os.strerror(self.error))
            return real(first, *rest)

        monkeypatch.setattr(os, name, call)


def names(writer: Writer) -> list[str]:
    state = writer.folders.layout.state
    return sorted(str(path.relative_to(state)) for path in state.glob("*/*"))


@pytest.mark.parametrize("code", sorted(SHORT))
def test_a_shortage_leaves_nothing_of_a_new_job(writer: Writer, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    rename = Broken(monkeypatch, "rename")
    rename.error = code
    effects = [*begun(1), *begun(2)]
    assert writer.commit(effects) == [effects[1], effects[0], effects[3], effects[2]]
    assert writer.short == {jid(1): os.strerror(code), jid(2): os.strerror(code)}
    assert rename.count == 1  # the second one is not even tried
    rename.error = None
    assert writer.commit([do.Undo(jid(1)), do.Undo(jid(2))]) == []
    assert names(writer) == []
    assert writer.shortage == os.strerror(code)
    assert writer.commit(begun(3)) is not None
    assert writer.probe()
    assert writer.commit(begun(3)) is None


@pytest.mark.parametrize("code", [errno.EIO, errno.EBADF, errno.ENOTDIR])
def test_any_other_failure_ends_the_agent(writer: Writer, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """R-B33: nobody knows what is on the disk, so nothing may be told."""
    fsync = Broken(monkeypatch, "fsync")
    fsync.error = code
    with pytest.raises(OSError, match=os.strerror(code)):
        writer.commit(begun(1))


def test_folders_that_cannot_be_synced_leave_no_job(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = Broken(monkeypatch, "fsync", lambda fd: Path(os.readlink(f"/proc/self/fd/{fd}")).is_dir())
    fsync.error = errno.ENOSPC
    effects = [*begun(1), lost(2), *begun(3)]
    left = writer.commit(effects)
    assert left is not None
    assert sorted(told(left)) == ["claim 1", "claim 3", "record 1 accepted", "record 3 accepted", "spool 2 lost"]
    fsync.error = None
    assert writer.commit([do.Undo(jid(1)), do.Undo(jid(3)), effects[2]]) == []
    assert names(writer) == [f"spool/{jid(2)}.msgpack"]


def test_a_job_that_came_to_nothing_is_taken_back_where_nothing_can_be_removed(
        writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is only to be read stays so, and whoever asked for the job would wait for its refusal for ever."""
    opened = Broken(monkeypatch, "open", lambda path: str(path).endswith(".tmp"))
    unlink = Broken(monkeypatch, "unlink")
    opened.error = unlink.error = errno.EROFS
    writer.commit([*begun(1), *begun(2)])
    assert sorted(writer.short) == [jid(1), jid(2)]
    assert opened.count == 1
    assert writer.commit([do.Undo(jid(1)), do.Undo(jid(2))]) == []
    assert writer.short == {}


def test_a_job_is_not_taken_back_before_that_is_durable(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may be gone already, and come back with a crash."""
    assert writer.commit(begun(1)) is None
    fsync = Broken(monkeypatch, "fsync", lambda fd: os.readlink(f"/proc/self/fd/{fd}").endswith("/state/proc"))
    fsync.error = errno.ENOSPC
    for _ in range(2):
        assert writer.commit([do.Undo(jid(1))]) == [do.Undo(jid(1))]
        assert names(writer) == []
    fsync.error = None
    assert writer.commit([do.Undo(jid(1))]) == []


def test_what_is_set_aside_is_for_what_ends_jobs(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record takes none of it; a stop does, and it is set aside again."""
    ballast = writer.folders.layout.state / BALLAST_FILE
    size = ballast.stat().st_size
    rename = Broken(monkeypatch, "rename", lambda _: ballast.exists())
    rename.error = errno.ENOSPC
    assert writer.commit(begun(1)) is not None
    assert ballast.exists()
    assert writer.commit([do.SaveStop(jid(2), STOP)]) == []
    assert writer.short == {}
    assert not ballast.exists()
    assert [stop.stop for stop in writer.folders.stops.read(jid(2))] == ["s1"]
    assert not writer.probe()  # that would need a rename
    rename.error = None
    assert writer.probe()
    assert ballast.stat().st_size == size


def test_work_inside_the_agent_may_take_of_it(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    ballast = writer.folders.layout.state / BALLAST_FILE
    rename = Broken(monkeypatch, "rename", lambda _: ballast.exists())
    rename.error = errno.ENOSPC
    inline = record(jid(1), State.RUNNING, inline=True)
    assert writer.commit([do.Claim(jid(1), 1300.0, 2000.0), do.SaveRecord(inline)]) == []
    assert writer.folders.records.read(jid(1)) == inline


def test_a_claim_of_a_stop_is_tried_again(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: a claim that failed on its way is no claim."""
    (writer.folders.layout.state / BALLAST_FILE).unlink()
    fsync = Broken(monkeypatch, "fsync")
    fsync.error = errno.ENOSPC
    claim = do.Claim(jid(1), 1300.0, 2000.0, cancelled=True)
    assert writer.commit([claim]) == [claim]
    fsync.error = None
    assert writer.commit([claim]) == []
    assert writer.folders.claims.all()[jid(1)].cancelled


def test_a_disk_without_room_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fallocate = Broken(monkeypatch, "posix_fallocate")
    fallocate.error = errno.ENOSPC
    writer = Writer(tmp_path / "state")
    writer.open()
    assert writer.shortage == FULL
    assert writer.commit(begun(1)) is not None
    fallocate.error = None
    assert writer.probe()
    assert writer.commit(begun(1)) is None


def test_a_disk_that_cannot_set_space_aside_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fallocate = Broken(monkeypatch, "posix_fallocate")
    fallocate.error = errno.EOPNOTSUPP
    writer = Writer(tmp_path / "state")
    writer.open()
    assert writer.shortage is None
