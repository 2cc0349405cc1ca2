"""All processes of one job, as its supervisor sees and signals them."""

from __future__ import annotations

import contextlib
import os
import signal

from common.proc import processes
from common.proc.cgroup import Cgroup
from common.proc.processes import Seen

_TO_GROUP = 4
"""PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal(2), Linux 6.9: the group whose leader the pidfd names."""
_FREEZES = 20
"""Rounds of SIGSTOP until a tree that keeps forking stands still; each one takes in all that were born in between."""


class Tree:
    """The cgroup, where there is one, and all that descends from this process, which is a child subreaper: a process
    whose parent dies comes back to it, so none can leave."""

    def __init__(self, leader: int, leader_fd: int, cgroup: Cgroup | None) -> None:
        """`leader` is the payload, a child of this process that leads its own group; `leader_fd` its pidfd."""
        self._leader = leader
        self._leader_fd = leader_fd
        self._cgroup = cgroup
        self._signalled: set[tuple[int, int]] = set()
        self.reaped = False
        """Set by the owner when the payload was waited for: from then on its pid may belong to a stranger."""

    @property
    def containment(self) -> str:
        """What holds the tree together: `cgroup` or `subreaper`."""
        return "subreaper" if self._cgroup is None else "cgroup"

    @property
    def signalled(self) -> int:
        """How many processes got a signal so far."""
        return len(self._signalled)

    def members(self) -> list[Seen]:
        """Every living process of the job."""
        seen = processes.living()
        found = {one.pid: one for one in processes.below(os.getpid(), seen)}
        if self._cgroup is not None:
            inside = set(self._cgroup.pids())
            found.update({one.pid: one for one in seen if one.pid in inside})
        return list(found.values())

    def has_strays(self) -> bool:
        """Whether the cgroup holds processes although no child is left."""
        return self._cgroup is not None and not self._cgroup.is_empty()

    def signal_group(self, number: int) -> int:
        """Send a signal to the payload's process group; how many got it. Raises ProcessLookupError when it is gone."""
        count = sum(one.group == self._leader for one in self.members())
        if not count:
            raise ProcessLookupError("no process of the job's group lives any more")
        self._to_group(number)
        return count

    def terminate(self) -> int:
        """TERM to every process, and CONT so that a stopped one can obey; how many got it."""
        members = self.members()
        for one in members:
            self._send(one, signal.SIGTERM)
            self._send(one, signal.SIGCONT)
        return len(members)

    def kill(self) -> int:
        """KILL to every process, in a way that forking cannot outrun; how many this round found."""
        found = self.members()
        if self._cgroup is not None:
            self._cgroup.kill()
        with contextlib.suppress(OSError):  # gone, or another user's: the single signals below tell them apart
            self._to_group(signal.SIGKILL)
        self._signalled.update((one.pid, one.ticks) for one in found)
        for one in self._freeze():
            self._send(one, signal.SIGKILL)
        return len(found)

    def release(self) -> None:
        """Remove the cgroup; one with a daemon in it stays as long as that lives."""
        if self._cgroup is not None:
            self._cgroup.remove()

    def _freeze(self) -> list[Seen]:
        """Stop all that still lives, until none is born any more."""
        frozen: dict[tuple[int, int], Seen] = {}
        for _ in range(_FREEZES):
            # The quick look first: what forks and exits all the time is gone before the thorough one is through.
            seen = [one for pid in processes.walk(os.getpid()) if (one := processes.look(pid)) is not None]
            fresh = [one for one in seen if one.state not in "ZX" and (one.pid, one.ticks) not in frozen]
            fresh = fresh or [one for one in self.members() if (one.pid, one.ticks) not in frozen]
            if not fresh:
                break
            for one in fresh:
                self._send(one, signal.SIGSTOP)
                frozen[one.pid, one.ticks] = one
        return list(frozen.values())

    def _send(self, one: Seen, number: int) -> None:
        if processes.send(one, number):
            self._signalled.add((one.pid, one.ticks))

    def _to_group(self, number: int) -> None:
        """One step for the whole group. Raises ProcessLookupError when it is empty."""
        try:
            signal.pidfd_send_signal(self._leader_fd, number, None, _TO_GROUP)
        except OSError as error:
            if isinstance(error, ProcessLookupError):
                raise
            # An older kernel: the number alone is safe as long as nobody has waited for the payload.
            if not self.reaped:
                os.killpg(self._leader, number)
