"""What is left of a job whose supervisor is gone: found by its cgroup and its mark, and ended. For agents."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common import clock
from common.proc import processes
from common.proc.cgroup import Cgroup
from common.proc.processes import Seen
from common.proc.record import JobRecord

KILL_SECONDS = 5.0
"""How long the agent's disk thread gives what it killed; what lives then is reported as a survivor."""
_ROUND = 0.2
_SIGKILL = 9


@dataclass(slots=True)
class Remains:
    """What was found, and what became of it."""

    state: Path
    """The state folder of the host."""
    payload_lived: bool = False
    """The job was in the middle when its supervisor went."""
    found: list[Seen] = field(default_factory=list)
    signalled: int = 0
    survivors: list[Seen] = field(default_factory=list)
    took: float | None = None


def look_for(record: JobRecord, state: Path) -> Remains:
    """All that lives of the job of this state folder.

    Nothing when it was started in another boot: then every number means a stranger.
    """
    if record.boot_id != clock.boot_id() or record.pid is None or record.create_time is None:
        return Remains(state)
    lived = processes.is_alive(record.pid, record.create_time)
    return Remains(state, payload_lived=lived, found=_members(record, state))


def end(record: JobRecord, remains: Remains) -> None:
    """KILL it all, round after round, until nothing is found or time is up. `remains` takes in what became of it."""
    began = clock.boottime()
    cgroup = group_of(record)
    signalled: set[tuple[int, int]] = set()
    left = remains.found
    while left and clock.boottime() < began + KILL_SECONDS:
        if cgroup is not None:
            cgroup.kill()
        signalled.update((one.pid, one.ticks) for one in left if _kill(one))
        _wait_for(left)
        left = _members(record, remains.state)
    remains.signalled, remains.survivors = len(signalled), left
    remains.took = clock.boottime() - began if signalled else None


def group_of(record: JobRecord) -> Cgroup | None:
    """The job's cgroup, while there is one."""
    if record.cgroup is None or not Path(record.cgroup).is_dir():
        return None
    return Cgroup(Path(record.cgroup))


def _members(record: JobRecord, state: Path) -> list[Seen]:
    """By cgroup, by mark, and what descends from either: a child may have cleared its environment."""
    everything = processes.living()
    cgroup = group_of(record)
    inside = set() if cgroup is None else set(cgroup.pids())
    is_ours: Callable[[Seen], bool] = lambda one: one.pid in inside or _is_payload(one, record)  # noqa: E731
    roots = {one.pid: one for one in everything if is_ours(one)}
    roots |= {one.pid: one for one in processes.marked(record.jid, str(state))}
    for root in list(roots):
        roots |= {one.pid: one for one in processes.below(root, everything)}
    return [one for one in roots.values() if one.pid != os.getpid()]


def _is_payload(one: Seen, record: JobRecord) -> bool:
    return (one.pid, one.ticks) == (record.pid, record.create_time)


def _kill(one: Seen) -> bool:
    return processes.send(one, _SIGKILL)


def _wait_for(dying: list[Seen]) -> None:
    """Until all of them are dead, or the round is over."""
    poll = select.poll()
    fds: list[int] = []
    try:
        for one in dying:
            if (pidfd := processes.open_verified(one)) is not None:
                fds.append(pidfd)
                poll.register(pidfd, select.POLLIN)
        end_of_round = clock.boottime() + _ROUND
        while fds and (left := end_of_round - clock.boottime()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                fds.remove(fd)
                os.close(fd)
    finally:
        for fd in fds:
            os.close(fd)
