"""The limit of open files: daemons use all that the host grants them, jobs get what the daemon was started with."""

from __future__ import annotations

import contextlib
import functools
import resource

RESERVE = 256
"""Descriptors that a daemon needs for everything but its running jobs: sockets, files, its database."""


@functools.cache
def given() -> int:
    """The soft limit that this process was started with. The first call must come before `raise_files`, which makes it.
    """
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_files() -> None:
    """Raise the soft limit to the hard one: a running job, like a connected minion, costs its daemon a descriptor."""
    given()
    _set(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def lower_files(limit: int) -> None:
    """Go back to a soft limit: programs that use select(2) break above 1024, and some close every number there is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or limit != resource.RLIM_INFINITY:
        _set(limit)


def most_jobs(wanted: int) -> int:
    """How many jobs may run at once when the settings say `wanted`, 0 for no limit: no more than there are descriptors
    to watch them. The rest waits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    room = max(soft - RESERVE, soft // 2)
    return min(wanted, room) if wanted else room


def _set(soft: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A host may have lowered its own maximum since: then what there is must do.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
