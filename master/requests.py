"""What each verb of the master's control socket takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from common.choices import How, Offline, TargetType
from common.ids import Jid, MinionId
from common.messages import Metadata
from common.requests import CallRequest, Request, Seconds
from master.store.base import Filter, RunFilter

When = Annotated[str, Meta(max_length=100)] | Annotated[float, Meta(ge=-1e12, le=1e12)]
LIST_LIMIT = 1000
"""Jobs in one page at most."""


class PublishRequest(CallRequest, frozen=True, kw_only=True):
    target: Annotated[str, Meta(max_length=100_000)]
    target_type: TargetType = "glob"
    start_within: Seconds | None = None
    grace: Seconds | None = None
    metadata: Metadata = {}
    offline: Offline | None = None
    follow: bool = True


class RunRequest(CallRequest, frozen=True, kw_only=True):
    follow: bool = True


class WatchRequest(Request, frozen=True, kw_only=True):
    jid: Jid
    follow: bool = False


class JobsRequest(Request, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=LIST_LIMIT)] = 50
    cursor: Jid | None = None
    filter: Filter = Filter()


class RunsRequest(Request, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=LIST_LIMIT)] = 100
    cursor: Annotated[str, Meta(max_length=100)] | None = None
    filter: RunFilter = RunFilter()


Entries = Literal["list", "show", "add", "modify", "delete", "enable", "disable", "run_job", "postpone_job", "skip_job",
                  "show_next_fire_time", "job_status", "save", "reload", "copy", "move", "hold", "release", "resume",
                  "held", "run_pending", "periods"]
"""What the verb `schedule` does about the master's own entries."""


class ScheduleRequest(Request, frozen=True, kw_only=True):
    do: Entries
    name: Annotated[str, Meta(max_length=200)] = ""
    new_name: Annotated[str, Meta(max_length=200)] = ""
    fields: Annotated[dict[Annotated[str, Meta(max_length=200)], Any], Meta(max_length=100)] = {}
    planned: When | None = None
    to: When | None = None
    count: int = 1
    force: bool = False
    forget: bool = False
    pending: Annotated[str, Meta(max_length=100)] = "run"


class ActiveRequest(Request, frozen=True, kw_only=True):
    minion: MinionId | None = None
    limit: Annotated[int, Meta(ge=1, le=LIST_LIMIT)] = 50
    cursor: Jid | None = None


class StopRequest(Request, frozen=True, kw_only=True):
    jid: Jid
    how: How
    signal: Annotated[int, Meta(ge=1, le=64)] | None = None
    grace: Seconds | None = None
    minions: list[MinionId] | None = None


class KeysRequest(Request, frozen=True, kw_only=True):
    ids: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=10_000)] | None = None
    """Minion ids, and fingerprints or beginnings of them."""
    all: bool = False


class RotateRequest(Request, frozen=True, kw_only=True):
    ids: list[MinionId] | None = None
    all: bool = False


class RekeyRequest(Request, frozen=True, kw_only=True):
    finish: bool = False
    force: bool = False


class TokenRequest(Request, frozen=True, kw_only=True):
    minion: MinionId | None = None
    ttl: Annotated[float, Meta(gt=0, le=30 * 86400)] = 3600.0
    address: Annotated[str, Meta(max_length=255)] | None = None


class Defaults(Struct, frozen=True, kw_only=True):
    """What the settings say where a request is silent. Seconds."""

    start_within: float
    grace: float
    schedule_timeout: float = 0.0
    """Of runs of the schedule; 0 is no limit."""
    queue: bool = False
    """Whether jobs wait for minions that are away."""
