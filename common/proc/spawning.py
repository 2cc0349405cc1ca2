"""An agent's end of one spawner: the process, its socket, its death. What to do about the death is the executor's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import packing
from common.proc import channel, limits, mark
from common.proc.processes import MARK, STATE

CLOSE_SECONDS = 5.0
"""How long a spawner may take to end once its socket is closed."""
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What a spawner gets of the daemon's environment."""
_READS = 100
_ROOT = Path(packing.__file__).resolve().parent.parent
_log = logging.getLogger("jr.executor")


class Spawned:
    """One spawner process. Made on a running loop; it tells its owner three things, the last of them once."""

    def __init__(self, config: dict[str, Any], heard: Callable[[dict[str, Any], int | None], None],
                 gone: Callable[[Spawned], None]) -> None:
        """`heard(message, pidfd)` is every answer; the pidfd, if any, is the callee's to close. `gone(self)` is its
        death, after it was reaped. Raises OSError when it cannot be started."""
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._gone = gone
        self._joiner = channel.Joiner()
        self._waiting: deque[bytes] = deque()
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.setblocking(False)
        with theirs:
            try:
                self._process, self._pidfd = _execute(theirs.fileno(), str(config["state"]))
            except OSError:
                self._link.close()
                raise
        self._ended: asyncio.Event = asyncio.Event()
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(self._link, self._read)
        self.send({**config, "files": limits.given()})

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Send, now or as soon as it reads. One that is gone hears nothing."""
        self._waiting += channel.frames(message)
        self._write()

    async def close(self) -> None:
        """Close the socket, at which it ends, and see it off; what it forked lives on."""
        self._disconnect()
        try:
            await asyncio.wait_for(self._ended.wait(), CLOSE_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """End it; `gone` follows. What it forked lives on."""
        self._disconnect()
        self._process.kill()

    def _write(self) -> None:
        try:
            while self._waiting and self._link.fileno() >= 0:
                self._link.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._link, self._write)
            return
        except OSError:
            self._waiting.clear()  # its death is told by the pidfd
        if self._link.fileno() >= 0:
            self._loop.remove_writer(self._link)

    def _read(self) -> None:
        """A bounded number of answers; the loop comes back for the rest."""
        for _ in range(_READS):
            try:
                frame, fds, _, _ = socket.recv_fds(self._link, channel.FRAME + 1, 1)
            except BlockingIOError:
                return
            except OSError:
                frame, fds = b"", []
            if not frame:
                self.kill()
                return
            self._take(frame, fds)
            if self._link.fileno() < 0:
                return

    def _take(self, frame: bytes, fds: list[int]) -> None:
        for fd in fds:
            os.set_inheritable(fd, False)  # recv_fds of Python 3.11 hands them over as inheritable
        pidfd = fds[0] if fds else None
        try:
            message = self._joiner.feed(frame)
        except channel.ChannelError as error:
            _log.error("the spawner talks nonsense: %s", error, extra={"action": "spawner.garbage"})
            self.kill()
            message = None
        if message is not None:
            self._heard(message, pidfd)
        elif pidfd is not None:
            os.close(pidfd)

    def _disconnect(self) -> None:
        if self._link.fileno() >= 0:
            self._loop.remove_reader(self._link)
            self._loop.remove_writer(self._link)
            self._link.close()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        with contextlib.suppress(BlockingIOError, OSError):
            self._read_last()
        self._disconnect()
        os.close(self._pidfd)
        self._process.wait()
        self._ended.set()
        self._gone(self)

    def _read_last(self) -> None:
        """What it still said before it died: supervisors that run."""
        if self._link.fileno() >= 0:
            self._read()


def _execute(fd: int, state: str) -> tuple[subprocess.Popen[bytes], int]:
    """The process, in its own session, with room for the mark of a job in its environment; and its pidfd.

    Raises OSError, and leaves nothing.
    """
    env = {name: value for name in _KEPT if (value := os.environ.get(name)) is not None}
    env |= {MARK: mark.BLANK, STATE: state, "PYTHONPATH": str(_ROOT)}
    # -P: the folder the daemon happens to be started in must not be a place that code comes from.
    command = [sys.executable, "-P", "-m", "common.proc.spawner", str(fd)]
    process = subprocess.Popen(command, env=env, pass_fds=(fd,), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process, os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
