"""The agent's side of its host's jobs: starts supervisors through the spawner, adopts living ones, wakes them, and
tells when they have ended. It reads no job and signals no payload."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from common import clock
from common.errors import JrError
from common.files import SHORT
from common.functions import Table
from common.ids import Jid
from common.log import limited
from common.proc import lock, notify
from common.proc.layout import Layout
from common.proc.spawning import Spawned

OPEN_SECONDS = 60.0
"""How long a spawner may take to load its modules; the loader allows 30 s to those of users."""
RESTARTS = 5
RESTART_SECONDS = 60.0
"""A spawner that dies more than so often within so long is given up."""
AGAIN_SECONDS = 1.0
"""Until a job is looked at again for which there was no descriptor: its supervisor has taken its lock by then."""
_NOTICES = 100
_log = logging.getLogger("jr.executor")


class ExecutorEvents(Protocol):
    """What an executor tells its owner, on the loop."""

    def started(self, jid: Jid, pid: int, at: float) -> None:
        """The payload runs since `at`, epoch seconds. Best effort: the proc record says the same."""

    def ended(self, jid: Jid) -> None:
        """The job has no supervisor any more: `JobFolders.settle` says what became of it."""

    def stop_result(self, jid: Jid, stop: str, outcome: str, signalled: int, reason: str) -> None:
        """What the supervisor did about a stop request. Best effort."""

    def broken(self, reason: str) -> None:
        """The spawner cannot be kept alive: nothing can be started from here on."""


class Executor:
    """One spawner, kept alive, and the supervisors that are watched."""

    def __init__(self, state: Path, config: dict[str, Any], events: ExecutorEvents) -> None:
        """`config` is the spawner's: `packages`, `dirs`, `entry_points`, and `containment`, which is `auto`, or
        `subreaper` to do without cgroups."""
        self._layout = Layout(state)
        self._config = {**config, "state": str(state)}
        self._events = events
        self._spawner: Spawned | None = None
        self._listener: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._watched: dict[Jid, int] = {}
        self._asked: dict[Jid, None] = {}
        self._unsure: dict[Jid, asyncio.TimerHandle] = {}
        self._unwoken: dict[Jid, asyncio.TimerHandle] = {}
        self._respawn: asyncio.TimerHandle | None = None
        self._deaths: deque[float] = deque(maxlen=RESTARTS)
        self._closing = False
        self.table: Table = {}
        """The functions that jobs can run."""
        self.broken: dict[str, str] = {}
        """Modules that could not be loaded, with the reason."""
        self.containment = "unknown"
        """`cgroup` or `subreaper`: what holds a job's processes together on this host."""

    @property
    def running(self) -> list[Jid]:
        """The jobs whose supervisor is watched, and those that were asked for or are to be looked at again."""
        return list(dict.fromkeys([*self._watched, *self._asked, *self._unsure]))

    async def open(self) -> None:
        """Start the spawner and wait until it has loaded everything. Raises JrError."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = notify.listen(self._layout.state)
            loop.add_reader(self._listener, self._hear_notices)
            self._ready = loop.create_future()
            self._spawn()
            await asyncio.wait_for(self._ready, OPEN_SECONDS)
        except (OSError, TimeoutError, JrError) as error:
            await self.close()
            reason = f"it is not ready after {OPEN_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
            raise JrError(f"cannot start the spawner: {reason}") from error

    def start(self, jid: Jid) -> None:
        """Start the recorded job. `started` and `ended` tell the rest, also when nothing could be started."""
        if jid in self._watched or jid in self._asked or jid in self._unsure:
            return
        self._asked[jid] = None
        if self._spawner is not None:
            self._spawner.send({"start": jid})

    def adopt(self, jid: Jid) -> bool:
        """Watch the supervisor that has the job's lock; `ended` tells its end. False when none has it.

        Raises OSError when that cannot be told, for want of descriptors.
        """
        if jid in self._watched:
            return True
        pidfd = lock.open_holder(self._layout.claim_of(jid))
        if pidfd is None:
            return False
        self._watch(jid, pidfd)
        return True

    def wake(self, jid: Jid) -> None:
        """Make the supervisor read its stop requests; without descriptors, in a while. One that comes later reads them
        by itself."""
        try:
            lock.wake(self._layout.claim_of(jid))
        except OSError as error:
            self._again(self._unwoken, self.wake, jid, error)

    async def close(self) -> None:
        """End the spawner and watch nothing any more. Supervisors live on."""
        self._closing = True
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for pidfd in self._watched.values():
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._watched.clear()
        for timer in (*self._unsure.values(), *self._unwoken.values(), self._respawn):
            if timer is not None:
                timer.cancel()
        if self._spawner is not None:
            await self._spawner.close()

    # supervisors

    def _watch(self, jid: Jid, pidfd: int) -> None:
        self._asked.pop(jid, None)
        if jid in self._watched:  # two forks of one job: the lock has chosen, and its end will be told
            os.close(pidfd)
            return
        self._watched[jid] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._supervisor_gone, jid)

    def _supervisor_gone(self, jid: Jid) -> None:
        pidfd = self._watched.pop(jid)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        # It may have been the second of two forks, sent off by the lock of the first.
        self._follow(jid)

    def _follow(self, jid: Jid) -> None:
        """Watch whoever has the job's lock, or tell its end; when neither can be told, look again in a while."""
        try:
            adopted = self.adopt(jid)
        except OSError as error:
            self._again(self._unsure, self._follow, jid, error)
            return
        if not adopted:
            self._events.ended(jid)

    def _again(self, waiting: dict[Jid, asyncio.TimerHandle], action: Callable[[Jid], None], jid: Jid,
               error: OSError) -> None:
        limited(_log, "short").error("cannot reach the supervisor of %s for now: %s", jid, error,
                                     extra={"action": "supervisor.unreached", "jid": jid})
        if jid in waiting:
            return

        def act() -> None:
            del waiting[jid]
            action(jid)

        waiting[jid] = asyncio.get_running_loop().call_later(AGAIN_SECONDS, act)

    def _hear_notices(self) -> None:
        for _ in range(_NOTICES):
            if self._listener is None or (notice := notify.receive(self._listener)) is None:
                return
            try:
                self._take_notice(notice)
            except (KeyError, TypeError, ValueError) as error:
                _log.warning("a notice is damaged: %r", error, extra={"action": "notice.damaged"})

    def _take_notice(self, notice: dict[str, Any]) -> None:
        jid = Jid(notice["jid"])
        if notice["event"] == "started":
            self._events.started(jid, int(notice["pid"]), float(notice["at"]))
        elif notice["event"] == "stop":
            self._events.stop_result(jid, str(notice["stop"]), str(notice["outcome"]), int(notice["signalled"]),
                                     str(notice["reason"]))

    # the spawner

    def _spawn(self) -> None:
        """Raises OSError."""
        self._spawner = Spawned(self._config, self._heard, self._spawner_gone)

    def _heard(self, message: dict[str, Any], pidfd: int | None) -> None:
        if "functions" in message:
            self._loaded(message)
        elif "started" in message:
            self._started(Jid(message["started"]), pidfd)
        elif "failed" in message:
            jid = Jid(message["failed"])
            _log.error("cannot start %s: %s", jid, message["reason"], extra={"action": "start.failed", "jid": jid})
            self._asked.pop(jid, None)
            self._follow(jid)

    def _started(self, jid: Jid, pidfd: int | None) -> None:
        if pidfd is not None:
            self._watch(jid, pidfd)
            return
        # The kernel drops a descriptor for which the receiver has no room. Its supervisor is there all the same.
        self._asked.pop(jid, None)
        self._again(self._unsure, self._follow, jid, OSError(errno.EMFILE, os.strerror(errno.EMFILE)))

    def _loaded(self, message: dict[str, Any]) -> None:
        self.table, self.broken = message["functions"], message["broken"]
        self.containment = message["containment"]
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _spawner_gone(self, spawner: Spawned) -> None:
        if self._closing or spawner is not self._spawner:
            return
        self._spawner = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(JrError("it ended before it was ready"))
            return
        _log.error("the spawner died; starting another", extra={"action": "spawner.died"})
        now = clock.boottime()
        if len(self._deaths) == RESTARTS and now - self._deaths[0] < RESTART_SECONDS:
            self._events.broken(f"cannot keep the spawner alive: it died {RESTARTS + 1} times in {RESTART_SECONDS:g} s")
            return
        self._deaths.append(now)
        self._spawn_again()

    def _spawn_again(self) -> None:
        """Another spawner; in a while, when the host is short of what that takes. Jobs wait for it."""
        try:
            self._spawn()
        except OSError as error:
            if error.errno not in SHORT | {errno.EAGAIN}:
                self._events.broken(f"cannot start the spawner: {error}")
                return
            limited(_log, "spawner").error("cannot start the spawner for now: %s", error,
                                           extra={"action": "spawner.short"})
            self._respawn = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._spawn_again)
            return
        self._ask_again()

    def _ask_again(self) -> None:
        """What the dead spawner was asked and did not answer: it may have forked, and the lock tells."""
        for jid in list(self._asked):
            try:
                if not self.adopt(jid) and self._spawner is not None:
                    self._spawner.send({"start": jid})
            except OSError as error:
                del self._asked[jid]
                self._again(self._unsure, self._follow, jid, error)
