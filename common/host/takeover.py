"""What an agent finds of its host's jobs when it starts: which live, which wait, which have ended and were seen."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from msgspec import Struct

from common import clock
from common.host.claims import KEPT, Kept
from common.host.desk import now
from common.ids import Jid
from common.proc.directory import JobFolders
from common.proc.folders.claims import Claim
from common.proc.record import JobRecord
from common.states import State

_log = logging.getLogger("jr.host")


class Ended(Struct, frozen=True):
    """The returns that wait in the spool, oldest first."""

    states: dict[Jid, State]
    since: dict[Jid, float]
    """Boot time at which each was written: before this boot, as far as the wall clock tells."""


class Found(Struct, frozen=True):
    """What the disk holds, and what lives."""

    adopted: list[JobRecord]
    """Their supervisors live."""
    idle: list[JobRecord]
    """Nothing of them was started."""
    ended: Ended
    claims: dict[Jid, Kept]


async def take_over(folders: JobFolders, adopt: Callable[[Jid], bool],
                    disk: Callable[[Callable[[], Any]], Awaitable[Any]]) -> Found:
    """Look at all that an earlier agent left, and conclude what nobody watches any more. Raises OSError.

    `adopt` watches the supervisor of a job, if it has one; `disk` runs a call on the disk thread.
    """
    records, _ = await disk(folders.open_jobs)
    await disk(lambda: folders.records.sweep_secrets({record.jid for record in records}))
    adopted, idle = [], []
    for record in records:
        if adopt(record.jid):
            adopted.append(record)
        elif record.inline or await disk(partial(folders.settle, record.jid)) is None:
            await disk(partial(folders.claims.add_again, record))
            idle.append(record)
    ended, claims = await disk(partial(_left, folders))
    if records or ended.states:
        _log.info("took over %d running and %d waiting jobs, %d returns to send", len(adopted), len(idle),
                  len(ended.states), extra={"action": "host.adopted"})
    return Found([record for record in adopted if record.jid not in ended.states],
                 [record for record in idle if record.jid not in ended.states], ended, claims)


def _left(folders: JobFolders) -> tuple[Ended, dict[Jid, Kept]]:
    """On the disk thread: what has ended; what was ever seen, and until when it counts."""
    spooled = {jid: state for jid in folders.spool.jids() if (state := folders.spool.state(jid)) is not None}
    at = now()
    since = {jid: at.boot - max(0.0, at.wall - folders.spool.written(jid)) for jid in spooled}
    ordered = {jid: spooled[jid] for jid in sorted(spooled, key=lambda jid: since[jid])}
    return Ended(ordered, since), {jid: _kept(claim) for jid, claim in folders.claims.all().items()}


def _kept(claim: Claim) -> Kept:
    """A claim as it counts in this boot: of an earlier one, by the time at which its job had to start."""
    if claim.boot_id == clock.boot_id():
        return Kept(claim.until, claim.cancelled)
    return Kept(clock.boottime() + max(0.0, claim.start_by - clock.wall()) + KEPT, claim.cancelled)
