"""When the master copies its database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from common.errors import JrError
from master.store.backups import Backups

_log = logging.getLogger("jr.master")

SETTLE = 60.0
"""Seconds after the start in which no backup is made: minions come back then."""


async def keep_backups(backups: Backups, every: float, now: Callable[[], float]) -> None:
    """Make a backup every so many seconds; soon after the start when there is none, or the last one is too old."""
    newest = await asyncio.to_thread(backups.newest)
    age = max(0.0, now() - newest.at.timestamp()) if newest else every
    await asyncio.sleep(max(min(every, SETTLE), every - age))
    while True:
        try:
            made = await asyncio.to_thread(backups.make, now())
        except JrError as error:
            _log.error("%s", error, extra={"action": "backup.failed"})
        else:
            _log.info("backed up to %s", made.path, extra={"action": "backup.made"})
        await asyncio.sleep(every)
