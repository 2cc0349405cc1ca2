"""How the jobs of a host ended: found out when a supervisor is gone, told to whoever waits, sent from the spool."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from common.aio import Tasks
from common.host.core import Host
from common.host.desk import Desk, now
from common.host.out import Out
from common.host.queue import Queue
from common.ids import Jid
from common.log import limited
from common.messages import Return
from common.proc.directory import JobFolders
from common.proc.spool import SpoolError
from common.states import State

LOOK_AGAIN = 2.0
"""Seconds until the next look at the end of a job, after one that the host was too short of something for."""
_log = logging.getLogger("jr.host")


class Ends:
    """Each is looked for beside the disk thread: what is left of a job may take seconds to die, and no other waits."""

    def __init__(self, host: Host, queue: Queue, desk: Desk, out: Out, tasks: Tasks) -> None:
        self._host = host
        self._queue = queue
        self._folders: JobFolders = queue.writer.folders
        self._desk = desk
        self._out = out
        self._tasks = tasks
        self._settling = ThreadPoolExecutor(2, "settle")

    def look(self, jid: Jid) -> None:
        """The supervisor of a job is gone: find out how it ended."""
        self._tasks.start(self._look(jid))

    def tell(self, message: Return) -> None:
        """A return is durable: who waits for it here hears of it."""
        self._desk.ended(message)
        self._out.ended(message)

    def send(self, jid: Jid) -> None:
        """Send a return that lies in the spool."""
        self._tasks.start(self._send(jid))

    def close(self) -> None:
        """Let the threads go."""
        self._settling.shutdown()

    # inside

    async def _look(self, jid: Jid) -> None:
        try:
            message = await asyncio.get_running_loop().run_in_executor(self._settling, self._ending, jid)
        except SpoolError as error:
            self._damaged(jid, error)
            return
        except OSError as error:
            limited(_log, "look").error("cannot see how %s ended, and look again: %s", jid, error,
                                        extra={"action": "look.failed", "jid": jid})
            await asyncio.sleep(LOOK_AGAIN)
            self.look(jid)
            return
        if message is None:
            self._queue.apply(self._host.vanished(jid, now(), "its supervisor ended before it could start"))
            return
        self.tell(message)
        self._queue.apply(self._host.ended(jid, message.state, now()))

    def _ending(self, jid: Jid) -> Return | None:
        """The return, concluded if need be; None when nothing was started. Raises SpoolError."""
        state = self._folders.settle(jid)
        if state in (None, State.LOST):
            self._folders.tidy(jid)  # its supervisor was killed
        return None if state is None else self._folders.spool.message(jid)

    async def _send(self, jid: Jid) -> None:
        try:
            self._out.send_frame(await self._queue.disk(lambda: self._folders.spool.read(jid)))
        except SpoolError as error:
            self._damaged(jid, error)
        except OSError as error:
            # It stays where it is, and is sent again while it is not acknowledged.
            limited(_log, "spool").error("cannot read the return of %s for now: %s", jid, error,
                                         extra={"action": "spool.unread", "jid": jid})

    def _damaged(self, jid: Jid, error: SpoolError) -> None:
        """A return that cannot be read any more is not waited for."""
        _log.error("%s", error, extra={"action": "spool.damaged", "jid": jid})
        self._queue.apply(self._host.damaged(jid, now(), f"its return was damaged, see quarantine: {error}"))
