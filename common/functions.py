"""What function modules import, and the types of the function table. No loading here, and nothing heavy: the spawner
imports this file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar

from common.choices import How

if TYPE_CHECKING:
    from common.ids import Jid, MinionId

Kind = Literal["positional", "keyword", "var_positional", "var_keyword", "lifted"]
"""lifted: it looks like a keyword, but the function never gets it; see `LIFTED`."""
Hint = Literal["str", "int", "float", "bool", "list", "dict", "any"]

F = TypeVar("F", bound=Callable[..., Any])

LIFTED = frozenset({"timeout"})
"""Keyword-only parameters that become the job's own, when a function that returns a `Command` has them: the supervisor
keeps the time limit, so the function is not told."""

_READS = "_jr_inline_reads"
_ALONE = "_jr_inline_alone"
GIVEN = {"job": "Job", "agent": "Agent", "master": "Master"}
"""Parameters that jr fills in, by name, and their types. Nobody else can give `**kwargs` these names."""


class Failed(Exception):
    """Raise it to end the job `failed` with a message of your own; `value` is what the job returns all the same."""

    def __init__(self, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.value = value


@dataclass(frozen=True, slots=True)
class Command:
    """A function that returns one becomes that command: its exit code, output and process tree are the job's."""

    argv: list[str]
    cwd: str | None = None
    """The folder to run in; None is `/`."""
    env: Mapping[str, str] | None = None
    """Added to the environment that jobs get."""
    runas: str | None = None
    """The name of the user to run as; None is the user of the minion."""
    stdin: bytes | None = None
    """What the command reads; None is an empty input."""


@dataclass(frozen=True, slots=True)
class Job:
    """The job a function runs for. A function gets it by asking for a parameter `job: Job`."""

    jid: Jid
    function: str
    user: str


class Param(TypedDict):
    """One parameter of a function, as JSON."""

    name: str
    kind: Kind
    hint: Hint
    required: bool
    default: Any
    """None also when the default is no plain data."""


class FunctionInfo(TypedDict):
    """What the table knows of a function. `reads` is meaningful for inline ones: they change nothing."""

    doc: str
    params: list[Param]
    inline: bool
    reads: bool


Table = dict[str, FunctionInfo]


class StopAnswer(TypedDict):
    """What became of a request to stop or signal a job."""

    was: Literal["running", "queued", "finished", "unknown"]
    """What the minion knew of the job when the request came: an unknown job was never seen here."""
    outcome: Literal["stopping", "signalled", "cancelled", "ended", "failed"]
    """As in the message `Stopped`."""
    reason: str
    """Why it failed; else empty."""


class JobView(Protocol):
    """A proc record as a function sees it: `common.proc.record.JobRecord`, which has more fields, read-only.

    Named here by what it offers, since the spawner, which imports this file, must not load the record's own module.
    """

    @property
    def jid(self) -> Jid: ...
    @property
    def function(self) -> str: ...
    @property
    def accepted(self) -> float: ...
    @property
    def inline(self) -> bool: ...


class ScheduleLooks(Protocol):
    """What a schedule shows of its entries: `common.schedule.looks.Looks`. Each raises JrError."""

    async def entries(self) -> list[dict[str, Any]]: ...
    def show(self, name: str) -> dict[str, Any]: ...
    def status(self, name: str) -> dict[str, Any]: ...
    def upcoming(self, name: str, count: int = 1) -> dict[str, Any]: ...


class ScheduleView(Protocol):
    """The schedule of a minion as its functions see it: `common.schedule.desk.Desk`, which says what each one does.

    Named here by what it offers, for the same reason. `by` is who asks. Each raises JrError.
    """

    @property
    def looks(self) -> ScheduleLooks: ...
    async def add(self, name: str, fields: Mapping[str, Any], by: str) -> dict[str, Any]: ...
    async def modify(self, name: str, fields: Mapping[str, Any], by: str) -> dict[str, Any]: ...
    async def enable(self, name: str, enabled: bool, by: str) -> dict[str, Any]: ...
    async def delete(self, name: str, by: str) -> dict[str, Any]: ...
    async def copy(self, name: str, new_name: str, by: str) -> dict[str, Any]: ...
    async def move(self, name: str, new_name: str, by: str) -> dict[str, Any]: ...
    async def save(self) -> dict[str, Any]: ...
    async def reload(self, forget: bool = False) -> dict[str, Any]: ...
    async def run(self, name: str, by: str, force: bool = False) -> dict[str, Any]: ...
    async def skip(self, name: str, planned: str | float | None = None) -> dict[str, Any]: ...
    async def postpone(self, name: str, to: str | float, planned: str | float | None = None) -> dict[str, Any]: ...
    async def resume(self, name: str) -> dict[str, Any]: ...
    async def hold(self, by: str) -> dict[str, Any]: ...
    async def release(self, pending: str = "run") -> dict[str, Any]: ...


class Agent(Protocol):
    """What an inline function sees of the agent it runs in, through a parameter named `agent`."""

    @property
    def id(self) -> MinionId:
        """The minion's own id."""

    async def jobs(self) -> Sequence[JobView]:
        """The proc records, read from the proc directory and from nowhere else."""

    async def stop(self, jid: Jid, how: How, signal: int, grace: float | None, by: str) -> StopAnswer:
        """Stop or signal a job of this minion. Never raises for a bad jid.

        `signal` counts for `how="signal"` only; `grace` is the time between TERM and KILL in seconds, None for what the
        settings say.
        """

    def functions(self) -> Table:
        """The whole table: inline functions and those of the spawner."""

    @property
    def schedule(self) -> ScheduleView:
        """The schedule of this minion. Raises JrError while it cannot be used."""

    def known(self) -> Any:
        """What names of entries and periods mean here, a `common.schedule.ahead.known.Known`.

        When no agent runs it is what the files say.
        """

    def status(self) -> dict[str, Any]:
        """How the agent does: version, connection, containment, broken modules."""

    def facts(self) -> dict[str, Any]:
        """The facts, as last collected."""


def inline(*, reads: bool, alone: bool = True) -> Callable[[F], F]:
    """Mark a built-in function as one that answers inside the agent, at once.

    With `reads=True` it promises to change nothing, and its job leaves no proc record. With `alone=False` it is about
    what only an agent has that runs, and a jr-call without one does not begin it.
    """

    def mark(function: F) -> F:
        setattr(function, _READS, reads)
        setattr(function, _ALONE, alone)
        return function

    return mark


def inline_reads(function: Callable[..., Any]) -> bool | None:
    """What `@inline` said of this function; None when it is not inline."""
    reads: bool | None = getattr(function, _READS, None)
    return reads


def works_alone(function: Callable[..., Any]) -> bool:
    """What `@inline` said of this function; True also when it is not inline."""
    alone: bool = getattr(function, _ALONE, True)
    return alone


@functools.cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with its annotations as types; they stay text when one of them names nothing known.

    Kept for each function, since it costs more than many a call; whoever makes the table makes them for all its forks.

    Raises ValueError or TypeError for what has no signature.
    """
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # annotations kept as text are code of the module, so anything may come of them
        return inspect.signature(function)


def is_given(parameter: inspect.Parameter) -> bool:
    """True for `job: Job`, `agent: Agent` and a runner's `master: Master`, which jr fills in and users never see."""
    wants = GIVEN.get(parameter.name)
    # By name, since Master is a type of a layer above, and annotations may be text.
    return wants is not None and wants == getattr(parameter.annotation, "__name__", parameter.annotation)


def invoke(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], **given: object) -> Any:
    """Call a function of the table, with `job=`, `agent=` and `master=` put where it asks for them.

    Raises whatever it raises; an async function gives its coroutine.
    """
    positional, named = list(args), dict(kwargs)
    for index, parameter in enumerate(signature(function).parameters.values()):
        if not is_given(parameter) or parameter.name not in given:
            continue
        value = given[parameter.name]
        if parameter.kind is not parameter.KEYWORD_ONLY and index <= len(positional):
            positional.insert(index, value)
        else:
            named[parameter.name] = value
    return function(*positional, **named)
