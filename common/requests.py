"""Requests of the control sockets, checked as they come in: what both daemons take, beside the verbs of their own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from common.choices import LeftBehind
from common.codec import ARGS_LIMIT, pack
from common.errors import UsageError
from common.messages import JobFields
from common.secrets import hide

Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86400)]
R = TypeVar("R", bound=Struct)
_LENGTH = re.compile("Expected `str` of length (>=|<=) ([0-9]+)")
"""What msgspec says of text that is too long, or has not the one character that all must have."""


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests: an unknown field is refused, so that a newer client is not half understood."""

    v: Literal[1]
    verb: str


class CallRequest(Request, frozen=True, kw_only=True):
    """To call a function, wherever it is to run."""

    function: Annotated[str, Meta(min_length=1, max_length=200)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    typed: bool = False
    secret: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=200)] = []
    """Names in `kwargs` whose values only the payload may read, beside those that are secret anyway."""
    timeout: Seconds | None = None
    left_behind: LeftBehind | None = None


def checked(body: dict[str, Any], kind: type[R]) -> R:
    """The request as its type. Raises UsageError that names the field."""
    try:
        return msgspec.convert(body, kind, dec_hook=_build)
    except (msgspec.ValidationError, ValueError) as error:
        text, _, where = str(error).partition(" - at `$.")
        if (match := _LENGTH.fullmatch(text)) is not None:
            text = "it is empty" if match[1] == ">=" else f"it has more than {match[2]} characters"
        name = where.rstrip("`").removeprefix("filter.") or "the request"
        raise UsageError(f"cannot use {name}: {text[:1].lower()}{text[1:]}") from error


def job_fields(request: CallRequest, user: str, grace: float) -> JobFields:
    """The job that is asked for. Raises UsageError for arguments that cannot be sent."""
    try:
        args, kwargs = pack(request.args), pack(request.kwargs)
    except TypeError as error:
        raise UsageError(str(error)) from error
    if len(args) + len(kwargs) > ARGS_LIMIT:
        raise UsageError(f"cannot send {len(args) + len(kwargs)} bytes of arguments: the limit is {ARGS_LIMIT}")
    return JobFields(function=request.function, args=Raw(args), kwargs=Raw(kwargs), user=user,
                     timeout=request.timeout, grace=grace, typed=request.typed, left_behind=request.left_behind)


def job_and_secrets(request: CallRequest, user: str, grace: float) -> tuple[JobFields, Raw]:
    """The same, as it may be shown, and its secrets. Raises UsageError also for a secret that cannot be kept."""
    return hide(job_fields(request, user, grace), marked=request.secret)


def _build(kind: type, value: Any) -> Any:
    return kind(value)
