"""The proc record of a job: the JSON file that says what runs on this host. Agents read it through these types.

The supervisor, which must stay small, handles the same file as a plain dict; `tests/process` holds the two together.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from common.choices import How, LeftBehind
from common.codec import CodecError
from common.ids import Jid
from common.messages import JobFields
from common.states import State

RECORD_LIMIT = 1024 * 1024
"""Bytes of a record; arguments are at most 128 KiB packed, and JSON escapes at worst sixfold."""


class StopRequest(Struct, frozen=True, kw_only=True):
    """A request to stop or signal a job, durable in `stops/<jid>.json` before the supervisor is woken."""

    stop: Annotated[str, Meta(max_length=64)]
    how: How
    signal: Annotated[int, Meta(ge=1, le=64)]
    grace: float
    by: str
    at: float
    """Epoch seconds at which the request became durable."""


class JobRecord(Struct, frozen=True, kw_only=True):
    """`proc/<jid>.json`: one job that is accepted and not yet returned. `pid` is None until the payload is let go."""

    v: Literal[1] = 1
    jid: Jid
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    user: str
    state: State
    """accepted, queued or running."""
    schedule: str | None = None
    accepted: float
    """Epoch seconds."""
    timeout: float | None = None
    grace: float = 10.0
    left_behind: LeftBehind = "leave"
    """What holds: the job's own wish, else the host's setting."""
    left_behind_asked: LeftBehind | None = None
    """The job's own wish, which its return must carry."""
    output_limit: int = 1024 * 1024
    """Bytes of output kept on this host, for each of stdout and stderr."""
    return_limit: int = 512 * 1024
    deadline_boot_id: str
    deadline: float
    """CLOCK_BOOTTIME seconds of `deadline_boot_id` after which the payload must not be let go."""
    start_by: float = 0.0
    """The same moment in master time: what counts after a reboot, when the boot clock began anew."""
    args_packed: str
    """The job's own arguments as they came, packed, in base64: what its return must carry."""
    kwargs_packed: str
    metadata: dict[str, str] = {}
    typed: bool = False
    sealed: bool = False
    """True when `***` in the arguments stands for secrets in a file of their own, until the payload starts."""
    inline: bool = False
    """True when it runs inside the agent: no supervisor, no payload."""
    supervisor: int | None = None
    pid: int | None = None
    """Of the payload."""
    create_time: int | None = None
    """Field 22 of /proc/<pid>/stat of the payload: ticks since boot."""
    boot_id: str | None = None
    """Of the boot the payload was started in."""
    cgroup: str | None = None
    """The folder of the job's own cgroup, where there is one."""
    started: float | None = None
    """Epoch seconds."""


def _build(kind: type, value: Any) -> Any:
    return kind(value)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"cannot write {type(value).__name__} into a proc record")


_records = msgspec.json.Decoder(JobRecord, dec_hook=_build)
_stops = msgspec.json.Decoder(list[StopRequest])
_encoder = msgspec.json.Encoder(enc_hook=_text)


def decode_record(data: bytes) -> JobRecord:
    """The record in a file's bytes. Raises CodecError for anything else."""
    try:
        return _records.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CodecError(f"cannot read a proc record: {error}") from error


def encode_record(record: JobRecord) -> bytes:
    """The bytes of a record's file: one key a line, so that `cat` shows it well."""
    return msgspec.json.format(_encoder.encode(record), indent=1) + b"\n"


def fields_of(record: JobRecord) -> JobFields:
    """The job's own fields, as they came: what its return carries."""
    return JobFields(function=record.function, args=Raw(base64.b64decode(record.args_packed)),
                     kwargs=Raw(base64.b64decode(record.kwargs_packed)), user=record.user, schedule=record.schedule,
                     timeout=record.timeout, grace=record.grace, metadata=record.metadata, typed=record.typed,
                     left_behind=record.left_behind_asked)


def decode_stops(data: bytes) -> list[StopRequest]:
    """The requests in a stop file's bytes. Raises CodecError for anything else."""
    try:
        return _stops.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CodecError(f"cannot read stop requests: {error}") from error


def encode_stops(stops: list[StopRequest]) -> bytes:
    """The bytes of a stop file."""
    return msgspec.json.encode(stops) + b"\n"
