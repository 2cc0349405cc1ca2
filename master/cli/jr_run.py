"""`jr-run`: look at jobs and minions, wait for jobs and stop them; run custom runners on the master."""

from __future__ import annotations

import os

import click

from common import clock
from common.cli.arguments import Arguments, FunctionCommand
from common.cli.main import main as run_command
from common.cli.options import duration, positive_duration, root_option
from common.cli.printer import Printer, output_option
from common.cli.secrets import secret_option, with_secrets
from common.errors import Exit, JrError, UsageError
from common.output import Format
from common.text import escape
from config.paths import find
from master.cli.follow import Follower, answer_seconds
from runners import registry
from runners.client import ControlMaster

NAME = "jr-run"
HELP = """Run a runner: a function that works on the master and looks at jobs and minions.

\b
  jr-run                                    list the runners
  jr-run -d jobs.list_jobs                  what one of them does
  jr-run jobs.active                        what runs now, and where
  jr-run jobs.list_jobs state=failed since=2h
  jr-run jobs.lookup_jid 20260102030405123456 -o json
  jr-run --wait 60 jobs.wait 20260102030405123456
  jr-run jobs.kill 20260102030405123456 minions=web1
  jr-run manage.down
  jr-run --secret token=@/etc/site/token site.deploy    of a custom runner; shown as ***

A runner that is not built in runs as a job of its own on the master; --async prints its jid, Ctrl-C detaches from it.

Options may stand anywhere before FUNCTION. After it jr-run still takes its long options and -o; all else belongs to the
runner. After -- nothing is read as KEY=VALUE.

\b
Exit codes:
  of jobs.wait, jobs.exit_success and custom runners: those of jr
  of jobs.kill, jobs.term: 0 when all that was open was killed by it
  of the others: 0; and of all of them: 2 wrong usage, 3 no such job
  or runner, 4 not allowed, 5 the master is not there
"""


@click.command(NAME, cls=FunctionCommand, help=HELP)
@click.argument("function", required=False)
@click.option("--list", "listing", is_flag=True, help="List the runners, a line for each.")
@click.option("-d", "--doc", "documentation", is_flag=True, help="Show what FUNCTION does.")
@click.option("--async", "detached", is_flag=True, help="Of a custom runner print the jid alone and do not wait.")
@click.option("--wait", metavar="SECONDS", callback=duration, help="Wait no longer than this; the job goes on.")
@click.option("--timeout", metavar="DURATION", callback=positive_duration,
              help="End a custom runner that runs longer than this.")
@secret_option
@output_option
@root_option
def command(
    function: str | None, arguments: Arguments, listing: bool, documentation: bool, detached: bool,
    wait: float | None, timeout: float | None, secret: tuple[str, ...], fmt: Format, root: str | None,
) -> Exit:
    printer = Printer(NAME, fmt)
    master = ControlMaster(find(root, os.environ).master_socket, answer_seconds=answer_seconds(wait))
    if listing or function is None:
        if documentation:
            raise UsageError("cannot show what a runner does: name one, such as jr-run -d jobs.active")
        return _list(printer, master)
    if documentation:
        printer.text(_documentation(function, master))
        return Exit.OK
    if registry.find(function) is not None:
        _refuse(function, {"--async": detached, "--timeout": timeout is not None, "--secret": bool(secret)})
        return _built_in(function, arguments, wait, master, printer)
    if registry.is_built_in(function):
        raise registry.unknown(function, registry.BUILT_IN)
    until = None if wait is None else clock.boottime() + wait
    arguments, marked = with_secrets(arguments, secret)
    stream = master.run(function, arguments.args, arguments.kwargs, typed=True, timeout=timeout, follow=not detached,
                        until=until, secret=marked)
    follower = Follower(master, printer, root)
    return follower.start(stream) if detached else follower.follow(stream, wait)


def _list(printer: Printer, master: ControlMaster) -> Exit:
    """A line for each runner; the custom ones only when the master is there to name them."""
    summaries = {name: registry.summary(name) for name in registry.BUILT_IN}
    try:
        custom = master.ask("runners")["runners"]
    except JrError as error:
        printer.note(f"cannot list the custom runners: {error}")
    else:
        summaries |= {name: _summary(text) for name, text in custom.items() if name not in summaries}
    printer.show("summaries", summaries)
    return Exit.OK


def _summary(text: str) -> str:
    """The first line of what a runner says of itself, below how it is called."""
    return next((line.strip() for line in text.splitlines()[1:] if line.strip()), "")


def _documentation(function: str, master: ControlMaster) -> str:
    """What a runner says of itself. Raises NotFoundError, UnreachableError."""
    if registry.is_built_in(function):
        return registry.documentation(function)
    custom: dict[str, str] = master.ask("runners")["runners"]
    if function not in custom:
        raise registry.unknown(function, [*registry.BUILT_IN, *custom])
    return escape(custom[function], keep="\n")


def _built_in(name: str, arguments: Arguments, wait: float | None, master: ControlMaster, printer: Printer) -> Exit:
    """Run it here, in this process."""
    kwargs: dict[str, object] = dict(arguments.kwargs)
    if wait is not None:
        _refuse(name, {"--wait": not registry.accepts(name, "wait")})
        kwargs.setdefault("wait", wait)
    report = registry.call(name, master, arguments.args, kwargs)
    printer.show(report.kind, report.value)
    printer.note(report.note)
    if printer.fmt == "table":
        printer.note(report.empty)
    return report.exit


def _refuse(name: str, given: dict[str, bool]) -> None:
    """Raises UsageError for an option that would be passed over in silence."""
    for option, wrong in given.items():
        if wrong:
            raise UsageError(f"cannot run {name}: it takes no {option}; it is called as: {registry.usage(name)}")


def main() -> None:
    """Entry point."""
    run_command(command, NAME)
