"""What the master's core wants done. The shell applies effects in one order: none leaves before every earlier Save."""

from __future__ import annotations

from msgspec import Struct

from common.ids import Jid, MinionId
from common.link import Connection, Key
from common.messages import Message, Stopped
from common.states import State
from master.records import Change, Job, Pair


class Save(Struct, frozen=True):
    """Commit this change. Everything issued later waits for it."""

    change: Change


class Send(Struct, frozen=True):
    connection: Connection
    message: Message


class Drop(Struct, frozen=True):
    """Cut a connection."""

    connection: Connection
    reason: str


class DropKey(Struct, frozen=True):
    """Cut every connection of a key, which is no longer accepted."""

    key: Key


class Emit(Struct, frozen=True):
    """Tell whoever watches. Committed facts only."""

    event: Event


class JobNew(Struct, frozen=True):
    job: Job
    minions: list[MinionId]


class PairMoved(Struct, frozen=True):
    pair: Pair
    corrected: bool = False
    """A late true return replaced `lost`."""


class StopAnswered(Struct, frozen=True):
    answer: Stopped
    minion: MinionId


class JobDone(Struct, frozen=True):
    jid: Jid
    at: float
    counts: dict[State, int]


class MinionUp(Struct, frozen=True):
    minion: MinionId


class MinionDown(Struct, frozen=True):
    minion: MinionId
    reason: str


class MinionBehind(Struct, frozen=True):
    """A minion runs on an older copy of its state folder: it came with `start`, and its key has been at `highest`."""

    minion: MinionId
    start: int
    highest: int


class KeyChanged(Struct, frozen=True):
    minion: MinionId
    state: str
    reason: str = ""


Event = JobNew | PairMoved | StopAnswered | JobDone | MinionUp | MinionDown | MinionBehind | KeyChanged


class Wipe(Struct, frozen=True):
    """Secrets were deleted: see that nothing of them stays in the files of the store."""


class Recall(Struct, frozen=True):
    """Read a job that is not open from the store and hand it to `Core.recalled`: a minion spoke of it."""

    jid: Jid


class Alarm(Struct, frozen=True):
    """A minion said what none of ours says, as of a job that is not its own. It is refused; a log line says who."""

    minion: MinionId
    jid: Jid | None
    reason: str


Effect = Save | Send | Drop | DropKey | Emit | Recall | Wipe | Alarm
