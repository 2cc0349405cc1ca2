"""The built-in runners by name. Their modules are loaded when they are asked for, so that a command starts fast."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from common.durations import parse_duration
from common.errors import NotFoundError, UsageError
from common.text import closest
from runners.api import Master, Report

Runner = Callable[..., Report]

BUILT_IN = (
    "jobs.active", "jobs.exit_success", "jobs.kill", "jobs.last_run", "jobs.list_job", "jobs.list_jobs",
    "jobs.lookup_jid", "jobs.print_job", "jobs.signal", "jobs.term", "jobs.wait",
    "manage.down", "manage.master", "manage.status", "manage.up",
    "schedule.add", "schedule.audit", "schedule.copy", "schedule.delete", "schedule.disable", "schedule.enable",
    "schedule.explain", "schedule.hold", "schedule.job_status", "schedule.list", "schedule.modify", "schedule.move",
    "schedule.postpone_job", "schedule.release", "schedule.reload", "schedule.resume", "schedule.run_job",
    "schedule.run_pending", "schedule.save", "schedule.show", "schedule.show_next_fire_time", "schedule.simulate",
    "schedule.skip_job",
)
"""Dispatch is by this table alone: a name that is not in it is never looked up in a module."""


def find(name: str) -> Runner | None:
    """The built-in runner of this name, or None."""
    if name not in BUILT_IN:
        return None
    module, function = name.split(".")
    # `schedule.list` is `list_` in its module, as with functions: the name is one of Python's own.
    code = importlib.import_module(f"runners.{module}")
    runner: Runner = getattr(code, function, None) or getattr(code, f"{function}_")
    return runner


def is_built_in(name: str) -> bool:
    """Whether a name is a built-in runner's, or at least in a module of those, so that nobody else can have it."""
    return name.partition(".")[0] in {known.partition(".")[0] for known in BUILT_IN}


def load(name: str) -> Runner:
    """The built-in runner of this name. Raises NotFoundError."""
    runner = find(name)
    if runner is None:
        raise unknown(name, BUILT_IN)
    return runner


def unknown(name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a runner that is not among those that are known, with what was probably meant."""
    meant = closest(name, known)
    hint = f"did you mean {meant}? " if meant else ""
    return NotFoundError(f"cannot run {name}: there is no such runner; {hint}`jr-run --list` shows them all")


def call(name: str, master: Master, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Report:
    """Call a built-in runner; text is converted to what its signature asks for.

    Raises NotFoundError for an unknown name, UsageError for arguments that do not fit, and what the runner raises.
    """
    runner = load(name)
    try:
        bound = inspect.signature(runner).bind(master, *args, **kwargs)
    except TypeError as error:
        raise UsageError(f"cannot run {name}: {error}; it is called as: {usage(name)}") from error
    for parameter, value in bound.arguments.items():
        hint = str(runner.__annotations__.get(parameter, ""))
        if isinstance(value, str):
            bound.arguments[parameter] = _converted(name, parameter, value, hint)
    return runner(*bound.args, **bound.kwargs)


def accepts(name: str, parameter: str) -> bool:
    """True when the built-in runner has a parameter of this name."""
    return parameter in inspect.signature(load(name)).parameters


def usage(name: str) -> str:
    """How a built-in runner is called: `jobs.kill JID [minions=] [wait=]`."""
    words = [name]
    for parameter in list(inspect.signature(load(name)).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            words.append(f"[{parameter.name}...]")
        else:
            words.append(parameter.name.upper() if parameter.default is parameter.empty else f"[{parameter.name}=]")
    return " ".join(words)


def summary(name: str) -> str:
    """What a built-in runner does, in one line."""
    return (inspect.getdoc(load(name)) or "").split("\n", 1)[0]


def documentation(name: str) -> str:
    """All that a built-in runner says of itself."""
    return f"{usage(name)}\n\n{inspect.getdoc(load(name)) or ''}"


def _converted(name: str, parameter: str, text: str, hint: str) -> Any:
    """The value that `text` stands for, by the annotation of its parameter. Raises UsageError."""
    try:
        if hint.startswith("Seconds"):
            return parse_duration(text)
        if hint.startswith("Ids"):
            return _ids(text)
        if hint.startswith("bool"):
            return _truth(text)
        return int(text) if hint.startswith("int") else text
    except ValueError as error:
        wanted = "a whole number" if hint.startswith("int") else str(error)
        raise UsageError(f"cannot run {name}: {parameter}={text} is wrong, it takes {wanted}") from error


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _ids(text: str) -> list[str]:
    """Minion ids. An empty list is no wish: `minions=$X` with an empty X must stop nothing, and say so."""
    ids = [minion.strip() for minion in text.split(",") if minion.strip()]
    if not ids:
        raise ValueError("minion ids, and names nobody")
    return ids
