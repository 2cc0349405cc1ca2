"""Applies the host core's effects on this machine: files on one disk thread, processes through the executor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from common import clock
from common.errors import JrError
from common.files import ROOM
from common.functions import Agent
from common.host import effects as do
from common.host import inline
from common.host.claims import KEPT, Kept
from common.host.core import Host
from common.host.desk import Desk, now
from common.host.parking import Parking
from common.host.writer import DURABLE, Writer
from common.ids import Jid
from common.log import limited
from common.messages import Message, Return, Stopped
from common.proc.executor import Executor
from common.proc.folders.claims import Claim
from common.proc.record import JobRecord
from common.proc.spool import SpoolError
from common.sequencer import Sequencer, Then
from common.states import State

_log = logging.getLogger("jr.host")
T = TypeVar("T")

HOUSEKEEPING = 600.0
"""Seconds between two looks at what has grown old."""
LOOK_AGAIN = 2.0
"""Seconds until the next look at the end of a job, after one that the host was too short of something for."""
ROOM_AGAIN = 1.0
"""Seconds between two looks whether there is room again on a disk that was full."""
AT_ONCE = 200
"""Jobs of which something waits for room, that are tried again at once."""


class Out(Protocol):
    """Where messages go, and the effects that are not the host's."""

    def send(self, message: Message) -> None:
        """Send if there is somebody to send to."""

    def send_frame(self, frame: bytes) -> None:
        """The same for a message that is encoded already."""

    def other(self, effect: Any) -> None:
        """An effect of the agent."""

    def changed(self) -> None:
        """The core was told something: look when it wants to be woken."""

    def ended(self, message: Return) -> None:
        """A job of this host ended."""

    def fatal(self, reason: str) -> None:
        """The host cannot go on: the disk or the spawner fails. The daemon ends, jobs live on."""


def _kept(claim: Claim) -> Kept:
    """A claim as it counts in this boot: of an earlier one, by the time at which its job had to start."""
    if claim.boot_id == clock.boot_id():
        return Kept(claim.until, claim.cancelled)
    return Kept(clock.boottime() + max(0.0, claim.start_by - clock.wall()) + KEPT, claim.cancelled)


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
        self._writer = Writer(state)
        self.folders = self._writer.folders
        self._parking = Parking(host)
        self.executor = Executor(state, config, self)
        self._disk = ThreadPoolExecutor(1, "disk")
        self._settling = ThreadPoolExecutor(2, "settle")
        self._sequencer: Sequencer[Any] = Sequencer(
            DURABLE, self._writer.commit, self._act, self._broken, self._disk, self._unwritten)
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering = False
        self.desk = Desk(host, self.committed)

    async def open(self, *, patient: bool = True) -> list[JobRecord]:
        """Start the spawner, and take over what the disk holds; returns what has not ended. Raises JrError.

        A `patient` one waits for room on a full disk: ends of jobs that an earlier agent left are to be written there.
        """
        await self.executor.open()
        self._host.held.containment = self.executor.containment
        for module, reason in self.executor.broken.items():
            _log.error("cannot load module %s: %s", module, reason, extra={"action": "module.broken"})
        while True:
            try:
                found = await self._take_over()
                break
            except OSError as error:
                if not patient or error.errno not in ROOM:
                    raise JrError(f"cannot take over the jobs of this host: {error}") from error
                limited(_log, "take over").error("cannot take over the jobs of this host, and wait for room: %s", error,
                                                 extra={"action": "disk.short"})
            if not await self.disk(self._writer.spend):
                await asyncio.sleep(ROOM_AGAIN)
        await self.disk(self._writer.open)
        if self.short is not None:
            self._await_room()
        return found

    async def _take_over(self) -> list[JobRecord]:
        records, _ = await self.disk(self.folders.open_jobs)
        await self.disk(lambda: self.folders.records.sweep_secrets({record.jid for record in records}))
        adopted, idle = [], []
        for record in records:
            if self.executor.adopt(record.jid):
                adopted.append(record)
            elif record.inline or await self.disk(partial(self.folders.settle, record.jid)) is None:
                await self.disk(partial(self.folders.claims.add_again, record))
                idle.append(record)
        spooled, since, claims = await self.disk(self._left)
        if records or spooled:
            _log.info("took over %d running and %d waiting jobs, %d returns to send", len(adopted), len(idle),
                      len(spooled), extra={"action": "host.adopted"})
        self.apply(self._host.load(claims, [record for record in adopted if record.jid not in spooled],
                                   [record for record in idle if record.jid not in spooled], spooled, now(), since))
        return [record for record in records if record.jid not in spooled]

    def _left(self) -> tuple[dict[Jid, State], dict[Jid, float], dict[Jid, Kept]]:
        """On the disk thread: what has ended, oldest first, and when; what was ever seen, and until when it counts."""
        spooled = {jid: state for jid in self.folders.spool.jids()
                   if (state := self.folders.spool.state(jid)) is not None}
        at = now()
        since = {jid: at.boot - max(0.0, at.wall - self.folders.spool.written(jid)) for jid in spooled}
        ordered = {jid: spooled[jid] for jid in sorted(spooled, key=lambda jid: since[jid])}
        return ordered, since, {jid: _kept(claim) for jid, claim in self.folders.claims.all().items()}

    async def keep_house(self, keep: float) -> None:
        """Remove captured output that is older than `keep` seconds, for ever; 0 keeps it."""
        while keep:
            try:
                await self.disk(lambda: self.folders.drop_outputs(clock.wall() - keep))
            except OSError as error:
                _log.error("cannot remove old output, and try again later: %s", error,
                           extra={"action": "output.failed"})
            await asyncio.sleep(HOUSEKEEPING)

    def apply(self, effects: Sequence[Any]) -> None:
        """Apply what the core wants."""
        if effects := self._parking.admit(effects):
            self._sequencer.submit(effects)
        self._out.changed()

    async def committed(self, effects: Sequence[Any]) -> None:
        """Apply, and wait until everything so far is on disk. Raises JrError when a new job could not be written."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.apply([*effects, Then(waiter, do.about(effects[0]) if effects else None)])
        await waiter

    async def disk(self, call: Callable[[], T]) -> T:
        """Run something on the disk thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, call)

    def noted(self, jids: Iterable[Jid]) -> None:
        """The schedule of this host has the ends of these jobs in its journal: see `Host.noted`."""
        if effects := self._host.noted(jids):
            self.apply(effects)

    @property
    def queued(self) -> int:
        """How many effects wait for the disk."""
        return len(self._sequencer)

    @property
    def crowded(self) -> bool:
        """Whether the disk is so far behind that new work is dropped; the master sends it again."""
        return self._sequencer.crowded()

    @property
    def short(self) -> str | None:
        """Why nothing can be written for now; None when all is well."""
        return self._writer.shortage

    async def close(self) -> None:
        """Write what is queued and let go; supervisors live on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sequencer.drained()
        await self.executor.close()
        self._settling.shutdown()
        self._disk.shutdown()

    # what the executor says

    def started(self, jid: Jid, pid: int, at: float) -> None:
        """The payload runs."""
        self.apply(self._host.started(jid, pid, at))

    def stop_result(self, jid: Jid, stop: str, outcome: Any, signalled: int, reason: str) -> None:
        """What became of a stop request."""
        answer = Stopped(stop=stop, jid=jid, outcome=outcome, signalled=signalled, reason=reason)
        if not self.desk.answered(answer):
            self.apply(self._host.stop_result(answer))

    def ended(self, jid: Jid) -> None:
        """The supervisor is gone: look what it left."""
        self._spawn(self._look(jid))

    def broken(self, reason: str) -> None:
        """The spawner does not stay alive."""
        self._out.fatal(reason)

    # inside

    async def _look(self, jid: Jid) -> None:
        """Find out how a job ended whose supervisor is gone."""
        # Beside the disk thread: what is left of a job may take seconds to die, and no other job waits for that.
        try:
            message = await asyncio.get_running_loop().run_in_executor(self._settling, self._ending, jid)
        except SpoolError as error:
            self._damaged(jid, error)
            return
        except OSError as error:
            limited(_log, "look").error("cannot see how %s ended, and look again: %s", jid, error,
                                        extra={"action": "look.failed", "jid": jid})
            await asyncio.sleep(LOOK_AGAIN)
            self._spawn(self._look(jid))
            return
        if message is None:
            self.apply(self._host.vanished(jid, now(), "its supervisor ended before it could start"))
            return
        self._tell_end(message)
        self.apply(self._host.ended(jid, message.state, now()))

    def _ending(self, jid: Jid) -> Return | None:
        """The return, concluded if need be; None when nothing was started. Raises SpoolError."""
        state = self.folders.settle(jid)
        if state in (None, State.LOST):
            self.folders.tidy(jid)  # its supervisor was killed
        if state is None:
            return None
        return self.folders.spool.message(jid)

    def _tell_end(self, message: Return) -> None:
        self.desk.ended(message)
        self._out.ended(message)

    def _unwritten(self, queued: list[Any]) -> list[Any]:
        """The disk has no room for some of it: see `Parking`."""
        self._await_room()
        passed = self._parking.unwritten(queued, self._writer.short, now())
        self._out.changed()
        return passed

    def _await_room(self) -> None:
        if not self._recovering:
            self._recovering = True
            self._spawn(self._recover())

    async def _recover(self) -> None:
        """Try again what waits, and look for room, until all is written and there is some."""
        pause = ROOM_AGAIN
        try:
            while self.short is not None or self._parking:
                await asyncio.sleep(pause)
                waiting = len(self._parking)
                self._sequencer.submit(self._parking.again(AT_ONCE))
                await self.committed([])
                pause = 0.0 if len(self._parking) < waiting else ROOM_AGAIN
                await self.disk(self._writer.probe)
        except OSError as error:
            self._broken(error)
        finally:
            self._recovering = False

    def _act(self, effect: Any) -> None:
        match effect:
            case do.Send(message):
                self._out.send(message)
                if isinstance(message, Return):
                    self._tell_end(message)
            case do.SendSpooled(jid):
                self._spawn(self._send_spooled(jid))
            case do.Start(jid):
                self._start(jid)
            case do.Ended(message):
                self._tell_end(message)
            case do.Wake(jid):
                self.executor.wake(jid)
            case do.Call(record, sealed):
                self._spawn(self._call(record, sealed))
            case Then():
                effect.tell()
            case _:
                self._out.other(effect)

    def _start(self, jid: Jid) -> None:
        try:
            self.executor.start(jid)
        except (OSError, JrError) as error:
            self.apply(self._host.vanished(jid, now(), str(error)))

    async def _call(self, record: JobRecord, sealed: bytes) -> None:
        message = await inline.call(self._functions[record.function], record, self._agent, sealed)
        effects = self._host.called(message, now())
        await self.committed(effects)
        self._tell_end(message)

    async def _send_spooled(self, jid: Jid) -> None:
        try:
            self._out.send_frame(await self.disk(lambda: self.folders.spool.read(jid)))
        except SpoolError as error:
            self._damaged(jid, error)
        except OSError as error:
            # It stays where it is, and is sent again while it is not acknowledged.
            limited(_log, "spool").error("cannot read the return of %s for now: %s", jid, error,
                                         extra={"action": "spool.unread", "jid": jid})

    def _damaged(self, jid: Jid, error: SpoolError) -> None:
        """A return that cannot be read any more is not waited for."""
        _log.error("%s", error, extra={"action": "spool.damaged", "jid": jid})
        self.apply(self._host.damaged(jid, now(), f"its return was damaged, see quarantine: {error}"))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("%s", error, exc_info=error, extra={"action": "task.failed"})

    def _broken(self, error: BaseException) -> None:
        self._out.fatal(f"cannot write the state of jobs: {error}")
