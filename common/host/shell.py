"""Applies the host core's effects on this machine: files by its queue, processes through the executor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from common import clock
from common.aio import Tasks
from common.errors import JrError
from common.files import ROOM
from common.functions import Agent
from common.host import effects as do
from common.host import inline
from common.host.core import Host
from common.host.desk import Desk, now
from common.host.ends import Ends
from common.host.out import Out
from common.host.queue import ROOM_AGAIN, Queue
from common.host.takeover import Found, take_over
from common.ids import Jid
from common.log import limited
from common.messages import Return, Stopped
from common.proc.executor import Executor
from common.proc.record import JobRecord
from common.sequencer import Then

_log = logging.getLogger("jr.host")

HOUSEKEEPING = 600.0
"""Seconds between two looks at what has grown old."""


class HostShell:
    """The hands of one host core."""

    def __init__(self, host: Host, state: Path, config: dict[str, Any], out: Out,
                 functions: Mapping[str, Callable[..., Any]], agent: Agent | None) -> None:
        """`config` is the spawner's, `functions` are those that run inside the agent, with `agent` at hand.

        Raises JrError when the state folder cannot be used.
        """
        self._host = host
        self._out = out
        self._functions = functions
        self._agent = agent
        self._tasks = Tasks()
        self.queue = Queue(host, state, self._act, out, self._tasks)
        self.folders = self.queue.writer.folders
        self.executor = Executor(state, config, self)
        self.desk = Desk(host, self.queue.committed)
        self._ends = Ends(host, self.queue, self.desk, out, self._tasks)

    async def open(self, *, patient: bool = True) -> None:
        """Start the spawner, and take over what the disk holds. Raises JrError.

        A `patient` one waits for room on a full disk: ends of jobs that an earlier agent left are to be written there.
        """
        await self.executor.open()
        self._host.held.containment = self.executor.containment
        for module, reason in self.executor.broken.items():
            _log.error("cannot load module %s: %s", module, reason, extra={"action": "module.broken"})
        found = await self._found(patient)
        self.queue.apply(self._host.load(found.claims, found.adopted, found.idle, found.ended.states, now(),
                                         found.ended.since))
        await self.queue.open()

    async def _found(self, patient: bool) -> Found:
        while True:
            try:
                return await take_over(self.folders, self.executor.adopt, self.queue.disk)
            except OSError as error:
                if not patient or error.errno not in ROOM:
                    raise JrError(f"cannot take over the jobs of this host: {error}") from error
                limited(_log, "take over").error("cannot take over the jobs of this host, and wait for room: %s", error,
                                                 extra={"action": "disk.short"})
            if not await self.queue.disk(self.queue.writer.spend):
                await asyncio.sleep(ROOM_AGAIN)

    async def keep_house(self, keep: float) -> None:
        """Remove captured output that is older than `keep` seconds, for ever; 0 keeps it."""
        while keep:
            try:
                await self.queue.disk(lambda: self.folders.drop_outputs(clock.wall() - keep))
            except OSError as error:
                _log.error("cannot remove old output, and try again later: %s", error,
                           extra={"action": "output.failed"})
            await asyncio.sleep(HOUSEKEEPING)

    def noted(self, jids: Iterable[Jid]) -> None:
        """The schedule of this host has the ends of these jobs in its journal: see `Host.noted`."""
        if effects := self._host.noted(jids):
            self.queue.apply(effects)

    async def close(self) -> None:
        """Write what is queued and let go; supervisors live on."""
        await self._tasks.close()
        await self.queue.drained()
        await self.executor.close()
        self._ends.close()
        self.queue.close()

    # what the executor says

    def started(self, jid: Jid, pid: int, at: float) -> None:
        """The payload runs."""
        self.queue.apply(self._host.started(jid, pid, at))

    def stop_result(self, jid: Jid, stop: str, outcome: Any, signalled: int, reason: str) -> None:
        """What became of a stop request."""
        answer = Stopped(stop=stop, jid=jid, outcome=outcome, signalled=signalled, reason=reason)
        if not self.desk.answered(answer):
            self.queue.apply(self._host.stop_result(answer))

    def ended(self, jid: Jid) -> None:
        """The supervisor is gone: look what it left."""
        self._ends.look(jid)

    def broken(self, reason: str) -> None:
        """The spawner does not stay alive."""
        self._out.fatal(reason)

    # inside

    def _act(self, effect: Any) -> None:
        match effect:
            case do.Send(message):
                self._out.send(message)
                if isinstance(message, Return):
                    self._ends.tell(message)
            case do.SendSpooled(jid):
                self._ends.send(jid)
            case do.Start(jid):
                self._start(jid)
            case do.Ended(message):
                self._ends.tell(message)
            case do.Wake(jid):
                self.executor.wake(jid)
            case do.Call(record, sealed):
                self._tasks.start(self._call(record, sealed))
            case Then():
                effect.tell()
            case _:
                self._out.other(effect)

    def _start(self, jid: Jid) -> None:
        try:
            self.executor.start(jid)
        except (OSError, JrError) as error:
            self.queue.apply(self._host.vanished(jid, now(), str(error)))

    async def _call(self, record: JobRecord, sealed: bytes) -> None:
        message = await inline.call(self._functions[record.function], record, self._agent, sealed)
        effects = self._host.called(message, now())
        await self.queue.committed(effects)
        self._ends.tell(message)
