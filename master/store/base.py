"""What the master asks of a store. Implementations pass `tests/contract/test_stores*.py`; no other verb exists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from common.errors import JrError, NotFoundError
from common.ids import Jid, MinionId
from common.schedule.model import Occurrence, Verdict
from common.states import State
from master.records import Change, Job, Kind, Pair, Snapshot


class StoreError(JrError):
    """The store cannot do it; nothing of the batch has been written."""


class BrokenStoreError(StoreError):
    """The disk failed, or what is stored is damaged. Nothing more is saved: a fresh start tells what is there."""


class UnknownJobError(NotFoundError):
    """No job of this jid is stored."""


class Filter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs a list wants; all given parts must hold."""

    function: str | None = None
    """Shell glob."""
    target: str | None = None
    """Shell glob on the text of the target expression."""
    minion: MinionId | None = None
    """One that the job was sent to, whatever the target expression was."""
    user: str | None = None
    state: State | None = None
    """At least one pair is in it; the minion's own, when a minion is named as well."""
    schedule: str | None = None
    metadata: dict[str, str] = {}
    """Every key must be there with this very value."""
    since: float | None = None
    """Minted at or after, epoch seconds: the time in the jid, which for a job that began on a minion is that host's."""
    until: float | None = None
    """Minted before."""


class Listed(Struct, frozen=True):
    """A job in a list."""

    job: Job
    counts: dict[State, int]


class Page(Struct, frozen=True):
    """Jobs, newest first."""

    jobs: list[Listed]
    """May be fewer than asked for, even none, while more follow: a filter that seldom matches is read in bites."""
    next: Jid | None
    """What to give as `before` for the next page, not always a jid of this one; None when nothing more follows."""


class RunFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which verdicts a list wants; all given parts must hold."""

    schedule: str | None = None
    """Shell glob."""
    minion: MinionId | None = None
    verdict: Verdict | None = None
    since: float | None = None
    """Planned at or after, epoch seconds; of a stretch its last run."""
    until: float | None = None
    """Planned before; of a stretch its last run."""


class Mark(Struct, frozen=True):
    """A place in a list of verdicts."""

    last: float
    id: int


class Run(Struct, frozen=True):
    """A planned run in a list."""

    minion: MinionId
    occurrence: Occurrence
    states: dict[State, int]
    """How many pairs of its job are in which state; empty when it has none, or none that is stored."""


class RunPage(Struct, frozen=True):
    """Planned runs, the latest first."""

    runs: list[Run]
    next: Mark | None
    """As in `Page`."""


class Store(Protocol):
    """Durable jobs, ledger and keys. `apply` is called from one thread, the reads from others, at the same time."""

    def apply(self, changes: Sequence[Change], now: float) -> None:
        """Apply all in one transaction, durable on return; `now` is master time. On StoreError nothing has changed.

        A job whose jid is stored already is refused. A pair, stop, minion or token that is there is replaced; one to
        be dropped that is not there is no error; a pair whose job is not stored is not kept. A job that comes with
        `done` set is done, with the counts of its pairs.
        """

    def snapshot(self) -> Snapshot:
        """What a core is built from; the pairs have no outcome. No other verb gives the secrets of a job, and none
        does once it is done. Raises StoreError."""

    def job(self, jid: Jid) -> Job:
        """One job. Raises UnknownJobError, StoreError."""

    def pairs(self, jid: Jid, minions: Sequence[MinionId] | None = None, values: bool = True) -> Iterator[Pair]:
        """The pairs of a job by minion id, all or those named; without `values` outcome is None. Reads bounded pages.

        A job that is not stored has none. Raises StoreError, at the first pair or in between.
        """

    def page(self, wanted: Filter, limit: int, before: Jid | None = None) -> Page:
        """At most `limit` jobs (at least 1) that pass the filter, older than `before`, by jid. Raises StoreError."""

    def runs(self, wanted: RunFilter, limit: int, before: Mark | None = None) -> RunPage:
        """At most `limit` planned runs (at least 1) that pass the filter, by planned time. Raises StoreError."""

    def kept(self, kind: Kind) -> dict[str, bytes]:
        """What the master's own schedule keeps of this kind, by name. Raises StoreError."""

    def expire(self, values_before: float, pairs_before: float, batch: int) -> int:
        """One step of retention: drop values and output of jobs whose age is `values_before` or more, and jobs with
        their pairs, and verdicts, from `pairs_before` on; open jobs stay. Both are seconds of age, infinity keeps for
        ever; see `age`. A verdict is as old as its coming.

        A step touches about `batch` pairs, so that nothing waits long for it, and returns how much it did: call
        again until 0. Raises StoreError.
        """

    def age(self, seconds: float, now: float) -> None:
        """The master ran this much longer: every done job has aged by it (age counts running time, DESIGN 7).

        `now`, master time, becomes the latest that was seen: an idle master saves nothing else. A job that is done
        again, as a late return corrected it, begins anew. Raises StoreError.
        """

    def wipe(self) -> bool:
        """See that nothing of the secrets that are deleted stays in the files; False when that must be tried again,
        since somebody was reading. Raises StoreError."""

    def size(self) -> int:
        """Bytes on disk; 0 for one that has none. Raises StoreError."""

    def close(self) -> None:
        """Give everything back. Safe to repeat; every other verb raises StoreError afterwards."""
