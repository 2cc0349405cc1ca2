"""The executor and its spawner: the table, failures to open, notices, and that nothing piles up. Real processes."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from common.errors import JrError
from common.messages import Return
from common.proc import notify, processes
from common.proc.executor import Executor
from common.proc.record import decode_record
from common.states import State
from tests.process.host import Events, TestHost, make_record, on_host

GOOD = "def shout(text: str) -> str:\n    '''Louder.'''\n    return text.upper()\n"


def test_the_table_is_that_of_the_modules(tmp_path: Path) -> None:
    folder = tmp_path / "functions"
    folder.mkdir(mode=0o755)
    (folder / "mine.py").write_text(GOOD)
    (folder / "bad.py").write_text("raise RuntimeError('no')\n")

    async def story(host: TestHost) -> Return:
        assert host.executor.table["mine.shout"]["doc"] == "Louder."
        assert "plain.echo" in host.executor.table
        assert list(host.executor.broken) == ["bad"]
        assert host.executor.containment in ("cgroup", "subreaper")
        return await host.run("mine.shout", "hey")

    end = on_host(tmp_path / "state", story, dirs=[str(folder)])
    assert end.state is State.SUCCEEDED


def test_containment_can_be_forced(tmp_path: Path) -> None:
    async def story(host: TestHost) -> str:
        return host.executor.containment
    assert on_host(tmp_path, story, containment="subreaper") == "subreaper"


def test_a_fresh_spawner_may_bring_other_functions(tmp_path: Path) -> None:
    folder = tmp_path / "functions"
    folder.mkdir(mode=0o755)

    async def story(host: TestHost) -> list[str]:
        assert "mine.shout" not in host.executor.table
        (folder / "mine.py").write_text(GOOD)
        spawner = host.executor._spawner
        assert spawner is not None
        spawner.kill()
        await host.until(lambda: "mine.shout" in host.executor.table, "the new table")
        return list(host.executor.table)

    assert "mine.shout" in on_host(tmp_path / "state", story, dirs=[str(folder)])


def test_a_spawner_that_cannot_load_is_one_clear_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JrError, match="cannot start the spawner: it ended before it was ready"):
        on_host(tmp_path, lambda host: host.run("x.y"), packages=["no.such.package"])
    assert "No module named 'no'" in capfd.readouterr().err  # the whole story is in the journal


def test_a_spawner_that_cannot_be_watched_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-B34."""
    def fail(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = processes.walk(os.getpid()), _descriptors(os.getpid())
    monkeypatch.setattr(os, "pidfd_open", fail)
    with pytest.raises(JrError, match=r"cannot start the spawner: .*Too many open files"):
        on_host(tmp_path, lambda host: host.run("x.y"))
    assert (processes.walk(os.getpid()), _descriptors(os.getpid())) == before


def test_a_state_folder_with_a_long_path(tmp_path: Path) -> None:
    """A socket's address holds 107 bytes; a path may hold 4095."""
    state = tmp_path / ("d" * 100) / ("e" * 100)
    state.parent.mkdir()

    async def story(host: TestHost) -> int:
        return await host.running(host.start("run.shell", "true"))

    assert on_host(state, story) > 0


def test_notices_may_be_garbage(tmp_path: Path) -> None:
    bad = [b"", b"{", b"[]", b"null", b'{"event":"started"}', b'{"jid":"../x","event":"started","pid":1,"at":1}',
           b'{"jid":"20260101000000000000","event":"started","pid":[],"at":1}', b"\xff" * 100, b"[" * 8000]

    async def story(host: TestHost) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for data in bad:
                sender.sendto(data, str(tmp_path / "s" / notify.NAME))
        return await host.running(host.start("run.shell", "true"))

    assert on_host(tmp_path / "s", story) > 0


def test_a_notice_without_an_agent_costs_nothing(tmp_path: Path) -> None:
    notify.send(tmp_path, {"event": "started"})
    notify.send(tmp_path / "not there", {"event": "started"})


def test_an_agent_that_does_not_listen_blocks_nobody(tmp_path: Path) -> None:
    listener = notify.listen(tmp_path)
    try:
        for _ in range(2000):
            notify.send(tmp_path, {"event": "started"})
        assert notify.receive(listener) == {"event": "started"}
    finally:
        listener.close()


def test_the_supervisors_record_is_a_record(tmp_path: Path) -> None:
    """The supervisor handles records as plain maps; agents read them through the types."""
    async def reading(host: TestHost) -> None:
        record = make_record("run.shell", "echo up; sleep 0.2", schedule="nightly", user="grüße")
        jid = host.accept(record)
        host.executor.start(jid)
        pid = await host.running(jid)
        found = decode_record(host.layout.record_of(jid).read_bytes())
        seen = processes.look(pid)
        assert seen is not None
        assert (found.pid, found.create_time, found.state) == (pid, seen.ticks, State.RUNNING)
        assert (found.args, found.user, found.schedule) == (record.args, record.user, "nightly")
        assert found.supervisor == seen.parent
        assert found.started is not None
        await host.end(jid)
        assert not host.layout.record_of(jid).exists()

    on_host(tmp_path, reading)


def test_the_record_goes_when_the_return_is_there(tmp_path: Path) -> None:
    """S01."""
    async def story(host: TestHost) -> None:
        jid = host.start("run.shell", "true")
        await host.end(jid)
        assert host.folders.open_jobs() == ([], [])
        assert host.folders.spool.jids() == [jid]
        assert host.folders.spool.state(jid) is State.SUCCEEDED
        host.folders.forget(jid)
        assert host.folders.spool.jids() == []
    on_host(tmp_path, story)


def test_starting_twice_is_starting_once(tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    async def story(host: TestHost) -> None:
        jid = host.start("run.shell", f"echo ran >>{marker}")
        host.executor.start(jid)
        await host.running(jid)
        host.executor.start(jid)
        await host.end(jid)
        assert len(host.events.of("ended")) == 1

    on_host(tmp_path / "state", story)
    assert marker.read_text() == "ran\n"


def test_a_job_without_a_record_ends_at_once(tmp_path: Path) -> None:
    async def story(host: TestHost) -> None:
        record = make_record("run.shell", "true")
        host.folders.claims.add(record.jid, 0.0)
        host.executor.start(record.jid)
        await host.until(lambda: ("ended", record.jid) in host.events.seen, "the end")
        assert host.folders.settle(record.jid) is None
    on_host(tmp_path, story)


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_nothing_piles_up(tmp_path: Path) -> None:
    """Descriptors and zombies, here and in the spawner, after many jobs."""
    async def story(host: TestHost) -> None:
        spawner = host.executor._spawner
        assert spawner is not None
        await host.run("run.shell", "true")
        before = _descriptors(os.getpid()), _descriptors(spawner.pid)
        jids = [host.start("run.shell", "true") for _ in range(40)]
        for jid in jids:
            await host.end(jid)
        assert (_descriptors(os.getpid()), _descriptors(spawner.pid)) == before
        await host.until(lambda: not processes.walk(spawner.pid), "all supervisors to be reaped")
        assert host.executor.running == []
    on_host(tmp_path, story)


def test_opening_again_after_closing(tmp_path: Path) -> None:
    for _ in range(2):
        assert on_host(tmp_path, lambda host: host.run("run.shell", "true")).state is State.SUCCEEDED


def test_closing_what_was_never_opened(tmp_path: Path) -> None:
    async def story() -> None:
        await Executor(tmp_path, {}, Events()).close()
    asyncio.run(story())


def test_many_at_once(tmp_path: Path) -> None:
    async def story(host: TestHost) -> set[int | None]:
        jids = [host.start("run.shell", f"exit {n}") for n in range(60)]
        return {(await host.end(jid)).retcode for jid in jids}
    assert on_host(tmp_path, story) == set(range(60))
