"""`jr-call`: run a function on this host, through its agent, or without one."""

from __future__ import annotations

import os
from typing import Any

import click

from common.cli.arguments import Arguments, FunctionCommand
from common.cli.main import main as run
from common.cli.main import say
from common.cli.options import output_option, positive_duration, root_option
from common.cli.printer import Printer
from common.control import AGENT, Connection
from common.errors import UnreachableError
from common.output import Format
from config.paths import Paths, find
from runners.document import exit_code

NAME = "jr-call"


@click.command(cls=FunctionCommand, epilog="Examples:  jr-call test.ping  |  jr-call cmd.run 'df -h'  |  "
                                           "jr-call job.running -o json")
@root_option
@output_option
@click.option("--timeout", metavar="DURATION", callback=positive_duration, help="The job's own time limit, as in 30s.")
@click.argument("function")
def command(root: str | None, fmt: Format, timeout: float | None, function: str, arguments: Arguments) -> int:
    """Run FUNCTION on this host, and show what it returns.

    It is a job like any other: the agent runs it and the master is told. Without an agent it runs all the same, and the
    agent delivers its return when it starts.
    """
    paths = find(root, os.environ)
    request = {"function": function, "args": arguments.args, "kwargs": arguments.kwargs, "timeout": timeout,
               "typed": True}
    pairs = _ask(paths, request)
    Printer(NAME, fmt).show("pairs", pairs)
    return exit_code(str(pair["state"]) for pair in pairs.values())


def _ask(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    """The pair, by minion id: from the agent where there is one."""
    try:
        with Connection(paths.minion_socket, AGENT) as connection:
            *_, end = connection.stream("call", None, **request)
            found: dict[str, Any] = end["minions"]
            return found
    except UnreachableError as error:
        if paths.minion_socket.exists() and "no such socket" not in str(error) and "listens" not in str(error):
            raise
    return _alone(paths, request)


def _alone(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    # Most calls find an agent, and need none of what it takes to do without.
    from minion.standalone import run_alone

    say(NAME, "no agent runs on this host: calling without one")
    return run_alone(paths, request)


def main() -> None:
    """The entry point."""
    run(command, NAME)


