"""The document of one job, put together from a stream of the control socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from common.errors import DetachedError, Exit
from common.exits import exit_code
from common.states import OPEN, State

_HEAD = ("jid", "function", "args", "kwargs", "target", "target_type", "user", "published")
_OPTIONAL = ("schedule", "metadata")


class Document:
    """One job and what is known of it so far. Feed it the frames of `publish`, `run` or `watch`."""

    def __init__(self) -> None:
        self.pairs: dict[str, dict[str, Any]] = {}
        self._head: dict[str, Any] = {}
        self._end: dict[str, Any] = {}

    @property
    def jid(self) -> str:
        """The job's name; empty until its first frame."""
        return str(self._head.get("jid", ""))

    @property
    def function(self) -> str:
        """What the job runs."""
        return str(self._head.get("function", ""))

    @property
    def minions(self) -> list[str]:
        """The ids of all targets."""
        return list(self._head.get("minions", ()))

    @property
    def absent(self) -> list[str]:
        """The ids of targets that were not there when the stream began, and are waited for."""
        return list(self._head.get("absent", ()))

    @property
    def start_by(self) -> float:
        """Epoch seconds until which absent targets are waited for; 0 for the short while after a master's start."""
        return float(self._head.get("start_by", 0.0))

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs are in which state; before the end of the stream, of those pairs that are known."""
        if "counts" in self._end:
            return dict(self._end["counts"])
        counts: dict[str, int] = {}
        for pair in self.pairs.values():
            counts[pair["state"]] = counts.get(pair["state"], 0) + 1
        return counts

    @property
    def over(self) -> bool:
        """Whether its stream has ended with the job's own end."""
        return self._end.get("done") is not None

    def add(self, frame: Mapping[str, Any]) -> str | None:
        """Take in a frame; the id of the minion when it tells of a pair."""
        if frame.get("kind") == "end":
            self._end = dict(frame)
        elif frame.get("event") == "job":
            self._head = dict(frame)
        elif frame.get("event") == "pair":
            minion = str(frame["minion"])
            self.pairs[minion] = frame["pair"]
            return minion
        return None

    def feed(self, frames: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Take in a whole stream; the minions of its pairs as they come."""
        for frame in frames:
            if (minion := self.add(frame)) is not None:
                yield minion

    def as_dict(self) -> dict[str, Any]:
        """The document that `-o json` and `jobs.lookup_jid` print."""
        head = self._head
        waits = any(pair["state"] == State.PLANNED for pair in self.pairs.values())
        return {
            **{name: head.get(name) for name in _HEAD},
            "done": self._end.get("done"),
            "minions": {minion: self.pairs[minion] for minion in sorted(self.pairs)},
            "counts": self.counts,
            **{name: head[name] for name in _OPTIONAL if head.get(name)},
            **({"start_by": self.start_by} if waits and self.start_by else {}),
        }

    def exit(self) -> Exit:
        """What a command ends with that waited for this job."""
        return exit_code([*self.counts, *(State.PLANNED for minion in self.minions if minion not in self.pairs)])


def read(frames: Iterable[Mapping[str, Any]]) -> Document:
    """The document of a stream that ends by itself."""
    document = Document()
    for frame in frames:
        document.add(frame)
    return document


def is_open(pair: Mapping[str, Any]) -> bool:
    """True while this pair may still change by the job's own course."""
    return pair["state"] in OPEN


@contextlib.contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Whoever presses Ctrl-C meanwhile is told how things stand: raises DetachedError with what is `said`."""
    try:
        yield
    except KeyboardInterrupt:
        raise DetachedError(said) from None


def goes_on(*jids: str) -> str:
    """What is said to somebody who does not wait any longer for these jobs, at least one."""
    *others, last = jids
    among = f", as do {', '.join(others)}" if others else ""
    return (f"detached from {last}, which goes on{among}; look it up: jr-run jobs.lookup_jid {last}; "
            f"kill it: jr-run jobs.kill {last}")
