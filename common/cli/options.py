"""Options that the commands share, and how their values are read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from common.durations import parse_duration

F = TypeVar("F", bound=Callable[..., Any])


def root_option(function: F) -> F:
    """`--root DIR`: the parameter `root`, None when it is not given."""
    return click.option("--root", metavar="DIR", help="Where the installation lies; else JR_ROOT, else the system.")(
        function
    )


def inherited(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A callback for options of a verb that may also stand before it: the value given after it wins."""
    if value is None and context.parent is not None and parameter.name is not None:
        given: str | None = context.parent.params[parameter.name]
        return given
    return value


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A callback for options that take `30s`, `5m` or a bare number of seconds."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not {error}.", context, parameter) from error


def positive_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The same, where no time at all would make no sense."""
    seconds = duration(context, parameter, value)
    if seconds == 0:
        raise click.BadParameter(f"{value!r} is no time at all.", context, parameter)
    return seconds


def pairs(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """A callback for options that take KEY=VALUE, any number of times."""
    found: dict[str, str] = {}
    for word in values:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{word!r} is not KEY=VALUE.", context, parameter)
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice.", context, parameter)
        found[key] = text
    return found


def root_hint(root: str | None) -> str:
    """What a command that is suggested to the user must carry to reach the same daemon, with a blank before it."""
    return f" --root {shlex.quote(root)}" if root else ""
