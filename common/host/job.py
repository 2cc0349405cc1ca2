"""What a host core speaks of: moments, limits, how a function is called here, and a job in memory."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Raw, Struct

from common.choices import LeftBehind
from common.messages import NO_SECRETS, JobFields, Stopped
from common.proc.record import JobRecord
from common.states import State


class Now(Struct, frozen=True):
    """One moment, as both clocks of the host show it."""

    boot: float
    """CLOCK_BOOTTIME seconds: for everything that is measured."""
    wall: float
    """Epoch seconds: for what people read."""


class Plan(Struct, frozen=True):
    """How a function is to be called here."""

    args: list[Any]
    kwargs: dict[str, Any]
    timeout: float | None
    inline: bool
    reads: bool
    sealed: bytes = b""
    """The secrets among the arguments, packed; empty when there are none. `args` and `kwargs` are without them."""


class Planner(Protocol):
    """Knows the functions of this host."""

    def plan(self, fields: JobFields, secrets: Raw = NO_SECRETS) -> Plan:
        """How to call it; `secrets` is the packed map of what `fields` does not show.

        Raises JrError with one clear line when it cannot be called so.
        """


class Limits(Struct, frozen=True, kw_only=True):
    """What the host's settings say of every job."""

    boot_id: str
    start: int = 0
    """The start number of the agent, when there is a master that may have spoken to an earlier one."""
    max_jobs: int = 0
    """Jobs that run at once; 0 is no limit. The rest wait in order of arrival."""
    output_limit: int = 1024 * 1024
    return_limit: int = 512 * 1024
    left_behind: LeftBehind = "leave"


class Job(Struct):
    """A job in memory, until its return is acknowledged."""

    record: JobRecord
    state: State
    local: bool = False
    """It began here, so the master may never have heard of it."""
    starting: bool = False
    tries: int = 0
    stops: dict[str, Stopped | None] = {}
    """The stop requests that were taken, with the answer of the supervisor once it gave one."""
