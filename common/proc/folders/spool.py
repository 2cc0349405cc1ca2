"""The spool of a host: returns that the master has not acknowledged. The format of a file: `common.proc.spool`."""

from __future__ import annotations

from common import codec
from common.errors import JrError
from common.files import read_regular
from common.ids import Jid
from common.messages import Return
from common.proc import spool
from common.proc.folders.quarantine import Quarantine, files_of, jid_of
from common.proc.layout import Layout
from common.proc.spool import SpoolError
from common.states import State


class Spool:
    """One file for each job that has ended, never overwritten."""

    def __init__(self, layout: Layout, quarantine: Quarantine) -> None:
        self._layout = layout
        self._quarantine = quarantine

    def put(self, message: Return) -> bool:
        """Make a return durable; one that is there already stays, and the answer is False. Raises OSError.

        Only for a job without a supervisor: see `JobFolders.end`.
        """
        return spool.put(self._layout.spool_of(message.jid), codec.encode(message))

    def has(self, jid: Jid) -> bool:
        """Whether a return lies here, legible or not. Raises OSError."""
        return self._layout.spool_of(jid).exists()

    def read(self, jid: Jid) -> bytes:
        """The frame of a return, checked to its last bit.

        Raises SpoolError when there is none, or it was damaged and went to quarantine; OSError when it cannot be read
        for now.
        """
        path = self._layout.spool_of(jid)
        try:
            frame = spool.unseal(read_regular(path, spool.LIMIT))
            message = codec.from_minion.decode(frame)
            if not isinstance(message, Return) or message.jid != jid:
                raise SpoolError("it holds something else")
        except FileNotFoundError as error:
            raise SpoolError(f"cannot read the return of {jid}: it is not in the spool") from error
        except (ValueError, JrError) as error:
            self._quarantine.take(path, str(error))
            raise SpoolError(f"cannot read the return of {jid}: {error}") from error
        return frame

    def message(self, jid: Jid) -> Return:
        """A return, opened. Raises what `read` does."""
        message: Return = codec.from_minion.decode(self.read(jid))
        return message

    def state(self, jid: Jid) -> State | None:
        """The state in which a job ended; None when its return is not, or not legibly, in the spool. Raises OSError."""
        if not self.has(jid):
            return None
        try:
            return self.message(jid).state
        except SpoolError:
            return None

    def jids(self) -> list[Jid]:
        """The jobs whose return lies here, oldest first. Raises OSError."""
        found: list[Jid] = []
        for path in files_of(self._layout.spool):
            try:
                found.append(jid_of(path, ".msgpack"))
            except ValueError as error:
                self._quarantine.take(path, str(error))
        return found

    def written(self, jid: Jid) -> float:
        """When a return was written, in epoch seconds. Raises OSError."""
        return self._layout.spool_of(jid).stat().st_mtime

    def forget(self, jid: Jid) -> None:
        """Remove a return that was acknowledged. Raises OSError.

        Not made durable: one that a crash brings back is sent once more, and acknowledged.
        """
        self._layout.spool_of(jid).unlink(missing_ok=True)

    def set_aside(self, jid: Jid, reason: str) -> None:
        """Move a return that the master refused for good to quarantine."""
        self._quarantine.take(self._layout.spool_of(jid), reason)
