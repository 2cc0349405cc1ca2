"""`--secret KEY=VALUE`: a named argument that only the payload may read, taken from the line, a file or stdin.

A process's arguments can be read by every user of its host, so a secret had better come by a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from common.cli.arguments import Arguments
from common.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

LIMIT = 128 * 1024
"""Bytes: no job takes more arguments."""
_HELP = ("An argument that only the job itself may read; whoever looks at the job is shown ***. VALUE may be @FILE, or "
         "@- for stdin, so that ps does not show it; @@ begins a value with one @. May be repeated.")


def secret_option(function: F) -> F:
    """The parameter `secret`: what was typed, for `with_secrets`."""
    return click.option("--secret", metavar="KEY=VALUE", multiple=True, help=_HELP)(function)


def with_secrets(arguments: Arguments, words: Sequence[str]) -> tuple[Arguments, list[str]]:
    """The arguments with those that `--secret` gave, and their names. Raises UsageError, which never quotes a value."""
    kwargs = dict(arguments.kwargs)
    names: list[str] = []
    if sum(word.endswith("=@-") for word in words) > 1:
        raise UsageError("cannot read two secrets from stdin")
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError("cannot read --secret: it must be KEY=VALUE, KEY=@FILE or KEY=@-")
        if key in kwargs:
            raise UsageError(f"cannot call the function: {key}= is given twice")
        kwargs[key] = _value(key, text)
        names.append(key)
    return Arguments(arguments.args, kwargs), names


def _value(key: str, text: str) -> str:
    if text.startswith("@@") or not text.startswith("@"):
        return text.removeprefix("@")
    where = "stdin" if text == "@-" else text[1:]
    try:
        # The path is whatever the operator named, a pipe or /dev/fd/3 as well.
        with open(0 if text == "@-" else text[1:], "rb", closefd=text != "@-") as file:
            data = file.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the secret {key} from {where}: {reason}") from error
    if len(data) > LIMIT:
        raise UsageError(f"cannot read the secret {key} from {where}: it has more than {LIMIT} bytes")
    try:
        return data.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the secret {key} from {where}: it is not UTF-8 text") from None
