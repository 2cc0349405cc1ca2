"""Where a command's own options end and the function's arguments begin, and what those arguments say.

The rule, for `jr [OPTIONS] TARGET FUNCTION [ARG | KEY=VALUE]...` and the commands like it:

- before FUNCTION every option is the command's; an unknown one is an error;
- after FUNCTION the command still takes its own long options, by their full names, and `-o`, so that they may be
  appended; everything else belongs to the function as it was typed, also `-l`, `-L` and options nobody knows;
- after `--` everything belongs to the function, and nothing is read as KEY=VALUE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import click

from common.errors import UsageError

_KEY_VALUE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_APPENDED = "-o"
"""The one short option that is also taken after FUNCTION."""


class Arguments(NamedTuple):
    """What a function is called with: text, as it was typed."""

    args: list[str]
    kwargs: dict[str, str]


class Line(NamedTuple):
    """A command line, taken apart."""

    own: list[str]
    """Options of the command, with their values."""
    names: list[str]
    """What stands before the arguments: TARGET and FUNCTION, or FUNCTION alone."""
    given: list[str]
    """Arguments of the function that may be KEY=VALUE."""
    verbatim: list[str]
    """Those after `--`."""


def split(words: Iterable[str], names: int, options: Mapping[str, bool]) -> Line:
    """Take a command line apart. `options` tells for every spelling of an option whether a value follows it.

    Raises UsageError when an option lacks its value.
    """
    line = Line([], [], [], [])
    left = iter(words)
    for word in left:
        named = len(line.names) == names
        if word == "--":
            rest = list(left)
            missing = names - len(line.names)
            line.names.extend(rest[:missing])
            line.verbatim.extend(rest[missing:])
        elif _is_own(word, named, options):
            line.own.append(word)
            if _wants_value(word, options):
                line.own.append(_value(word, left))
        else:
            (line.given if named else line.names).append(word)
    return line


def parse(given: Sequence[str], verbatim: Sequence[str]) -> Arguments:
    """The arguments that these words stand for. Raises UsageError when a key comes twice."""
    found = Arguments([], {})
    for word in given:
        match = _KEY_VALUE.fullmatch(word)
        if match is None:
            found.args.append(word)
        elif match[1] in found.kwargs:
            raise UsageError(f"cannot call the function: {match[1]}= is given twice")
        else:
            found.kwargs[match[1]] = match[2]
    found.args.extend(verbatim)
    return found


class FunctionCommand(click.Command):
    """A command that calls a function: its line is read by the rule above, the arguments come as `arguments`."""

    names = 1
    """How many names stand before the arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        line = split(args, self.names, self._spellings(ctx))
        ctx.params["arguments"] = parse(line.given, line.verbatim)
        try:
            return super().parse_args(ctx, [*line.own, "--", *line.names])
        except click.UsageError as error:
            if not line.given or isinstance(error, click.NoSuchOption):
                raise  # an unknown option can only stand before FUNCTION
            message = f"{error.format_message()} (what belongs to {line.names[-1]} goes after --)"
            raise click.UsageError(message, ctx) from error

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[ARG | KEY=VALUE]..."]

    def _spellings(self, ctx: click.Context) -> dict[str, bool]:
        return {
            spelling: not (option.is_flag or option.count)
            for option in self.get_params(ctx) if isinstance(option, click.Option)
            for spelling in (*option.opts, *option.secondary_opts)
        }


class TargetCommand(FunctionCommand):
    """The same with a target before the function."""

    names = 2


def _is_own(word: str, named: bool, options: Mapping[str, bool]) -> bool:
    if not named:
        return word.startswith("-") and word != "-"
    return word == _APPENDED or (word.startswith("--") and word.partition("=")[0] in options)


def _wants_value(word: str, options: Mapping[str, bool]) -> bool:
    """True when the value of this option is the next word: `-o`, `--wait`, and the last of a bundle such as `-Lo`."""
    if word.startswith("--"):
        return "=" not in word and options.get(word, False)
    for number, letter in enumerate(word[1:], start=2):
        if options.get(f"-{letter}", False):
            return number == len(word)
    return False


def _value(option: str, left: Iterator[str]) -> str:
    for word in left:
        return word
    raise UsageError(f"cannot read the command line: {option} needs a value")
