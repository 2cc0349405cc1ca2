"""Hosts without descriptors: `python -m tests.process.starved SCENE FOLDER` plays one scene in a process of its own.

A scene that goes wrong ends with a traceback and exit code 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from msgspec import Raw

from common import clock, codec, keys
from common.canary import Canary
from common.daemon import Daemon
from common.errors import JrError
from common.host import effects as do
from common.host.core import Host
from common.host.job import Limits
from common.host.planner import TablePlanner
from common.host.shell import HostShell
from common.link import Closed
from common.messages import JobFields, Message, Return
from common.proc import limits
from common.states import State
from common.zmqline import open_line
from tests.lib.links import ZmqWorld
from tests.process.host import TestHost, fresh_jid, make_record, on_host, request

CONFIG = {"packages": ["tests.process.functions"]}
SECONDS = 40.0
"""How long a scene waits for what should take a moment."""
Scene = Callable[[Path], None]


class Lines(logging.Handler):
    """What was logged, as lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        logging.getLogger("jr").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


class Out:
    """Where a host's messages go in a scene."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.fatals: list[str] = []

    def send(self, message: Message) -> None:
        """Nobody listens."""

    def send_frame(self, frame: bytes) -> None:
        self.frames.append(frame)

    def other(self, effect: Any) -> None:
        raise AssertionError(effect)

    def changed(self) -> None:
        """Nothing here waits for the core's timers."""

    def ended(self, message: Return) -> None:
        """The future of the run tells it."""

    def fatal(self, reason: str) -> None:
        self.fatals.append(reason)


@contextlib.contextmanager
def starved() -> Iterator[None]:
    """Let this process open nothing: every number above 2 is refused. Those it has go on working."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let this process open `count` descriptors."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))
    filled: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                filled.append(os.dup(0))
        while count and filled:
            os.close(filled.pop())
            count -= 1
        yield
    finally:
        for fd in filled:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


async def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, with the loop running."""
    end = clock.boottime() + SECONDS
    while not (value := condition()):
        assert clock.boottime() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.005)  # lets the loop run; the condition decides
    return value


def waiting_script(gate: Path) -> str:
    """A job that ends when `gate` is made: a folder, since that takes no descriptor."""
    return f"until [ -e {gate} ]; do sleep 0.02; done"


# the executor


def a_descriptor_that_was_dropped(folder: Path) -> None:
    """The spawner's answer comes without its pidfd: the job is watched all the same, as soon as that can be."""
    async def story(host: TestHost) -> None:
        jid = host.accept(make_record("run.shell", waiting_script(folder / "gate")))
        with starved():
            host.executor.start(jid)
            await host.running(jid)
            first = await host.until(lambda: host.executor._unsure.get(jid), "the job to be looked at again")
            await host.until(lambda: host.executor._unsure.get(jid) not in (None, first), "a second try")
            host.executor.start(jid)
            assert host.executor.running == [jid]
        await host.until(lambda: jid in host.executor._watched, "the job to be watched")
        assert host.events.of("ended") == []
        (folder / "gate").mkdir()
        assert (await host.end(jid)).state is State.SUCCEEDED
        assert host.executor.running == []
    on_host(folder / "state", story)


def an_end_without_descriptors(folder: Path) -> None:
    """Whether another supervisor has the job cannot be told: its end is told later, and once."""
    async def story(host: TestHost) -> None:
        jid = host.start("run.shell", waiting_script(folder / "gate"))
        await host.running(jid)
        with starved():
            (folder / "gate").mkdir()
            await host.until(lambda: jid in host.executor._unsure, "the end")
            assert host.events.of("ended") == []
        assert (await host.end(jid)).state is State.SUCCEEDED
        assert len(host.events.of("ended")) == 1
    on_host(folder / "state", story)


def a_kill_without_descriptors(folder: Path) -> None:
    """The supervisor is woken later."""
    async def story(host: TestHost) -> None:
        jid = host.start("run.shell", "exec sleep 300")
        await host.running(jid)
        host.folders.stops.append(jid, request("kill"))
        with starved():
            host.executor.wake(jid)
            host.executor.wake(jid)
        assert (await host.end(jid)).state is State.KILLED
    on_host(folder / "state", story)


def a_spawner_that_dies_without_descriptors(folder: Path) -> None:
    """Another one is started as soon as that can be, and what was asked for meanwhile begins."""
    async def story(host: TestHost) -> None:
        spawner = host.executor._spawner
        assert spawner is not None
        jid = host.accept(make_record("run.shell", "exit 3"))
        with starved():
            spawner.kill()
            await host.until(lambda: host.executor._respawn is not None, "a try in vain")
            host.executor.start(jid)
        assert (await host.end(jid)).retcode == 3
        assert host.events.of("broken") == []
    on_host(folder / "state", story)


def closing_without_descriptors(folder: Path) -> None:
    """Nothing is looked at again after that."""
    async def story(host: TestHost) -> None:
        jid = host.start("run.shell", waiting_script(folder / "gate"))
        await host.running(jid)
        with starved():
            (folder / "gate").mkdir()
            await host.until(lambda: jid in host.executor._unsure, "the end")
            host.executor.wake(jid)
            timers = [host.executor._unsure[jid], host.executor._unwoken[jid]]
            await host.executor.close()
        assert all(timer.cancelled() for timer in timers)
        assert host.events.of("ended") == []
    on_host(folder / "state", story)


# the shell of a host


def on_shell(state: Path, story: Callable[[HostShell, Out, Lines], Coroutine[Any, Any, None]]) -> None:
    """Run a story on a host with its shell, before it is opened."""
    async def main() -> None:
        lines, out = Lines(), Out()
        host = Host(Limits(boot_id=clock.boot_id()), TablePlanner(lambda: hands.executor.table, dict))
        hands = HostShell(host, state, CONFIG, out, {}, None)
        try:
            await story(hands, out, lines)
        finally:
            await hands.close()
        assert out.fatals == []
        assert os.listdir(state / "quarantine") == [], lines.lines
    asyncio.run(main())


def fields(script: str) -> JobFields:
    return JobFields(function="run.shell", args=Raw(codec.pack([script])), user="tester")


def a_look_without_descriptors(folder: Path) -> None:
    """A job's end is looked at again, and its return is neither damaged nor lost."""
    async def story(hands: HostShell, out: Out, lines: Lines) -> None:
        await hands.open()
        jid = fresh_jid()
        ended = await hands.desk.run(jid, fields(waiting_script(folder / "gate")))
        await until(lambda: jid in hands.executor._watched, "the start")
        with starved():
            (folder / "gate").mkdir()
            await until(lambda: jid in hands.executor._unsure, "the end")
            hands.ended(jid)
            await until(lambda: lines.has(f"cannot see how {jid} ended, and look again"), "a look in vain")
            assert not ended.done()
        assert (await asyncio.wait_for(ended, SECONDS)).state is State.SUCCEEDED
        with starved():
            hands.queue.apply([do.SendSpooled(jid)])
            await until(lambda: lines.has(f"cannot read the return of {jid} for now"), "a read in vain")
        assert out.frames == []
        hands.queue.apply([do.SendSpooled(jid)])
        await until(lambda: out.frames, "the return")
    on_shell(folder / "state", story)


def a_commit_without_descriptors(folder: Path) -> None:
    """R-A20, R-B34: a job is refused with the reason, once it is certain that nothing of it is left, and the agent
    takes the next one when it can."""
    async def story(hands: HostShell, out: Out, lines: Lines) -> None:
        await hands.open()
        with starved():
            asked = asyncio.create_task(hands.desk.run(fresh_jid(), fields("true")))
            await until(lambda: hands.queue.short is not None, "the shortage is seen")
            assert hands.queue.short == "Too many open files"
        try:
            await asyncio.wait_for(asked, SECONDS)
        except JrError as error:
            told = str(error)
        assert told == "cannot accept the job: Too many open files"
        await until(lambda: hands.queue.short is None, "descriptors")
        ended = await hands.desk.run(fresh_jid(), fields("true"))
        assert (await asyncio.wait_for(ended, SECONDS)).state is State.SUCCEEDED
    on_shell(folder / "state", story)


def a_start_without_descriptors(folder: Path) -> None:
    """The scan of a start fails it with one clear line, and what lies there stays."""
    state = folder / "state"

    async def story(hands: HostShell, out: Out, lines: Lines) -> None:
        names, real = _lay_out(hands), hands.executor.open
        with contextlib.ExitStack() as stack:
            async def open_and_starve() -> None:
                await real()
                stack.enter_context(starved())

            hands.executor.open = open_and_starve  # type: ignore[method-assign]
            try:
                await hands.open()
            except JrError as error:
                told = str(error)
        assert told.startswith("cannot take over the jobs of this host: [Errno 24] Too many open files"), told
        assert _all_files(state) == names
    on_shell(state, story)


def a_claim_that_is_gone(folder: Path) -> None:
    """A crash kept the record and not the claim: the job runs, once, and its jid counts as seen."""
    async def story(hands: HostShell, out: Out, lines: Lines) -> None:
        record = make_record("run.shell", f"echo ran >>{folder / 'marker'}")
        hands.folders.records.write(record)
        await hands.open()
        await until(lambda: hands.folders.spool.jids() == [record.jid], "the return")
        assert (folder / "marker").read_text() == "ran\n"
        assert list(hands.folders.claims.all()) == [record.jid]
        assert not hands.folders.claims.add(record.jid, 1.0)
    on_shell(folder / "state", story)


def _lay_out(hands: HostShell) -> list[str]:
    """A record, its claim and stop, and the return of another job; their paths."""
    record = make_record("run.shell", "true")
    hands.folders.claims.add(record.jid, clock.boottime() + 3600)
    hands.folders.records.write(record)
    hands.folders.stops.append(record.jid, request("kill"))
    hands.folders.end(Return(jid=fresh_jid(), job=fields("true"), state=State.LOST, ended=clock.wall()))
    return _all_files(hands.folders.layout.state)


def _all_files(state: Path) -> list[str]:
    return sorted(str(path) for path in state.glob("*/*"))


# daemons


class Small(Daemon):
    """A daemon of which only the host is there: it runs more jobs than its first limit has descriptors."""

    def __init__(self, state: Path, first: int) -> None:
        super().__init__("minion")
        self._state = state
        self._first = first

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == most > self._first
        host = TestHost(self._state)
        await host.executor.open()
        stack.push_async_callback(host.executor.close)
        gate = self._state / "gate"
        jids = [host.start("run.shell", f"ulimit -Sn; ulimit -Hn; {waiting_script(gate)}") for _ in range(self._first)]
        try:
            await host.until(lambda: len(host.executor._watched) == len(jids), "all of them to be watched")
        finally:
            gate.mkdir()
        for jid in jids:
            assert (await host.end(jid)).stdout == f"{self._first}\n{most}\n".encode()
        self._stop.set()


def more_jobs_than_the_first_limit(folder: Path) -> None:
    """The daemon takes what the host grants it; jobs keep what the daemon was started with."""
    first = 40
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, most))
    asyncio.run(Small(folder / "state", first).run())
    assert limits.given() == first


# the bus


class Ends:
    """What a line tells."""

    def opened(self) -> None:
        """Nobody listens there."""

    def received(self, frame: bytes) -> None:
        """Nor there."""

    def closed(self, why: Closed) -> None:
        """As it must."""


def a_line_without_descriptors(folder: Path) -> None:
    """One clear error, and nothing is left open, however many descriptors there are."""
    async def story() -> None:
        here = "127.0.0.1", 1, keys.generate().public, keys.generate(), Ends()
        open_line(*here).close()  # libzmq has its own threads now
        descriptors = len(os.listdir("/proc/self/fd"))
        told = []
        for count in range(6):
            with room_for(count):
                try:
                    open_line(*here).close()
                except JrError as error:
                    told.append(str(error))
            # libzmq closes sockets in a thread of its own.
            await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, f"all to be closed, with {count}")
        assert 0 < len(told) < 6
        assert set(told) == {"cannot connect to 127.0.0.1:1: too many open files"}
    asyncio.run(story())


def a_canary_without_descriptors(folder: Path) -> None:
    """Tries in vain are misses: it goes on, and proves it when it can."""
    class Fed(Canary):
        fed: contextlib.ExitStack

        def _missed(self, why: str) -> None:
            super()._missed(why)
            assert "too many open files" in why
            if self._misses == 2:
                self.fed.close()

    async def story() -> None:
        world, alarms = ZmqWorld(), list[str]()
        open_line("127.0.0.1", 1, world.pair.public, keys.generate(), Ends()).close()  # as above
        with contextlib.ExitStack() as stack:
            stack.enter_context(starved())
            canary = Fed("127.0.0.1", world.hub.port, world.pair.public, alarms.append, retry=0.01)
            canary.fed = stack
            await until(lambda: world.master.asked, "the proof")
        canary.close()
        with starved():
            Canary("127.0.0.1", world.hub.port, world.pair.public, alarms.append, retry=0.01)
            await until(lambda: alarms, "the alarm")
        assert alarms == ["cannot prove that unknown keys are refused: 5 tries got no answer"]
        world.close()
    asyncio.run(story())


SCENES: dict[str, Scene] = {scene.__name__: scene for scene in (
    a_descriptor_that_was_dropped, an_end_without_descriptors, a_kill_without_descriptors, closing_without_descriptors,
    a_spawner_that_dies_without_descriptors, a_commit_without_descriptors,
    a_look_without_descriptors, a_start_without_descriptors, a_claim_that_is_gone, more_jobs_than_the_first_limit,
    a_line_without_descriptors, a_canary_without_descriptors,
)}

if __name__ == "__main__":
    SCENES[sys.argv[1]](Path(sys.argv[2]))
