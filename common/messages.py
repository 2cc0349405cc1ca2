"""Every message of the bus, one frozen type each. Who sent one is told by the transport alone: none has a sender.

Times are epoch seconds unless a field says otherwise: `start_by` and `time` are master time, what a minion reports of
its jobs is that host's wall clock. What users supply or return stays packed (`Raw`) until it is needed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from common.choices import How, LeftBehind
from common.fields import Count, Finite, Identity, Name, Text
from common.fields import Metadata as Metadata
from common.ids import Jid, MinionId
from common.keytext import is_key
from common.link import Key
from common.schedule.model import Occurrence
from common.states import OBSERVED, State

FACTS_LIMIT = 64 * 1024
"""Bytes of the packed facts in a `Hello`; the master keeps them of every minion."""
RETURNED = OBSERVED | {State.LOST}
"""States that a return may carry. What is refused or undelivered never was with a minion to return."""
STOP_SIGNALS = {"term": 15, "kill": 9}
"""The number of the signal that a stop begins with; that of how `signal` is whatever was asked for."""
SIGNAL_ANSWER = 5.0
"""Seconds to wait for what is said of a signal: the process that got it answers at once, or is in trouble."""
HELD_PAGE = 2000
"""Pairs in one `Held` page: about 100 KiB, far below the size of a frame."""
OCCURRENCES_PAGE = 200
"""Verdicts in one `Occurrences`: as long as each may be they fit one frame (`common.schedule.model.REASON`)."""


Number = Annotated[int, Meta(ge=0, lt=2**53)]
"""One that a store can hold."""
NO_SECRETS = Raw(b"\x80")
"""The packed map of the secrets of a job that has none."""


class Message(Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    """Base of all: `{"v": 1, "kind": ...}`. Another version is refused as it is decoded."""

    v: Literal[1] = 1


class KeyMessage(Message, frozen=True, kw_only=True):
    """A message about one public key."""

    key: Key

    def __post_init__(self) -> None:
        """Raises ValueError for what is no key; decoding turns it into its own error."""
        if not is_key(self.key):
            raise ValueError("this is no key")


class Process(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process that a job left or that outlived its kill."""

    pid: int
    name: Text = ""
    state: Annotated[str, Meta(max_length=16)] = ""


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a pair is in the state it is in, as far as somebody saw it."""

    reason: Text | None = None
    exit_code: int | None = None
    signal: int | None = None
    """The signal that ended the payload."""
    by: Text | None = None
    """Who asked for the kill, as `user@host-part` or `schedule`."""
    asked: float | None = None
    """When the request became durable."""
    asked_signal: int | None = None
    signalled: int | None = None
    """How many processes got a signal."""
    survivors: Annotated[list[Process], Meta(max_length=100)] = []
    left_behind: Annotated[list[Process], Meta(max_length=100)] = []
    containment: Annotated[str, Meta(max_length=16)] | None = None
    """`cgroup`, `subreaper`, or `unknown` when the supervisor is not there to say."""
    took: float | None = None
    """Seconds from the first signal of a stop to the last process gone."""
    timeout: float | None = None
    """The time limit that ran out, in seconds."""
    boot_id: Identity | None = None
    lost_bytes: int | None = None
    """Bytes of output that went past the cap."""


class JobFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job is, apart from its jid. A return carries it, so that a master that never heard of it can file it."""

    function: Name
    args: Raw = Raw(b"\x90")
    """A packed list."""
    kwargs: Raw = Raw(b"\x80")
    """A packed map."""
    user: Name
    schedule: Name | None = None
    timeout: float | None = None
    """Seconds that the payload may run; None is for ever."""
    grace: float = 10.0
    """Seconds between TERM and KILL."""
    metadata: Metadata = {}
    """Of a job that began on a minion; that of the master's own jobs stays with the master."""
    left_behind: LeftBehind | None = None
    """What becomes of processes that it leaves behind when it ends by itself; None is as the host's settings say."""
    typed: bool = False
    """True when args and kwargs hold the text that was typed, to be converted by the function's type hints."""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the payload used, from wait4(2)."""

    user: float = 0.0
    """CPU seconds in user mode."""
    system: float = 0.0
    rss: int = 0
    """The largest resident size, in bytes."""


class Load(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a host does: what runs and what queues there. It goes with each `Hello` and `Ping`, and is kept in memory."""

    running: Count = 0
    queued: Count = 0
    """Jobs that wait for a place, where `max_jobs` bounds how many run."""
    spool: Count = 0
    """Returns that the master has not acknowledged."""
    oldest: Finite | None = None
    """Seconds since the oldest of those came."""
    containment: Annotated[str, Meta(max_length=16)] | None = None
    clock_offset: Finite | None = None
    """Seconds that the host's clock is ahead of the master's, behind when negative; None before the first answer."""
    uncertain: Finite | None = None
    """Seconds by which that may be wrong: half of what question and answer took."""
    schedule_problems: Count = 0
    """Entries, periods and files of its schedule that cannot be used."""


# minion -> master


class Hello(Message, frozen=True, kw_only=True):
    """Opens every connection. (start, connection) only ever grows: an older one is ignored."""

    version: Name
    boot_id: Identity
    start: int
    """How many times this agent's state folder has been started on."""
    connection: int
    """The number of this connection within the start."""
    facts: Raw
    """A packed map of at most `FACTS_LIMIT` bytes; more costs the connection."""
    load: Load | None = None


class HeldJob(Struct, frozen=True, array_like=True):
    """One job that the minion holds: recorded, queued or spooled."""

    jid: Jid
    state: State


class Held(Message, frozen=True, kw_only=True):
    """A page of what the minion holds; the last one starts the comparison."""

    jobs: Annotated[list[HeldJob], Meta(max_length=HELD_PAGE)]
    last: bool


class Ping(Message, frozen=True, kw_only=True):
    """Sent by the minion after 15 s of silence, and once a minute at least; and by a master that wants to know whether
    a connection lives."""

    n: int
    load: Load | None = None
    """Of the minion that asks; a master has none."""


class Pong(Message, frozen=True, kw_only=True):
    """The answer to the ping `n`; `time` is master time, 0 when a minion answers."""

    n: int
    time: float = 0.0


class Accepted(Message, frozen=True, kw_only=True):
    """The job's record is durable. `job` is there when the job began on the minion."""

    jid: Jid
    job: JobFields | None = None
    at: Finite
    queued: bool = False


class Refused(Message, frozen=True, kw_only=True):
    """The answer to a `Publish` that starts nothing and never will."""

    jid: Jid
    reason: Text
    seen: bool = False
    """This jid was claimed here before and is over: no word about whether it ran, only that it will not run now."""
    start: int = 0
    """The start number of the agent that says so. It counts while that one is there: the next knows nothing of it."""


class Started(Message, frozen=True, kw_only=True):
    """The payload runs."""

    jid: Jid
    pid: int
    at: Finite


class Return(Message, frozen=True, kw_only=True):
    """The end of a job on this minion, kept in its spool until the master has stored it."""

    jid: Jid
    job: JobFields
    state: State
    retcode: int | None = None
    """Exit code of a command, 128 + n after signal n; 0 or 1 of a function; None when nobody saw the end."""
    value: Raw | UnsetType = UNSET
    """What the function returned, packed; unset for a command, whose return is its output."""
    stdout: Annotated[bytes, Meta(max_length=262_144)] = b""
    stderr: Annotated[bytes, Meta(max_length=262_144)] = b""
    truncated: bool = False
    accepted: Finite | None = None
    started: Finite | None = None
    ended: Finite
    duration: Finite | None = None
    """Seconds by the monotonic clock."""
    pid: int | None = None
    usage: Usage | None = None
    evidence: Evidence = Evidence()

    def __post_init__(self) -> None:
        """Raises ValueError for a state that no return carries; decoding turns it into its own error."""
        if self.state not in RETURNED:
            raise ValueError(f"a return cannot say {self.state}")


class Stopped(Message, frozen=True, kw_only=True):
    """The answer to a `Stop`: what was done about it on the minion."""

    stop: Identity
    jid: Jid
    outcome: Literal["stopping", "signalled", "cancelled", "ended", "failed"]
    """stopping: durable, the supervisor is at it · signalled · cancelled: it had not started and never will ·
    ended: it was over already · failed: could not be done, `reason` says why."""
    reason: Text = ""
    signalled: int = 0


class Occurrences(Message, frozen=True, kw_only=True):
    """Verdicts of this minion's own schedule, oldest first, from its journal; sent again until they are `Noted`."""

    n: Number
    """The place of the last one in the journal."""
    items: Annotated[list[Occurrence], Meta(max_length=OCCURRENCES_PAGE)]


class Offer(KeyMessage, frozen=True, kw_only=True):
    """The answer to `Rotate`: the public half of a pair that is durable on the minion, to be its next one."""


class Trusts(KeyMessage, frozen=True, kw_only=True):
    """The answer to `MasterKey`: the minion holds it durably, and will know the master by it."""


# master -> minion


class Welcome(Message, frozen=True, kw_only=True):
    """The master knows this connection; the minion now sends what it holds."""

    master: Name
    time: float
    return_limit: int
    """Bytes of a packed value above which the minion cuts it."""
    known_as: MinionId | None = None
    """The id that the master has filed the minion's key under; None from a master that does not say."""
    start: int = 0
    """The greatest start number that this key ever came with: an agent on an older copy of its state goes on there."""
    next_key: Key | UnsetType = UNSET
    """As in `MasterKey`. Unset unless the master is changing its key."""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no key; decoding turns it into its own error."""
        if self.next_key is not UNSET and not is_key(self.next_key):
            raise ValueError("this is no key")


class Rotate(Message, frozen=True, kw_only=True):
    """Make a new key pair and offer its public half. One that was made and never taken up serves again."""


class Taken(KeyMessage, frozen=True, kw_only=True):
    """The answer to `Offer`: this key is committed as the minion's next one, which now connects anew with it."""

    refused: Text | None = None
    """Why not, and all stays as it was."""


class MasterKey(KeyMessage, frozen=True, kw_only=True):
    """The master's next key. It is proved by the session it comes over, which is the present key's."""


class Publish(Message, frozen=True, kw_only=True):
    """Run this job, unless its time to start has passed."""

    jid: Jid
    job: JobFields
    """As it may be shown: the minion's return carries it just so."""
    start_by: float
    secrets: Raw | UnsetType = UNSET
    """A packed map: the arguments by name that only the payload may read. Unset when there are none."""
    start: int = 0
    """The start number of the agent that it is for. One that was started since drops it, and is sent its own."""


class Stop(Message, frozen=True, kw_only=True):
    """Stop, or signal, a job. It has its own id, so that a repeated one is answered and not repeated."""

    stop: Identity
    jid: Jid
    how: How
    signal: Annotated[int, Meta(ge=1, le=64)]
    grace: float
    by: Name
    start_by: float
    """The job's own, so that a minion that has never seen the job knows how long to remember the stop."""


class Ack(Message, frozen=True, kw_only=True):
    """The return of this jid is committed, or refused for good."""

    jid: Jid
    refused: Text | None = None


class Noted(Message, frozen=True, kw_only=True):
    """The verdicts up to this place in the minion's journal are committed."""

    n: Number


# enrolment port


class Enrol(Message, frozen=True, kw_only=True):
    """A claim: this key, which the transport has proved, asks to be known as `id`."""

    id: MinionId
    version: Name
    token: Annotated[str, Meta(max_length=128)] | None = None


class Enrolled(Message, frozen=True, kw_only=True):
    """The answer to a claim."""

    status: Literal["accepted", "pending", "refused"]
    reason: Text = ""


FromMinion = (Hello | Held | Ping | Pong | Accepted | Refused | Started | Return | Stopped | Occurrences | Offer
              | Trusts)
FromMaster = Welcome | Publish | Ping | Pong | Stop | Ack | Noted | Rotate | Taken | MasterKey
