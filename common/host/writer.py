"""Writes what a host core wants to be durable: the disk's half of a host's shell, for its one disk thread."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.ballast import Ballast
from common.errors import StateError
from common.files import SHORT
from common.host import effects as do
from common.ids import Jid
from common.log import limited
from common.proc.directory import JobFolders

DURABLE = (do.Claim, do.SaveSecrets, do.SaveRecord, do.SaveStop, do.Spool, do.Forget, do.Quarantine, do.Undo,
           do.DropClaim)
BALLAST_FILE = "ballast"
BALLAST = 256 * 1024
"""Bytes set aside for stops, returns and the agent's own work on a full disk: some sixty small files."""
_log = logging.getLogger("jr.host")


class Writer:
    """One state folder, and the space that is set aside in it."""

    def __init__(self, state: Path) -> None:
        """Raises JrError when the folder cannot be used."""
        self.folders = JobFolders(state)
        self._ballast = Ballast(state / BALLAST_FILE, BALLAST)
        self.shortage: str | None = None
        """Why nothing more can be written for now: until `probe` finds room, new jobs are refused without a try."""
        self.short: dict[Jid, str] = {}
        """The jobs of which the last commit could not write everything, with the reason."""

    def commit(self, effects: list[Any]) -> list[Any] | None:
        """Write all; None when all is well. In a shortage of room or descriptors it gives back what could not be
        written, with all that is behind it of the same job. Raises OSError for a disk that fails otherwise: then nobody
        knows what is on it."""
        self.short = {}
        left: list[Any] = []
        self._check_claims(effects)
        own = {effect.record.jid for effect in effects if isinstance(effect, do.SaveRecord) and effect.record.inline}
        for effect in records_first(effects):
            # New jobs leave what is set aside to the work that ends jobs, which is the agent's own.
            new = isinstance(effect, do.SaveSecrets | do.SaveRecord) or _begins(effect)
            reserve = not new or _job(effect) in own
            if _job(effect) in self.short or not self._try(_job(effect), partial(self._write, effect), reserve):
                left.append(effect)
        starts = [effect for effect in effects
                  if isinstance(effect, do.Claim | do.SaveRecord) and _job(effect) not in self.short]
        if starts:
            left += self._sync(starts)
        return left if left or self.shortage is not None else None

    def probe(self) -> bool:
        """Whether there is room again, beside the space that is to be set aside: then the shortage is over."""
        try:
            if not self._ballast.keep():
                return False
            self.folders.probe()
        except OSError as error:
            if error.errno not in SHORT:
                raise
            return False
        if self.shortage is not None:
            limited(_log, "room").warning("the state of jobs can be written again: new ones are taken",
                                          extra={"action": "disk.room"})
        self.shortage = None
        return True

    def open(self) -> None:
        """Set space aside; where there is none for that, there is none for new jobs."""
        if not self._ballast.keep():
            self.shortage = os.strerror(errno.ENOSPC)

    def spend(self) -> bool:
        """Give the space that was set aside to whoever is about to write; whether there was any."""
        return self._ballast.release()

    # inside

    def _check_claims(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, do.Claim) and self.folders.claims.has(effect.jid):
                # Memory did not know of it: begin anew from the disk, which does.
                raise StateError(f"cannot claim {effect.jid}: it was claimed before")

    def _try(self, jid: Jid, write: Callable[[], None], reserve: bool) -> bool:
        """Write, perhaps at the cost of the ballast; False, and the job is `short`, when that cannot be for now."""
        if self.shortage is not None and not reserve:
            self.short[jid] = self.shortage
            return False
        try:
            write()
        except OSError as error:
            if error.errno not in SHORT:
                raise
            self.shortage = str(error.strerror)
            limited(_log, "short").error("cannot write the state of jobs, and refuse new ones: %s", error,
                                         extra={"action": "disk.short", "jid": jid})
            if reserve and self.spend():
                return self._try(jid, write, reserve)
            self.short[jid] = self.shortage
            return False
        return True

    def _sync(self, starts: list[Any]) -> list[Any]:
        """Make new jobs durable together; gives them back when that cannot be."""
        claimed = [effect.jid for effect in starts if isinstance(effect, do.Claim)]
        first = _job(starts[0])
        if self._try(first, partial(self.folders.sync_starts, claimed), True):
            return []
        self.short |= {_job(effect): self.short[first] for effect in starts}
        for jid in claimed:
            self.folders.claims.take_back(jid)
        return starts

    def _write(self, effect: Any) -> None:
        match effect:
            case do.Claim(jid, until, start_by, cancelled):
                self.folders.claims.add(jid, until, start_by, cancelled=cancelled, sync=False)
            case do.SaveSecrets(jid, sealed):
                self.folders.records.write_secrets(jid, sealed)
            case do.SaveRecord(record):
                self.folders.records.write(record, sync=False)
            case do.SaveStop(jid, request):
                self.folders.stops.append(jid, request)
            case do.Spool(message):
                self.folders.end(message)
            case do.Forget(jid):
                self.folders.forget(jid)
            case do.Quarantine(jid, reason):
                _log.error("the master refused the return: %s", reason,
                           extra={"action": "return.refused", "jid": jid})
                self.folders.set_aside(jid, reason)
            case do.Undo(jid):
                self.folders.undo(jid)
            case do.DropClaim(jid):
                self.folders.claims.drop(jid)


def _job(effect: Any) -> Jid:
    jid = do.about(effect)
    assert jid is not None  # everything durable is about one job
    return jid


def _begins(effect: Any) -> bool:
    """Whether it makes the claim of a new job, and not that of one that must never start."""
    return isinstance(effect, do.Claim) and not effect.cancelled


def records_first(effects: Sequence[Any]) -> list[Any]:
    """The same writes, but each claim after the record of its job.

    Who dies between the two leaves a record that is claimed again and starts; a claim alone would forbid the job to run
    and leave its master to call it lost.
    """
    ordered = list(effects)
    for place, (one, other) in enumerate(pairwise(effects)):
        if isinstance(one, do.Claim) and isinstance(other, do.SaveRecord) and one.jid == other.record.jid:
            ordered[place:place + 2] = other, one
    return ordered
