"""The spawner: forks supervisors fast. Loaded once, with all function modules; no threads, no sockets but its pair.

`python -m common.proc.spawner FD`: FD is its end of a SEQPACKET pair. The first message is the configuration, the
answer the table of functions; then `{"start": jid}` until the pair closes. Its children live on.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from common import clock
from common.ids import Jid
from common.proc import cgroup, channel, limits, supervisor
from common.proc.child import EVERY_SIGNAL
from common.proc.given import give
from common.proc.layout import Layout
from common.proc.loader import Config, load
from common.proc.supervisor import Setup


class Spawner:
    """One spawner, after its modules are loaded."""

    def __init__(self, link: socket.socket, setup: Setup) -> None:
        self._link = link
        self._setup = setup
        self._joiner = channel.Joiner()
        self._woken, waker = socket.socketpair()
        self._waker = waker
        for end in (self._woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Fork a supervisor for each request, and reap those that ended, until the agent is gone."""
        try:
            self._serve()
        finally:
            signal.set_wakeup_fd(-1)  # a supervisor may end while the sockets are closed

    def _serve(self) -> None:
        poll = select.poll()
        for end in (self._link, self._woken):
            poll.register(end, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
                _reap()
            if self._link.fileno() in ready:
                message = channel.receive(self._link, self._joiner)
                if message is None:
                    return
                self._start(Jid(message["start"]))

    def _start(self, jid: Jid) -> None:
        """Fork, and hand the agent a pidfd that was opened before anybody could reap the child."""
        old = signal.pthread_sigmask(signal.SIG_BLOCK, EVERY_SIGNAL)
        try:
            pid = os.fork()
            if pid == 0:
                supervisor.main(self._setup, jid, (self._link, self._woken, self._waker))
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            channel.send(self._link, {"failed": jid, "reason": f"cannot fork: {error.strerror}"})
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        try:
            channel.send(self._link, {"started": jid, "pid": pid}, (pidfd,))
        finally:
            os.close(pidfd)


def _reap() -> None:
    """Wait for every supervisor that ended; what became of its job lies on the disk."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(fd: int) -> None:
    """Load, say what was loaded, and serve."""
    # On their way through recv_fds and exec, descriptors become inheritable; no job may get this one.
    os.set_inheritable(fd, False)
    link = socket.socket(fileno=fd)
    config = channel.receive(link, channel.Joiner())
    if config is None:
        return
    limits.lower_files(config["files"])  # the daemon raised its own, and no job asked for that
    parent = cgroup.find_parent() if config.get("containment", "auto") == "auto" else None
    if parent is not None:
        cgroup.remove_empty(parent)
    loaded = load(_sources(config))
    setup = Setup(Layout(Path(config["state"])), give(loaded.functions, config.get("given", {})), parent)
    spawner = Spawner(link, setup)
    clock.boot_id()  # read once here, and known to every fork
    gc.collect()
    gc.freeze()  # what is loaded is never collected, so forks share its memory
    channel.send(link, {"functions": loaded.table, "broken": loaded.broken,
                        "containment": "subreaper" if parent is None else "cgroup"})
    spawner.serve()


def _sources(config: dict[str, Any]) -> Config:
    """The part of the configuration that is the loader's."""
    sources: Config = {"packages": config.get("packages", []), "dirs": config.get("dirs", []),
                       "entry_points": config.get("entry_points")}
    return sources


if __name__ == "__main__":
    # The agent may go while we answer: then our work is over, and our children need neither of us.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        main(int(sys.argv[1]))
    sys.stderr.flush()
    os._exit(0)  # modules of users may have left threads behind that would hold up a tidy end
