"""Every example that a command, a runner or a function gives in its help is one that can be typed."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

import click
import pytest

from common.proc.loader import load
from common.values import bind
from master.cli import jr, jr_key, jr_local, jr_master, jr_run
from minion.cli import jr_call, jr_minion
from runners import registry

COMMANDS: dict[str, click.Command] = {
    "jr": jr.command, "jr-run": jr_run.command, "jr-key": jr_key.command, "jr-local": jr_local.command,
    "jr-master": jr_master.command, "jr-call": jr_call.command, "jr-minion": jr_minion.command}
TABLE = load({"packages": ["minion.functions"]}).table
EXAMPLE = re.compile(r"\s*(?:Example: )?(?:[A-Z_]+=\S+ )?((?:jr|jr-[a-z]+) .*?)(?:   .*)?")
"""A command line, and not what is said of it."""


def texts() -> Iterator[str]:
    for name, command in COMMANDS.items():
        yield command.get_help(click.Context(command, info_name=name, terminal_width=200)).partition("Usage: ")[2]
    for runner in registry.BUILT_IN:
        yield registry.documentation(runner)
    for info in TABLE.values():
        yield info["doc"]


def examples() -> list[str]:
    found = [match[1] for text in texts() for line in text.splitlines()[1:] if (match := EXAMPLE.fullmatch(line))]
    return sorted(set(found))


def parted(line: str) -> list[str]:
    """Its words, up to what reads from it."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|")
    words.whitespace_split = True
    words.commenters = ""
    return list(takewhile(lambda word: word != "|", words))


def test_there_are_examples_of_everything() -> None:
    assert {line.split()[0] for line in examples()} == COMMANDS.keys()
    assert len(examples()) > 100


@pytest.mark.parametrize("line", examples())
def test_an_example_can_be_typed(line: str) -> None:
    program, *words = parted(line)
    command = COMMANDS[program]
    context = command.make_context(program, list(words))
    if isinstance(command, click.Group):
        command.commands[words[0]].make_context(words[0], words[1:], parent=context)
        return
    name, arguments = context.params.get("function"), context.params.get("arguments")
    if name is None or arguments is None:
        return
    secret = [word.partition("=")[0] for word in context.params.get("secret", ())]
    kwargs = {**arguments.kwargs, **dict.fromkeys(secret, "x")}
    table = {known.partition(".")[0] for known in (registry.BUILT_IN if program == "jr-run" else TABLE)}
    if program == "jr-run" and name in registry.BUILT_IN:
        inspect.signature(registry.load(name)).bind(None, *arguments.args, **kwargs)
    elif name in TABLE:
        bind(TABLE[name], name, arguments.args, kwargs, True)
    else:
        assert name.partition(".")[0] not in table, "it may be a function of somebody's own alone"
