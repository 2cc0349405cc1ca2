"""What the host core wants done on its machine. The shell applies effects in one order: none leaves before every
earlier durable one (Claim, SaveSecrets, SaveRecord, SaveStop, Spool, Forget) is on disk."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from common.ids import Jid
from common.messages import Message, Return
from common.proc.record import JobRecord, StopRequest


class Claim(Struct, frozen=True):
    """Create `claims/<jid>` exclusively.

    `until` (boot time) is when it may be removed; after a reboot `start_by` (master time) counts. `cancelled` says that
    a stop made it, for a job that never came.
    """

    jid: Jid
    until: float
    start_by: float
    cancelled: bool = False


class SaveSecrets(Struct, frozen=True):
    """Write `secrets/<jid>`, which goes with the start of the payload, or with the record when there is none."""

    jid: Jid
    sealed: bytes


class SaveRecord(Struct, frozen=True):
    """Write the proc record. Only before the supervisor starts: from then on the record is the supervisor's."""

    record: JobRecord


class SaveStop(Struct, frozen=True):
    """Append a stop request to `stops/<jid>.json`."""

    jid: Jid
    request: StopRequest


class Spool(Struct, frozen=True):
    """Put a return that no supervisor writes (cancelled, inline, lost) into the spool, and retire the record."""

    message: Return


class Ended(Struct, frozen=True):
    """Tell whoever waits on this host: the job ended without a supervisor to tell it."""

    message: Return


class Forget(Struct, frozen=True):
    """The master has the return: remove it from the spool, with its stop requests."""

    jid: Jid


class Quarantine(Struct, frozen=True):
    """The master refused the return for good: move it aside."""

    jid: Jid
    reason: str


class Undo(Struct, frozen=True):
    """Remove the claim and the record of a job that could not be made durable as a whole, before it is refused."""

    jid: Jid


class DropClaim(Struct, frozen=True):
    jid: Jid


class Start(Struct, frozen=True):
    """Ask the spawner for a supervisor of this recorded job."""

    jid: Jid


class Wake(Struct, frozen=True):
    """Tell the supervisor to read its stop requests."""

    jid: Jid


class Call(Struct, frozen=True):
    """Run an inline function inside the agent; its return comes back as an event."""

    record: JobRecord
    sealed: bytes = b""
    """Its secrets, which no file ever sees."""


class Send(Struct, frozen=True):
    """Send now if there is a connection; what matters is sent again until it is answered."""

    message: Message


class SendSpooled(Struct, frozen=True):
    """Send the return of this jid as it lies in the spool."""

    jid: Jid


Durable = Claim | SaveSecrets | SaveRecord | SaveStop | Spool | Forget | Quarantine | Undo | DropClaim
Effect = Durable | Ended | Start | Wake | Call | Send | SendSpooled


def about(effect: Any) -> Jid | None:
    """The job that an effect belongs to; None for one that is about none, or about many, or none of these."""
    match effect:
        case SaveRecord(record) | Call(record):
            return record.jid
        case Spool(message) | Ended(message):
            return message.jid
        case Send(message):
            effect = message
    jid: Jid | None = getattr(effect, "jid", None)
    return jid
