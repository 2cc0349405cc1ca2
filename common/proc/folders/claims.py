"""The claims of a host: which jids were ever seen, and whether a supervisor holds one now.

See `common.proc.lock` for the lock on a claim; all of this blocks, and belongs on the daemon's disk thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from typing import NamedTuple

from common import clock
from common.files import create_exclusive, read_regular, remove_durable, sync_file, sync_folder
from common.ids import Jid
from common.proc import lock
from common.proc.folders.quarantine import Quarantine, files_of
from common.proc.layout import Layout
from common.proc.record import JobRecord

_LIMIT = 200
_log = logging.getLogger("jr.proc")


class Claim(NamedTuple):
    """What a claim's file says."""

    boot_id: str
    until: float
    """Boot time of that boot until which it is kept."""
    start_by: float = 0.0
    """When the job must have started, in epoch seconds: what counts after a reboot."""
    cancelled: bool = False
    """A stop made it, for a job that never came."""


class Claims:
    """One file for each jid that was seen: P2 rests on them."""

    def __init__(self, layout: Layout, quarantine: Quarantine) -> None:
        self._layout = layout
        self._quarantine = quarantine

    def add(self, jid: Jid, until: float, start_by: float = 0.0, *, cancelled: bool = False,
            sync: bool = True) -> bool:
        """Claim a jid for good: False when it was claimed before. The rest is what `Claim` says. Raises OSError.

        Without `sync` it is durable after the next call of the method `sync`.
        """
        words = [clock.boot_id(), str(until), str(start_by), *(["cancelled"] if cancelled else [])]
        return create_exclusive(self._layout.claim_of(jid), " ".join(words).encode("ascii") + b"\n", sync=sync)

    def add_again(self, record: JobRecord) -> None:
        """Claim a recorded job whose claim a crash did not keep, as one of an unknown boot. Raises OSError."""
        create_exclusive(self._layout.claim_of(record.jid), f"- 0.0 {record.start_by}\n".encode("ascii"))

    def add_seen(self, jid: Jid) -> None:
        """Claim a job that was started: should a crash have lost its claim, it must not start again. Raises OSError."""
        create_exclusive(self._layout.claim_of(jid), f"{clock.boot_id()} {clock.boottime()}\n".encode("ascii"))

    def has(self, jid: Jid) -> bool:
        """Whether a jid was claimed. Raises OSError."""
        return os.path.lexists(self._layout.claim_of(jid))

    def held(self, jid: Jid) -> bool:
        """Whether a supervisor lives, told by the lock and not by a pid. Raises OSError."""
        return lock.holder(self._layout.claim_of(jid)) is not None

    def sync(self, claimed: Iterable[Jid]) -> None:
        """Make durable what was claimed without `sync`. Raises OSError."""
        for jid in claimed:
            with contextlib.suppress(FileNotFoundError):
                sync_file(self._layout.claim_of(jid))
        sync_folder(self._layout.claims)

    def all(self) -> dict[Jid, Claim]:
        """All claims. One that a crash left empty was durable all the same: it is of an unknown boot.

        Raises OSError.
        """
        found: dict[Jid, Claim] = {}
        for path in files_of(self._layout.claims):
            try:
                jid = Jid(path.name)
                data = read_regular(path, _LIMIT)
            except FileNotFoundError:
                continue  # dropped while we looked
            except ValueError as error:
                self._quarantine.take(path, str(error))
                continue
            found[jid] = _parse(data)
        return found

    def drop(self, jid: Jid) -> None:
        """Forget that the jid was seen. One whose supervisor lives is kept, or cannot be asked for now: the next start
        drops it. Not made durable: a claim that a crash brings back is dropped once more. Raises OSError."""
        try:
            held = self.held(jid)
        except OSError as error:
            _log.warning("cannot drop the claim of %s for now: %s", jid, error,
                         extra={"action": "claim.kept", "jid": jid})
            return
        if not held:
            self.take_back(jid)

    def take_back(self, jid: Jid, *, sync: bool = False) -> None:
        """Remove the claim of a job of which nothing else came to be; with `sync`, for good. Raises OSError."""
        claim = self._layout.claim_of(jid)
        if sync:
            remove_durable(claim)
        else:
            claim.unlink(missing_ok=True)


def _parse(data: bytes) -> Claim:
    try:
        boot_id, until, *more = data.decode("ascii").split()
        start_by = float(more[0]) if more else 0.0
        return Claim(boot_id, float(until), start_by, "cancelled" in more)
    except ValueError:
        return Claim("", 0.0)
