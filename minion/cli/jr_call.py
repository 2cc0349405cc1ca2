"""`jr-call`: run a function on this host, through its agent, or without one."""

from __future__ import annotations

import os
from typing import Any

import click

from common.cli.arguments import Arguments, FunctionCommand
from common.cli.main import main as run
from common.cli.main import say
from common.cli.options import positive_duration, root_option
from common.cli.printer import Printer, output_option
from common.cli.secrets import secret_option, with_secrets
from common.control import AGENT, AbsentError, Connection
from common.errors import DetachedError, UnreachableError
from common.exits import exit_code
from common.output import Format
from config.paths import Paths, find

NAME = "jr-call"
ANSWER_SECONDS = 10.0
"""How long the agent may take to say that it has the job, however long that runs then; it needs a disk write or two."""


_EXAMPLES = """\b
Examples:
  jr-call test.ping
  jr-call cmd.run 'df -h'
  jr-call job.running -o json
  jr-call --secret password=@/etc/site/pw site.rotate
"""


@click.command(cls=FunctionCommand, epilog=_EXAMPLES)
@root_option
@output_option
@secret_option
@click.option("--timeout", metavar="DURATION", callback=positive_duration, help="The job's own time limit, as in 30s.")
@click.argument("function")
def command(root: str | None, fmt: Format, secret: tuple[str, ...], timeout: float | None, function: str,
            arguments: Arguments) -> int:
    """Run FUNCTION on this host, and show what it returns.

    It is a job like any other: the agent runs it and the master is told. Without an agent it runs all the same, and the
    agent delivers its return when it starts.
    """
    paths = find(root, os.environ)
    arguments, marked = with_secrets(arguments, secret)
    request = {"function": function, "args": arguments.args, "kwargs": arguments.kwargs, "timeout": timeout,
               "typed": True, **({"secret": marked} if marked else {})}
    pairs = _ask(paths, request)
    printer = Printer(NAME, fmt)
    if fmt == "table":
        for minion, pair in pairs.items():
            printer.pair(minion, pair, "", function, 0)
    else:
        printer.show("pairs", pairs)
    return exit_code(str(pair["state"]) for pair in pairs.values())


def _ask(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    """The pair, by minion id: from the agent where there is one."""
    try:
        connection = Connection(paths.minion_socket, AGENT, answer_seconds=ANSWER_SECONDS)
    except AbsentError:
        return _alone(paths, request)
    with connection:
        return _through(connection, request)


def _through(connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
    """The agent's answer. When the agent goes away, its job may have begun: it is never begun again in another way."""
    jid = ""
    found: dict[str, Any] = {}
    try:
        for frame in connection.stream("call", None, **request):
            jid = frame.get("jid", jid)
            found = frame.get("minions", found)
    except UnreachableError as error:
        if not jid:
            raise
        raise UnreachableError(f"{error}; its job {jid} was begun, and is not begun again") from error
    except KeyboardInterrupt:
        raise DetachedError(detached(jid)) from None
    return found


def detached(jid: str) -> str:
    """What an interrupted command says of its job; `jid` is empty when the agent had not named it yet."""
    if not jid:
        return "interrupted before the agent had answered: jr-call job.running tells whether it took the job"
    return f"detached from {jid}, which goes on; look: {NAME} job.find_job {jid}; kill it: {NAME} job.kill_job {jid}"


def _alone(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    # Most calls find an agent, and need none of what it takes to do without.
    from minion.standalone import run_alone

    begun: list[str] = []
    try:
        return run_alone(paths, request, begun.append,
                         lambda: say(NAME, "no agent runs on this host: calling without one"))
    except KeyboardInterrupt:
        if not begun:
            raise
        raise DetachedError(detached(begun[0])) from None


def main() -> None:
    """The entry point."""
    run(command, NAME)


