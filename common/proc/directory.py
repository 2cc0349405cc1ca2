"""The folders of a host's jobs, as the agent uses them. Each is a class of `common.proc.folders`; what concerns several
of them at once is here: the order in which they are written, and how a job ends in them.

All of it blocks and belongs on the daemon's disk thread. A damaged file costs itself: it goes to quarantine, is named,
and hides no other. Damage is what is in a file; when the host cannot read it, for want of descriptors or for a fault of
the disk, the file stays where it is and OSError says so: the same call may succeed later.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from common.files import private_folder, write_durable
from common.ids import Jid
from common.messages import Return
from common.proc import lock, processes
from common.proc.aftermath import conclude
from common.proc.folders.claims import Claims
from common.proc.folders.quarantine import Quarantine, files_of
from common.proc.folders.records import Records
from common.proc.folders.spool import Spool
from common.proc.folders.stops import Stops
from common.proc.layout import FOLDERS, Layout
from common.proc.record import JobRecord
from common.proc.spool import SpoolError
from common.states import State

_PROBE = 8 * 1024
"""Bytes: more than the record and the claim of a common job."""
_log = logging.getLogger("jr.proc")


class JobFolders:
    """Everything below one state folder."""

    def __init__(self, state: Path) -> None:
        """Make the folders, and remove what writers that died left half written. Raises JrError."""
        self.layout = Layout(private_folder(state))
        for name in FOLDERS:
            folder = private_folder(state / name)
            _tidy(folder)
        quarantine = Quarantine(self.layout.quarantine)
        self.claims = Claims(self.layout, quarantine)
        self.records = Records(self.layout, quarantine)
        self.stops = Stops(self.layout, quarantine)
        self.spool = Spool(self.layout, quarantine)
        self._undoing: set[Jid] = set()
        """Jobs that were to be taken back and may be half there."""

    # beginnings

    def sync_starts(self, claimed: Iterable[Jid]) -> None:
        """Make durable what was claimed and recorded without `sync`. Raises OSError.

        Records first: one without its claim gets it again, while a claim alone would forbid its job to run.
        """
        self.records.sync()
        self.claims.sync(claimed)

    def undo(self, jid: Jid) -> None:
        """Take back what was written of a job that nobody was told of: it must not come up at a start. Raises OSError.

        The claim goes first, and for good: a record that a crash leaves without it is claimed again and starts, while a
        claim alone would forbid the job to run and leave its master to call it lost.

        Of a job that came to nothing nothing is removed: a disk that is only to be read refuses even that, perhaps for
        ever, and whoever is to be told that there is no job would wait for it.
        """
        if jid not in self._undoing and not self._is_begun(jid):
            return
        self._undoing.add(jid)
        self.claims.take_back(jid, sync=True)
        self.forget(jid)
        self.records.remove(jid)
        self._undoing.discard(jid)

    def open_jobs(self) -> tuple[list[JobRecord], list[str]]:
        """The records of all jobs that have not ended, by jid, and what was damaged, one line each. Raises OSError."""
        records, problems = self.records.all()
        found: list[JobRecord] = []
        for record in records:
            if self.spool.has(record.jid):
                self._retire(record.jid)
            else:
                found.append(record)
        return found, problems

    # ends

    def end(self, message: Return) -> bool:
        """Make the return of a job without a supervisor durable, and retire its record.

        One that is there already stays, and the answer is False; so it is when a supervisor has the job after all (one
        that an earlier agent asked for, say): then its own return comes. Raises OSError.
        """
        claim = self.layout.claim_of(message.jid)
        with lock.held_by_agent(claim) if claim.exists() else contextlib.nullcontext(True) as free:
            if not free:
                _log.warning("%s has a supervisor, whose return is waited for", message.jid,
                             extra={"action": "return.awaited", "jid": message.jid})
                return False
            written = self.spool.put(message)
            self.records.remove(message.jid)
            return written

    def settle(self, jid: Jid) -> State | None:
        """What became of a job that has no supervisor: the state in which it ended, concluded here if need be.

        None when nothing of it was started. Takes some seconds at worst. Raises OSError, and SpoolError when it ended
        and its return was damaged, so that nothing is left to tell how.
        """
        damage: SpoolError | None = None
        if self.spool.has(jid):
            try:
                state = self.spool.message(jid).state
            except SpoolError as error:
                damage = error
            else:
                self._retire(jid)
                return state
        record = self.records.read(jid)
        if record is not None and record.started is not None:
            return self.clean_up(jid, record)
        if damage is not None:
            raise damage
        return None

    def clean_up(self, jid: Jid, record: JobRecord) -> State | None:
        """End a job that was started and whose supervisor is gone: what is left of it goes, and `lost` is spooled.

        The state in the spool afterwards; None when the job has a supervisor after all. Raises OSError.
        """
        self.claims.add_seen(jid)
        with lock.held_by_agent(self.layout.claim_of(jid)) as free:
            if not free:
                return None
            if (state := self.spool.state(jid)) is None:
                message = conclude(record, self.stops.read(jid), self.layout)
                self.spool.put(message)
                state = message.state
                _log.warning("%s lost its supervisor: %s", jid, message.evidence.reason,
                             extra={"action": "job.lost", "jid": jid})
            self.records.remove(jid)
            return state

    def forget(self, jid: Jid) -> None:
        """Forget a return that was acknowledged, with the stop requests of its job. Raises OSError.

        Not made durable: a return that a crash brings back is sent once more, and acknowledged.
        """
        self.spool.forget(jid)
        self.stops.forget(jid)

    def set_aside(self, jid: Jid, reason: str) -> None:
        """Move a return that the master refused for good aside, and forget its stop requests. Raises OSError."""
        self.spool.set_aside(jid, reason)
        self.stops.forget(jid)

    # room

    def probe(self) -> None:
        """Prove that a small file can be written here. Raises OSError."""
        path = self.layout.proc / f".probe.{os.getpid()}.tmp"
        write_durable(path, bytes(_PROBE), sync=False)
        path.unlink()

    def tidy(self, jid: Jid) -> None:
        """Remove what a supervisor that was killed was about to write. Raises OSError."""
        for folder in (self.layout.proc, self.layout.spool):
            _tidy(folder, jid)

    def drop_outputs(self, before: float) -> int:
        """Remove captured output that was last written before `before`, epoch seconds; how many files went.

        That of a job with a supervisor stays, however silent it is, and that of a return which the master does not
        have: it may be away for long, and a wall clock may step.
        """
        count = 0
        for path in files_of(self.layout.output):
            with contextlib.suppress(OSError, ValueError):
                if path.lstat().st_mtime < before and not self._is_wanted(Jid(path.stem)):
                    path.unlink()
                    count += 1
        return count

    def _is_begun(self, jid: Jid) -> bool:
        """Whether there is a file of a new job, whole or not."""
        paths = (self.layout.claim_of(jid), self.layout.record_of(jid), self.layout.secrets_of(jid),
                 self.layout.spool_of(jid), self.layout.stops_of(jid))
        return any(map(os.path.lexists, paths))

    def _is_wanted(self, jid: Jid) -> bool:
        return self.spool.has(jid) or self.claims.held(jid)

    def _retire(self, jid: Jid) -> None:
        """Remove the record of a job whose return is durable, unless its supervisor is about to."""
        if self.records.has(jid) and not self.claims.held(jid):
            self.records.remove(jid)


def _tidy(folder: Path, stem: str = "*") -> None:
    """Remove what writers that died left half written of a file, or of all."""
    for path in folder.glob(f".{stem}.*.tmp"):
        _remove_unfinished(path)


def _remove_unfinished(path: Path) -> None:
    """Remove a file that nobody finishes any more: its name ends in the pid of its writer, see files.write_durable."""
    writer = path.name.removesuffix(".tmp").rpartition(".")[2]
    with contextlib.suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode) and not (writer.isdigit() and _writes_still(int(writer))):
            path.unlink()


def _writes_still(pid: int) -> bool:
    """Whether a process may yet finish its file. One that was killed and that nobody has reaped does not."""
    seen = processes.look(pid)
    return seen is not None and seen.state not in processes.DEAD
