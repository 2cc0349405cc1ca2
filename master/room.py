"""Whether the master takes more work: what everybody is asked who wants a job of it."""

from __future__ import annotations

import logging

from common.errors import UnreachableError
from common.log import limited
from master.core.core import OPEN_MOST
from master.shell import Shell

_log = logging.getLogger("jr.master")


def check_room(shell: Shell) -> None:
    """Raises UnreachableError when there is no room for another job."""
    why = ""
    if shell.full:
        why = "the master's disk is far behind; try again"
    elif len(shell.core.ledger.jobs) >= OPEN_MOST:
        why = f"{OPEN_MOST} are open already; jr-run jobs.active shows them"
    if why:
        limited(_log, "room").warning("turning jobs away: %s", why, extra={"action": "job.declined"})
        raise UnreachableError(f"cannot take another job now: {why}")
