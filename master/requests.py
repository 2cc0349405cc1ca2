"""What each verb of the control socket takes, checked as it comes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from common.errors import UsageError
from common.ids import Jid, MinionId
from master.store.base import Filter

Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86400)]
R = TypeVar("R", bound=Struct)

LIST_LIMIT = 1000
"""Jobs in one page at most."""


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests: an unknown field is refused, so that a newer client is not half understood."""

    v: Literal[1]
    verb: str


class PublishRequest(Request, frozen=True, kw_only=True):
    target: Annotated[str, Meta(max_length=100_000)]
    target_type: Literal["glob", "list", "regex"] = "glob"
    function: Annotated[str, Meta(min_length=1, max_length=200)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    typed: bool = False
    timeout: Seconds | None = None
    start_within: Seconds | None = None
    grace: Seconds | None = None
    metadata: dict[str, str] = {}
    follow: bool = True


class RunRequest(Request, frozen=True, kw_only=True):
    function: Annotated[str, Meta(min_length=1, max_length=200)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    typed: bool = False
    timeout: Seconds | None = None
    follow: bool = True


class WatchRequest(Request, frozen=True, kw_only=True):
    jid: Jid
    follow: bool = False


class JobsRequest(Request, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=LIST_LIMIT)] = 50
    cursor: Jid | None = None
    filter: Filter = Filter()


class ActiveRequest(Request, frozen=True, kw_only=True):
    minion: MinionId | None = None


class StopRequest(Request, frozen=True, kw_only=True):
    jid: Jid
    how: Literal["term", "kill", "signal"]
    signal: Annotated[int, Meta(ge=1, le=64)] | None = None
    grace: Seconds | None = None
    minions: list[MinionId] | None = None


class KeysRequest(Request, frozen=True, kw_only=True):
    ids: list[MinionId] | None = None
    all: bool = False


class TokenRequest(Request, frozen=True, kw_only=True):
    minion: MinionId | None = None
    ttl: Annotated[float, Meta(gt=0, le=30 * 86400)] = 3600.0
    address: Annotated[str, Meta(max_length=255)] | None = None


class Defaults(Struct, frozen=True, kw_only=True):
    """What the settings say where a request is silent. Seconds."""

    start_within: float
    grace: float


def checked(body: dict[str, Any], kind: type[R]) -> R:
    """The request as its type. Raises UsageError that names the field."""
    try:
        return msgspec.convert(body, kind, dec_hook=_build)
    except (msgspec.ValidationError, ValueError) as error:
        text, _, where = str(error).partition(" - at `$.")
        raise UsageError(f"cannot use {where.rstrip('`') or 'the request'}: {text[:1].lower()}{text[1:]}") from error


def _build(kind: type, value: Any) -> Any:
    return kind(value)
