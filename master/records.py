"""What the master knows of jobs, pairs, minions and stops, as frozen records, and the changes the store takes."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from common.choices import How
from common.ids import Jid, MinionId
from common.link import Key
from common.messages import NO_SECRETS, Evidence, JobFields
from common.schedule.model import Occurrence
from common.states import State


class Job(Struct, frozen=True, kw_only=True):
    """One invocation. Times are epoch seconds of master time."""

    jid: Jid
    fields: JobFields
    target: str
    target_type: str
    """glob, list, regex, `minion` when the job began on a minion, `runner` when it runs on the master."""
    published: float
    start_by: float
    queue: bool = False
    """Pairs of minions that are away wait for them until `start_by`, and are not undelivered at once."""
    metadata: dict[str, str] = {}
    done: float | None = None
    secrets: Raw = NO_SECRETS
    """Of a job that is not done: what `fields` does not show, for its minions. Only a snapshot has them."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What a `Return` said, as it is kept: everything but the job's own fields."""

    retcode: int | None = None
    value: bytes | None = None
    """Packed; None for a command, whose return is its output, and after `keep_jobs`."""
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    started: float | None = None
    ended: float | None = None
    duration: float | None = None
    pid: int | None = None
    evidence: Evidence = Evidence()


class Pair(Struct, frozen=True, kw_only=True):
    """One row of the ledger."""

    jid: Jid
    minion: MinionId
    state: State
    pid: int | None = None
    started: float | None = None
    outcome: Outcome | None = None
    expired: bool = False
    """True when `keep_jobs` has deleted the value and the output."""


class Stop(Struct, frozen=True, kw_only=True):
    """A request to stop one pair, kept until the minion answers or the pair is closed."""

    stop: str
    jid: Jid
    minion: MinionId
    how: How
    signal: int
    grace: float
    by: str
    at: float


KeyState = Literal["pending", "accepted", "rejected", "next", "quarantined"]
"""next: the second key of an id, which takes the place of the accepted one at its first use.
quarantined: it was accepted, and two hosts use it. Nobody gets in with it until an operator accepts it again.
"""


class Minion(Struct, frozen=True, kw_only=True):
    """One key and the id it is known by. Only accepted ones belong to the fleet."""

    id: MinionId
    key: Key
    state: KeyState
    filed: float
    """When the claim came in."""
    version: str = ""
    last_seen: float | None = None
    """When its last connection ended; None while it is connected, also if the master died meanwhile."""
    start: int = 0
    """The latest (start, connection) that a Hello carried: older ones are ignored, also after a restart."""
    connection: int = 0
    facts: Raw = Raw(b"\x80")
    boot_id: str = ""
    """That of the latest Hello; empty before the first one."""
    highest: int = 0
    """The greatest start number of any Hello: one that does not exceed it comes from an older copy of the state."""
    strange: bool = False
    """What was sent before may be with another host, or another boot: none of it is sent again to this one."""
    reason: str = ""
    """Why the key is in quarantine."""
    trusts: Key | None = None
    """The newest key of the master that it is known to know the master by; None when it never connected since."""


# Changes: each is applied whole, and all changes of one `Store.apply` in one transaction.


class AddJob(Struct, frozen=True):
    """A job with its whole list of pairs, and the last jid minted when the master minted it."""

    job: Job
    pairs: list[Pair]
    minted: bool


class MovePair(Struct, frozen=True):
    """A pair's new state. Replaces the row's state, pid, started and outcome; the core has checked the step."""

    pair: Pair


class SetDone(Struct, frozen=True):
    """All pairs are terminal; `counts` is how many are in which state. Repeated when a late return corrects one."""

    jid: Jid
    at: float
    counts: dict[State, int]


class AddStop(Struct, frozen=True):
    stop: Stop


class DropStop(Struct, frozen=True):
    """The minion answered, or the pair is closed."""

    stop: str
    minion: MinionId


class PutMinion(Struct, frozen=True):
    """Insert or replace the minion with this key."""

    minion: Minion


class DropMinion(Struct, frozen=True):
    key: Key


class AddToken(Struct, frozen=True):
    """A join token: only its SHA-256 is kept. Good once, until `expires`; for `minion` alone when that is set."""

    digest: str
    expires: float
    minion: MinionId | None


class DropToken(Struct, frozen=True):
    digest: str


class PutOccurrences(Struct, frozen=True):
    """Verdicts on planned runs of this minion's schedule, or of the master's own. The later word on a run replaces the
    earlier one, but that a run failed to start is final: the word that it began may come once more."""

    minion: MinionId
    items: list[Occurrence]


Kind = Literal["standing", "hold", "change", "run"]
"""What the master's own schedule keeps: where entries stand, the hold, what was changed at run time, and the runs whose
end its engine does not know yet."""


class Keep(Struct, frozen=True):
    """Insert or replace something of the master's own schedule; None drops it. The store does not look into it."""

    kind: Kind
    name: str
    body: bytes | None


Change = (AddJob | MovePair | SetDone | AddStop | DropStop | PutMinion | DropMinion | AddToken | DropToken
          | PutOccurrences | Keep)


class Snapshot(Struct, frozen=True):
    """What a core is built from: everything that is open, and nothing else."""

    last_jid: Jid | None
    jobs: list[Job]
    """Those with `done` None."""
    pairs: list[Pair]
    """Of those jobs, without values and output."""
    stops: list[Stop]
    minions: list[Minion]
    tokens: list[AddToken]
    latest: float
    """The latest master time the store has seen: the floor of the clock."""
