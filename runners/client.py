"""The `Master` protocol over the control socket. Each call has a connection of its own, so none waits for another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.choices import How, LeftBehind, Offline, TargetType
from common.control import ANSWER_SECONDS, Connection
from runners.api import Item

_ACTIVE_PAGE = 500
"""Open jobs asked for at once."""


class ControlMaster:
    """A master behind a unix socket. The protocol `Master` says what the methods mean and raise."""

    def __init__(self, path: str | os.PathLike[str], *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """`answer_seconds` is how long the master may take for the first frame of an answer."""
        self._path = path
        self._answer_seconds = answer_seconds

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The fields that a verb answers with, for verbs that are not of the protocol."""
        with self._connect() as connection:
            end = connection.ask(verb, **fields)
        return {name: value for name, value in end.items() if name != "kind"}

    def publish(
        self, target: str, target_type: TargetType, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *,
        typed: bool = False, timeout: float | None = None, start_within: float | None = None,
        grace: float | None = None, metadata: Mapping[str, str] | None = None, offline: Offline | None = None,
        left_behind: LeftBehind | None = None, follow: bool = True, until: float | None = None,
        secret: Sequence[str] = (),
    ) -> Iterator[Item]:
        return self._stream(
            "publish", until, target=target, target_type=target_type, function=function, args=list(args),
            kwargs=dict(kwargs), typed=typed, timeout=timeout, start_within=start_within, grace=grace,
            metadata=dict(metadata or {}), follow=follow,
            **_given(offline=offline, left_behind=left_behind, secret=list(secret) or None),
        )

    def run(
        self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, typed: bool = False,
        timeout: float | None = None, follow: bool = True, until: float | None = None, secret: Sequence[str] = (),
    ) -> Iterator[Item]:
        return self._stream("run", until, function=function, args=list(args), kwargs=dict(kwargs), typed=typed,
                            timeout=timeout, follow=follow, **_given(secret=list(secret) or None))

    def watch(self, jid: str, *, follow: bool, until: float | None = None) -> Iterator[Item]:
        return self._stream("watch", until, jid=jid, follow=follow)

    def jobs(self, *, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
        return self.ask("jobs", limit=limit, cursor=cursor, filter=dict(filters))

    def runs(self, *, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
        return self.ask("runs", limit=limit, cursor=cursor, filter=dict(filters))

    def schedule(self, do: str, **fields: Any) -> Any:
        return self.ask("schedule", do=do, **_given(**fields))["answer"]

    def active(self, minion: str | None) -> dict[str, Any]:
        jobs: dict[str, Any] = {}
        cursor: str | None = None
        with self._connect() as connection:
            while True:
                page = connection.ask("active", minion=minion, limit=_ACTIVE_PAGE, cursor=cursor)
                jobs |= page["jobs"]
                cursor = page["next"]
                if cursor is None:
                    return jobs

    def stop(
        self, jid: str, how: How, *, signal: int | None, grace: float | None, minions: Sequence[str] | None,
    ) -> dict[str, Any]:
        return self.ask("stop", jid=jid, how=how, signal=signal, grace=grace,
                        minions=None if minions is None else list(minions))

    def presence(self) -> dict[str, Any]:
        minions: dict[str, Any] = self.ask("presence")["minions"]
        return minions

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def _stream(self, verb: str, until: float | None, **fields: Any) -> Iterator[Item]:
        with self._connect() as connection:
            yield from connection.stream(verb, until, **fields)

    def _connect(self) -> Connection:
        return Connection(self._path, answer_seconds=self._answer_seconds)


def _given(**fields: Any) -> dict[str, Any]:
    """What was asked for: an older master, which knows none of these, takes all requests without them."""
    return {name: value for name, value in fields.items() if value is not None}


def connect(path: str) -> ControlMaster:
    """The master that a runner job gets as its parameter `master`."""
    return ControlMaster(path)
