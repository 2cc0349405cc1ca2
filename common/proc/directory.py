"""The folders of a host's jobs, as the agent uses them: claims, records, stop requests, spool, output, quarantine.

All of it blocks and belongs on the daemon's disk thread. A damaged file costs itself: it goes to quarantine, is named,
and hides no other. Damage is what is in a file; when the host cannot read it, for want of descriptors or for a fault of
the disk, the file stays where it is and OSError says so: the same call may succeed later.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import stat
from collections.abc import Container, Iterable
from pathlib import Path
from typing import NamedTuple

from common import clock, codec
from common.codec import CodecError
from common.errors import JrError
from common.files import (
    create_exclusive,
    private_folder,
    read_regular,
    remove_durable,
    sync_file,
    sync_folder,
    write_durable,
)
from common.ids import Jid
from common.messages import Return
from common.proc import lock, processes, spool
from common.proc.aftermath import conclude
from common.proc.layout import FOLDERS, Layout
from common.proc.record import (
    RECORD_LIMIT,
    JobRecord,
    StopRequest,
    decode_record,
    decode_stops,
    encode_record,
    encode_stops,
)
from common.proc.requests import LIMIT as STOPS_LIMIT
from common.proc.spool import SpoolError
from common.states import State

STOPS_PER_JOB = 100
_CLAIM_LIMIT = 200
_PROBE = 8 * 1024
"""Bytes: more than the record and the claim of a common job."""
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


class JobFolders:
    """Everything below one state folder."""

    def __init__(self, state: Path) -> None:
        """Make the folders, and remove what writers that died left half written. Raises JrError."""
        self.layout = Layout(private_folder(state))
        for name in FOLDERS:
            folder = private_folder(state / name)
            _tidy(folder)

    # claims

    def claim(self, jid: Jid, until: float, start_by: float = 0.0, *, cancelled: bool = False,
              sync: bool = True) -> bool:
        """Claim a jid for good: False when it was claimed before. The rest is what `Claim` says. Raises OSError.

        Without `sync` it is durable after `sync_starts`.
        """
        words = [clock.boot_id(), str(until), str(start_by), *(["cancelled"] if cancelled else [])]
        return create_exclusive(self.layout.claim_of(jid), " ".join(words).encode("ascii") + b"\n", sync=sync)

    def claimed(self, jid: Jid) -> bool:
        """Whether a jid was claimed. Raises OSError."""
        return os.path.lexists(self.layout.claim_of(jid))

    def undo(self, jid: Jid) -> None:
        """Take back what was written of a job that nobody was told of: it must not come up at a start. Raises OSError.

        The claim goes first, and for good: a record that a crash leaves without it is claimed again and starts, while a
        claim alone would forbid the job to run and leave its master to call it lost.
        """
        remove_durable(self.layout.claim_of(jid))
        self.spool_remove(jid)
        self.remove_record(jid)

    def unclaim(self, jid: Jid) -> None:
        """Forget a claim of which nothing else came to be. Raises OSError."""
        self.layout.claim_of(jid).unlink(missing_ok=True)

    def claim_again(self, record: JobRecord) -> None:
        """Claim a recorded job whose claim a crash did not keep, as one of an unknown boot. Raises OSError."""
        create_exclusive(self.layout.claim_of(record.jid), f"- 0.0 {record.start_by}\n".encode("ascii"))

    def sync_starts(self, claimed: Iterable[Jid]) -> None:
        """Make durable what was claimed and recorded without `sync`. Raises OSError.

        Records first: one without its claim gets it again, while a claim alone would forbid its job to run.
        """
        sync_folder(self.layout.proc)
        for jid in claimed:
            with contextlib.suppress(FileNotFoundError):
                sync_file(self.layout.claim_of(jid))
        sync_folder(self.layout.claims)

    def claims(self) -> dict[Jid, Claim]:
        """All claims. One that a crash left empty was durable all the same: it is of an unknown boot.

        Raises OSError.
        """
        found: dict[Jid, Claim] = {}
        for path in self._files(self.layout.claims):
            try:
                jid = Jid(path.name)
                data = read_regular(path, _CLAIM_LIMIT)
            except FileNotFoundError:
                continue  # dropped while we looked
            except ValueError as error:
                self._set_aside(path, str(error))
                continue
            found[jid] = _parse_claim(data)
        return found

    def drop_claim(self, jid: Jid) -> None:
        """Forget that the jid was seen. One whose supervisor lives is kept, or cannot be asked for now: the next start
        drops it. Not made durable: a claim that a crash brings back is dropped once more. Raises OSError."""
        claim = self.layout.claim_of(jid)
        try:
            held = lock.holder(claim) is not None
        except OSError as error:
            _log.warning("cannot drop the claim of %s for now: %s", jid, error,
                         extra={"action": "claim.kept", "jid": jid})
            return
        if not held:
            claim.unlink(missing_ok=True)

    # secrets

    def write_secrets(self, jid: Jid, sealed: bytes) -> None:
        """Make the secrets of a job durable, before its record is. Raises OSError."""
        write_durable(self.layout.secrets_of(jid), sealed)

    def sweep_secrets(self, recorded: Container[Jid]) -> None:
        """Remove those of no recorded job: whoever wrote them died before the record, or at the job's end.

        Raises OSError.
        """
        for path in self._files(self.layout.secrets):
            if path.name not in recorded:
                path.unlink(missing_ok=True)

    # records

    def write_record(self, record: JobRecord, *, sync: bool = True) -> None:
        """Make a record durable; without `sync`, after `sync_starts`. Only before its supervisor starts.

        Raises OSError.
        """
        write_durable(self.layout.record_of(record.jid), encode_record(record), sync=sync)

    def remove_record(self, jid: Jid) -> None:
        """Retire the record of a job that has no supervisor, with what secrets are left. Raises OSError."""
        remove_durable(self.layout.record_of(jid))
        self.layout.secrets_of(jid).unlink(missing_ok=True)

    def read_record(self, jid: Jid) -> JobRecord | None:
        """The record of a job; None when there is none, or what is there was damaged and went to quarantine.

        Raises OSError.
        """
        return self._read_record(self.layout.record_of(jid), [])

    def records(self) -> tuple[list[JobRecord], list[str]]:
        """The records of all jobs that have not ended, by jid, and what was damaged, one line each. Raises OSError."""
        problems: list[str] = []
        found: list[JobRecord] = []
        for path in self._files(self.layout.proc):
            record = self._read_record(path, problems)
            if record is None:
                continue
            if self.layout.spool_of(record.jid).exists():
                self._retire(record.jid)
            else:
                found.append(record)
        return found, problems

    def has_supervisor(self, jid: Jid) -> bool:
        """Whether a supervisor lives, told by the lock and not by a pid. Raises OSError."""
        return lock.holder(self.layout.claim_of(jid)) is not None

    # stop requests

    def append_stop(self, jid: Jid, request: StopRequest) -> bool:
        """Make a request durable; False when it was there already. Raises OSError.

        Past a hundred the oldest goes, but never the first that ends the job: that one is its evidence.
        """
        stops = self.read_stops(jid)
        if any(known.stop == request.stop for known in stops):
            return False
        if len(stops) >= STOPS_PER_JOB:
            first = next((known for known in stops if known.how != "signal"), None)
            stops.remove(next(known for known in stops if known is not first))
        write_durable(self.layout.stops_of(jid), encode_stops([*stops, request]))
        return True

    def read_stops(self, jid: Jid) -> list[StopRequest]:
        """The requests of a job, oldest first; none when the file was damaged, which then is in quarantine.

        Raises OSError.
        """
        path = self.layout.stops_of(jid)
        try:
            return decode_stops(read_regular(path, STOPS_LIMIT))
        except FileNotFoundError:
            return []
        except (ValueError, CodecError) as error:
            self._set_aside(path, str(error))
            return []

    # spool

    def spool_put(self, message: Return) -> bool:
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
            written = spool.put(self.layout.spool_of(message.jid), codec.encode(message))
            self.remove_record(message.jid)
            return written

    def spool_read(self, jid: Jid) -> bytes:
        """The frame of a return, checked to its last bit.

        Raises SpoolError when there is none, or it was damaged and went to quarantine; OSError when it cannot be read
        for now.
        """
        path = self.layout.spool_of(jid)
        try:
            frame = spool.unseal(read_regular(path, spool.LIMIT))
            message = codec.from_minion.decode(frame)
            if not isinstance(message, Return) or message.jid != jid:
                raise SpoolError("it holds something else")
        except FileNotFoundError as error:
            raise SpoolError(f"cannot read the return of {jid}: it is not in the spool") from error
        except (ValueError, JrError) as error:
            self._set_aside(path, str(error))
            raise SpoolError(f"cannot read the return of {jid}: {error}") from error
        return frame

    def spool_state(self, jid: Jid) -> State | None:
        """The state in which a job ended; None when its return is not, or not legibly, in the spool. Raises OSError."""
        if not self.layout.spool_of(jid).exists():
            return None
        try:
            message = codec.from_minion.decode(self.spool_read(jid))
        except SpoolError:
            return None
        state: State = message.state
        return state

    def spool_list(self) -> list[Jid]:
        """The jobs whose return lies in the spool, oldest first. Raises OSError."""
        found: list[Jid] = []
        for path in self._files(self.layout.spool):
            try:
                found.append(_jid_of(path, ".msgpack"))
            except ValueError as error:
                self._set_aside(path, str(error))
        return found

    def spooled_at(self, jid: Jid) -> float:
        """When a return was written, in epoch seconds. Raises OSError."""
        return self.layout.spool_of(jid).stat().st_mtime

    def spool_remove(self, jid: Jid) -> None:
        """Forget a return that was acknowledged, with the stop requests of its job. Raises OSError.

        Not made durable: a return that a crash brings back is sent once more, and acknowledged.
        """
        self.layout.spool_of(jid).unlink(missing_ok=True)
        self.layout.stops_of(jid).unlink(missing_ok=True)

    # room

    def probe(self) -> None:
        """Prove that a small file can be written here. Raises OSError."""
        path = self.layout.proc / f".probe.{os.getpid()}.tmp"
        write_durable(path, bytes(_PROBE), sync=False)
        path.unlink()

    # ends

    def settle(self, jid: Jid) -> State | None:
        """What became of a job that has no supervisor: the state in which it ended, concluded here if need be.

        None when nothing of it was started. Takes some seconds at worst. Raises OSError, and SpoolError when it ended
        and its return was damaged, so that nothing is left to tell how.
        """
        damage: SpoolError | None = None
        if self.layout.spool_of(jid).exists():
            try:
                state: State = codec.from_minion.decode(self.spool_read(jid)).state
            except SpoolError as error:
                damage = error
            else:
                self._retire(jid)
                return state
        record = self.read_record(jid)
        if record is not None and record.started is not None:
            return self.clean_up(jid, record)
        if damage is not None:
            raise damage
        return None

    def clean_up(self, jid: Jid, record: JobRecord) -> State | None:
        """End a job that was started and whose supervisor is gone: what is left of it goes, and `lost` is spooled.

        The state in the spool afterwards; None when the job has a supervisor after all. Raises OSError.
        """
        claim = self.layout.claim_of(jid)
        create_exclusive(claim, f"{clock.boot_id()} {clock.boottime()}\n".encode("ascii"))
        with lock.held_by_agent(claim) as free:
            if not free:
                return None
            if (state := self.spool_state(jid)) is None:
                message = conclude(record, self.read_stops(jid), self.layout)
                spool.put(self.layout.spool_of(jid), codec.encode(message))
                state = message.state
                _log.warning("%s lost its supervisor: %s", jid, message.evidence.reason,
                             extra={"action": "job.lost", "jid": jid})
            self.remove_record(jid)
            return state

    def tidy(self, jid: Jid) -> None:
        """Remove what a supervisor that was killed was about to write. Raises OSError."""
        for folder in (self.layout.proc, self.layout.spool):
            _tidy(folder, jid)

    def quarantine(self, jid: Jid, reason: str) -> None:
        """Move a return that the master refused for good aside, and forget its stop requests. Raises OSError."""
        self._set_aside(self.layout.spool_of(jid), reason)
        self.layout.stops_of(jid).unlink(missing_ok=True)

    def drop_outputs(self, before: float) -> int:
        """Remove captured output that was last written before `before`, epoch seconds; how many files went.

        That of a job with a supervisor stays, however silent it is, and that of a return which the master does not
        have: it may be away for long, and a wall clock may step.
        """
        count = 0
        for path in self._files(self.layout.output):
            with contextlib.suppress(OSError, ValueError):
                if path.lstat().st_mtime < before and not self._is_wanted(Jid(path.stem)):
                    path.unlink()
                    count += 1
        return count

    # inside

    def _is_wanted(self, jid: Jid) -> bool:
        return self.layout.spool_of(jid).exists() or self.has_supervisor(jid)

    def _files(self, folder: Path) -> list[Path]:
        """What lies in a folder, in order of names; files that are being written are none yet."""
        return sorted(path for path in folder.iterdir() if not (path.name.startswith(".") and path.suffix == ".tmp"))

    def _read_record(self, path: Path, problems: list[str]) -> JobRecord | None:
        try:
            jid = _jid_of(path, ".json")
            record = decode_record(read_regular(path, RECORD_LIMIT))
            if record.jid != jid:
                raise CodecError(f"cannot read a proc record: it is that of {record.jid}")
            _check_owner(path)
        except FileNotFoundError:
            return None  # it ended while we looked
        except (ValueError, CodecError) as error:
            problems.append(self._set_aside(path, str(error)))
            return None
        return record

    def _retire(self, jid: Jid) -> None:
        """Remove the record of a job whose return is durable, unless its supervisor is about to."""
        if self.layout.record_of(jid).exists() and not self.has_supervisor(jid):
            self.remove_record(jid)

    def _set_aside(self, path: Path, reason: str) -> str:
        """Move a damaged file to quarantine, whatever it is; the line that says so. One that is gone is no trouble."""
        folder = self.layout.quarantine
        for number in itertools.count():
            target = folder / f"{path.parent.name}-{path.name[:200]}-{number}"
            if not os.path.lexists(target):
                break
        line = f"{path} is damaged and was moved to {target.name!a} in quarantine: {reason}"
        try:
            path.rename(target)
            sync_folder(folder)
        except FileNotFoundError:
            return line
        except OSError as error:
            line = f"{path} is damaged ({reason}) and cannot be moved to quarantine: {error.strerror}"
        _log.error("%s", line, extra={"action": "file.quarantined"})
        return line


def _jid_of(path: Path, suffix: str) -> Jid:
    if path.suffix != suffix:
        raise ValueError(f"its name does not end in {suffix}")
    return Jid(path.stem)


def _check_owner(path: Path) -> None:
    owner = os.lstat(path).st_uid
    if owner != os.geteuid():
        raise ValueError(f"it belongs to uid {owner}")


def _parse_claim(data: bytes) -> Claim:
    try:
        boot_id, until, *more = data.decode("ascii").split()
        start_by = float(more[0]) if more else 0.0
        return Claim(boot_id, float(until), start_by, "cancelled" in more)
    except ValueError:
        return Claim("", 0.0)


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
