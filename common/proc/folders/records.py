"""The proc records of a host, with the secrets that wait beside some of them for their job to start.

A record that was damaged is set aside; one that cannot be read for now stays, and OSError says so.
"""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from common.codec import CodecError
from common.files import read_regular, remove_durable, sync_folder, write_durable
from common.ids import Jid
from common.proc.folders.quarantine import Quarantine, files_of, jid_of
from common.proc.layout import Layout
from common.proc.record import RECORD_LIMIT, JobRecord, decode_record, encode_record


class Records:
    """One file for each job that has not ended; the job's supervisor is its only writer from its fork on."""

    def __init__(self, layout: Layout, quarantine: Quarantine) -> None:
        self._layout = layout
        self._quarantine = quarantine

    def write(self, record: JobRecord, *, sync: bool = True) -> None:
        """Make a record durable; without `sync`, after the next call of the method `sync`.

        Only before its supervisor starts. Raises OSError.
        """
        write_durable(self._layout.record_of(record.jid), encode_record(record), sync=sync)

    def sync(self) -> None:
        """Make durable what was written without `sync`. Raises OSError."""
        sync_folder(self._layout.proc)

    def remove(self, jid: Jid) -> None:
        """Retire the record of a job that has no supervisor, with what secrets are left. Raises OSError."""
        remove_durable(self._layout.record_of(jid))
        self._layout.secrets_of(jid).unlink(missing_ok=True)

    def has(self, jid: Jid) -> bool:
        """Whether a job has a record. Raises OSError."""
        return self._layout.record_of(jid).exists()

    def read(self, jid: Jid) -> JobRecord | None:
        """The record of a job; None when there is none, or what is there was damaged and went to quarantine.

        Raises OSError.
        """
        return self._read(self._layout.record_of(jid), [])

    def all(self) -> tuple[list[JobRecord], list[str]]:
        """All records, by jid, and what was damaged, one line each. Raises OSError."""
        problems: list[str] = []
        found = [self._read(path, problems) for path in files_of(self._layout.proc)]
        return [record for record in found if record is not None], problems

    def write_secrets(self, jid: Jid, sealed: bytes) -> None:
        """Make the secrets of a job durable, before its record is. Raises OSError."""
        write_durable(self._layout.secrets_of(jid), sealed)

    def sweep_secrets(self, recorded: Container[Jid]) -> None:
        """Remove those of no recorded job: whoever wrote them died before the record, or at the job's end.

        Raises OSError.
        """
        for path in files_of(self._layout.secrets):
            if path.name not in recorded:
                path.unlink(missing_ok=True)

    def _read(self, path: Path, problems: list[str]) -> JobRecord | None:
        try:
            jid = jid_of(path, ".json")
            record = decode_record(read_regular(path, RECORD_LIMIT))
            if record.jid != jid:
                raise CodecError(f"cannot read a proc record: it is that of {record.jid}")
            _check_owner(path)
        except FileNotFoundError:
            return None  # it ended while we looked
        except (ValueError, CodecError) as error:
            problems.append(self._quarantine.take(path, str(error)))
            return None
        return record


def _check_owner(path: Path) -> None:
    owner = os.lstat(path).st_uid
    if owner != os.geteuid():
        raise ValueError(f"it belongs to uid {owner}")
