"""A host for the tests of processes: real folders, a real spawner, real supervisors; only the daemon is missing."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UnsetType

from common import clock, codec
from common.ids import Jid, mint
from common.messages import Return
from common.proc.directory import JobFolders
from common.proc.executor import Executor
from common.proc.record import JobRecord, StopRequest
from common.states import State

T = TypeVar("T")
_numbers = itertools.count()
PATIENCE = 40.0
"""Seconds that a test waits for what should take milliseconds: machines are shared."""


def fresh_jid() -> Jid:
    return mint(1_767_225_600.0 + next(_numbers), None)


def make_record(function: str, *args: Any, jid: Jid | None = None, **fields: Any) -> JobRecord:
    """A record as an agent writes it."""
    kwargs = fields.pop("kwargs", {})
    return JobRecord(**{
        "jid": jid or fresh_jid(), "function": function, "args": list(args), "kwargs": kwargs, "user": "tester",
        "state": State.ACCEPTED, "accepted": clock.wall(), "deadline_boot_id": clock.boot_id(),
        "deadline": clock.boottime() + 300, "args_packed": base64.b64encode(codec.pack(list(args))).decode(),
        "kwargs_packed": base64.b64encode(codec.pack(kwargs)).decode(), **fields})


def request(how: Any = "kill", *, stop: str = "s1", signal: int = 15, grace: float = 10.0) -> StopRequest:
    return StopRequest(stop=stop, how=how, signal=signal, grace=grace, by="tester@here", at=clock.wall())


class Events:
    """What the executor told, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def started(self, jid: Jid, pid: int, at: float) -> None:
        self.seen.append(("started", jid, pid, at))

    def ended(self, jid: Jid) -> None:
        self.seen.append(("ended", jid))

    def stop_result(self, jid: Jid, stop: str, outcome: str, signalled: int, reason: str) -> None:
        self.seen.append(("stop", jid, stop, outcome, signalled, reason))

    def broken(self, reason: str) -> None:
        self.seen.append(("broken", reason))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event for event in self.seen if event[0] == kind]


class TestHost:
    """Folders, executor and events, on one loop."""

    __test__ = False

    def __init__(self, state: Path, **config: Any) -> None:
        self.folders = JobFolders(state)
        self.layout = self.folders.layout
        self.events = Events()
        self.config = {"packages": ["tests.process.functions"], **config}
        self.executor = Executor(state, self.config, self.events)

    def accept(self, record: JobRecord) -> Jid:
        """What an agent does before it asks for a supervisor."""
        assert self.folders.claims.add(record.jid, clock.boottime() + 3600)
        self.folders.records.write(record)
        return record.jid

    def start(self, function: str, *args: Any, **fields: Any) -> Jid:
        jid = self.accept(make_record(function, *args, **fields))
        self.executor.start(jid)
        return jid

    async def stop(self, jid: Jid, stop: StopRequest) -> None:
        self.folders.stops.append(jid, stop)
        self.executor.wake(jid)

    async def until(self, condition: Callable[[], T], what: str = "the condition") -> T:
        """The first true value of `condition`, with the loop running."""
        end = clock.boottime() + PATIENCE
        while not (value := condition()):
            assert clock.boottime() < end, f"waited in vain for {what}; events: {self.events.seen}"
            await asyncio.sleep(0.005)  # lets the loop run; the condition decides
        return value

    async def running(self, jid: Jid) -> int:
        """The pid of the payload, once it was let go."""
        def pid() -> int:
            return next((event[2] for event in self.events.of("started") if event[1] == jid), 0)
        return await self.until(pid, f"the start of {jid}")

    async def output(self, jid: Jid, text: str) -> None:
        """Wait until the job has said `text`."""
        path = self.layout.output_of(jid)[0]
        await self.until(lambda: path.exists() and text in path.read_text(), f"{text!r} from {jid}")

    async def end(self, jid: Jid) -> Return:
        """The return of a job, once its supervisor is gone."""
        await self.until(lambda: ("ended", jid) in self.events.seen, f"the end of {jid}")
        return self.returned(jid)

    def returned(self, jid: Jid) -> Return:
        assert self.folders.settle(jid) is not None
        message = codec.from_minion.decode(self.folders.spool.read(jid))
        assert isinstance(message, Return)
        return message

    async def run(self, function: str, *args: Any, **fields: Any) -> Return:
        """Start a job and wait for its return."""
        return await self.end(self.start(function, *args, **fields))


def on_host(state: Path, story: Callable[[TestHost], Coroutine[Any, Any, T]], **config: Any) -> T:
    """Run a story on a host of its own, which is closed afterwards whatever happens."""
    async def main() -> T:
        host = TestHost(state, **config)
        await host.executor.open()
        try:
            return await story(host)
        finally:
            await host.executor.close()
    return asyncio.run(main())


def value_of(message: Return) -> Any:
    assert not isinstance(message.value, UnsetType)
    return codec.unpack(message.value)
