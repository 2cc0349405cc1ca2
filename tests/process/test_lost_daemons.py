"""The agent or its spawner dies: the jobs live on, and whoever comes next takes them over."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from common.messages import Return
from common.proc.directory import JobFolders
from common.proc.executor import RESTARTS
from common.states import State
from tests.process.crashing import accept
from tests.process.host import TestHost, make_record, on_host, request


def test_jobs_outlive_their_agent_and_are_adopted(tmp_path: Path) -> None:
    """P6, R-A2: SIGKILL of the agent in the middle; exit codes, signals and output are kept all the same."""
    gate = tmp_path / "gate"
    scripts = [f"echo {n}; while ! test -e {gate}; do sleep 0.02; done; echo end; exit {n}" for n in range(4)]
    scripts.append(f"while ! test -e {gate}; do sleep 0.02; done; kill -USR1 $$")
    folders = JobFolders(tmp_path / "state")
    jids = [accept(folders, script).jid for script in scripts]
    command = [sys.executable, "-m", "tests.process.agent", str(tmp_path / "state"), *jids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"started\n"
        agent.kill()

    async def story(host: TestHost) -> list[Return]:
        found, problems = host.folders.open_jobs()
        assert problems == []
        assert [record.jid for record in found] == jids
        assert all(host.executor.adopt(jid) for jid in jids)
        assert all(host.executor.adopt(jid) for jid in jids)  # again costs nothing
        gate.touch()
        return [await host.end(jid) for jid in jids]

    ends = on_host(tmp_path / "state", story)
    assert [end.retcode for end in ends] == [0, 1, 2, 3, 138]
    assert [end.stdout.decode().split() for end in ends[:4]] == [[str(n), "end"] for n in range(4)]


def test_an_adopted_job_can_be_stopped(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path)
    jid = accept(folders, "echo up; sleep 300").jid

    async def first(host: TestHost) -> None:
        host.executor.start(jid)
        await host.output(jid, "up")

    async def second(host: TestHost) -> Return:
        assert host.executor.adopt(jid)
        await host.stop(jid, request("kill"))
        return await host.end(jid)

    on_host(tmp_path, first)
    assert on_host(tmp_path, second).state is State.KILLED


def test_nothing_to_adopt_and_nothing_to_wake(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[bool]:
        jid = (await host.run("run.shell", "true")).jid
        unknown = make_record("run.shell").jid
        for one in (jid, unknown):
            host.executor.wake(one)
        return [host.executor.adopt(jid), host.executor.adopt(unknown)]
    assert on_host(tmp_path, story) == [False, False]


def _kill_spawner(host: TestHost) -> int:
    spawner = host.executor._spawner
    assert spawner is not None
    spawner._process.kill()
    return spawner.pid


def _is_replaced(host: TestHost, pid: int) -> bool:
    spawner = host.executor._spawner
    return spawner is None or spawner.pid != pid


def test_jobs_outlive_their_spawner_and_another_takes_over(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[Return]:
        jids = [host.start("run.shell", f"sleep 0.2; exit {n}") for n in range(3)]
        await host.running(jids[-1])
        _kill_spawner(host)
        jids += [host.start("run.shell", f"exit {n}") for n in range(3, 6)]
        return [await host.end(jid) for jid in jids]
    assert [end.retcode for end in on_host(tmp_path, story)] == list(range(6))


def test_starts_that_a_spawner_took_with_it_are_asked_again(tmp_path: Path) -> None:
    """Whether it had forked is unknown; the lock tells, and each job runs once."""
    marker = tmp_path / "marker"

    async def story(host: TestHost) -> list[Return]:
        jids = []
        for n in range(30):
            jids.append(host.start("run.shell", f"echo {n} >>{marker}"))
            if n % 10 == 5:
                _kill_spawner(host)
                await asyncio.sleep(0)  # the loop shall see the death between two starts, not after the last
        return [await host.end(jid) for jid in jids]

    ends = on_host(tmp_path / "state", story)
    assert {end.state for end in ends} == {State.SUCCEEDED}
    assert sorted(map(int, marker.read_text().split())) == list(range(30))


def test_a_spawner_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    """Five restarts a minute, then loudly over."""
    async def story(host: TestHost) -> list[Any]:
        for _ in range(RESTARTS + 1):
            old = _kill_spawner(host)
            await host.until(partial(_is_replaced, host, old), "the next")
        return host.events.of("broken")
    assert on_host(tmp_path, story) == [
        ("broken", "cannot keep the spawner alive: it died 6 times in 60 s")]
