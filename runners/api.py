"""What runners see: the `Master` protocol they work through, and the `Report` the built-in ones answer with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from common.choices import How, LeftBehind, Offline, TargetType
from common.errors import Exit
from common.output import Kind

Item = dict[str, Any]
"""A frame of the control socket: the event `job` with its head, the event `pair` with a minion, or an answer's end."""
Seconds = float
"""A length of time. In the signature of a built-in runner it means that text such as `30s` is understood."""
Ids = list[str]
"""Minion ids. In the signature of a built-in runner it means that text such as `m1,m2` is understood."""


class Report(NamedTuple):
    """The answer of a built-in runner."""

    kind: Kind
    """How `value` is shown in a table."""
    value: Any
    exit: Exit = Exit.OK
    note: str = ""
    """A line for the operator, beside the data."""
    empty: str = ""
    """The same in the place of a table that has no rows; who reads another format sees that there is nothing."""


class Master(Protocol):
    """A master, as its control socket offers it. Every method raises JrError: unknown jid, not allowed, unreachable.

    Streams begin when they are read and end with a frame of the kind `end`. `until` is a boottime that bounds them,
    after which they raise TimeoutError.
    """

    def publish(
        self, target: str, target_type: TargetType, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *,
        typed: bool = False, timeout: float | None = None, start_within: float | None = None,
        grace: float | None = None, metadata: Mapping[str, str] | None = None, offline: Offline | None = None,
        left_behind: LeftBehind | None = None, follow: bool = True, until: float | None = None,
        secret: Sequence[str] = (),
    ) -> Iterator[Item]:
        """Run a function on minions: the job, once it is durable, then each pair as it ends.

        `typed` says that the arguments are text, to be converted by the function's type hints. `timeout` bounds each
        payload, `start_within` the time to its start, `grace` the time between TERM and KILL: all in seconds.
        `offline` says what becomes of it for minions that are not connected, `left_behind` of the processes that it
        leaves behind; None is as the settings of the master, or of each minion, say.
        `secret` names what in `kwargs` only the payload may read.
        """

    def run(
        self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, typed: bool = False,
        timeout: float | None = None, follow: bool = True, until: float | None = None, secret: Sequence[str] = (),
    ) -> Iterator[Item]:
        """Run a custom runner, as a job on the master: the stream that `publish` gives."""

    def watch(self, jid: str, *, follow: bool, until: float | None = None) -> Iterator[Item]:
        """A job that exists: the job, its pairs, and with `follow` each pair as it ends, until all have."""

    def jobs(self, *, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
        """A page of jobs, newest first: {"jobs": [...], "next": cursor or None}."""

    def runs(self, *, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
        """A page of planned runs and their verdicts, the latest first: {"runs": [...], "next": cursor or None}."""

    def schedule(self, do: str, **fields: Any) -> Any:
        """Ask or change something of the master's own schedule; the answer of `common.schedule.desk`."""

    def active(self, minion: str | None) -> dict[str, Any]:
        """What is open, by jid; of one minion when that is named."""

    def stop(
        self, jid: str, how: How, *, signal: int | None, grace: float | None, minions: Sequence[str] | None,
    ) -> dict[str, Any]:
        """Stop or signal a job: {"jid", "stop", "grace", "minions": {ID: what became of it}}.

        The answer's `grace` is how long the job has between TERM and KILL, in seconds: 0 when it is no TERM.
        """

    def presence(self) -> dict[str, Any]:
        """Every minion of the fleet: {ID: {"up", "since", "last_seen", "version", ...}}.

        Of those that are up `load` is how the minion does, as it said `load.age` seconds ago.
        """

    def status(self) -> dict[str, Any]:
        """How the master itself does."""
