"""`jr`: run a function on minions and show what comes back."""

from __future__ import annotations

import os
from typing import get_args

import click

from common import clock
from common.choices import LeftBehind, Offline, TargetType
from common.cli.arguments import Arguments, TargetCommand
from common.cli.main import main as run_command
from common.cli.options import duration, pairs, positive_duration, root_option
from common.cli.printer import Printer, output_option
from common.cli.secrets import secret_option, with_secrets
from common.errors import Exit, UsageError
from common.output import Format
from config.paths import find
from master.cli.follow import Follower, answer_seconds
from runners.client import ControlMaster

NAME = "jr"
HELP = """Run FUNCTION on the minions that TARGET picks, and show what each returns.

\b
  jr '*' test.ping                        all minions; TARGET is a glob
  jr -L web1,web2 cmd.run 'df -h /'       a list of minions; a shell line
  jr -E 'web[0-9]+' cmd.exec ls -l /srv   a regular expression; no shell
  jr '*' cmd.run 'make' cwd=/src env='{CC: gcc}'
  jr --secret password=@/etc/site/pw 'db*' site.rotate   shown as *** everywhere
  jr --async '*' cmd.run 'sleep 100'      print the jid, do not wait
  jr --wait 30 '*' cmd.run ./backup         wait 30 s at most; the job goes on
  jr --timeout 5m '*' cmd.run ./backup      a time limit for the job itself
  jr --offline queue --expires 2h db1 cmd.run ./upgrade   wait for a minion that is away
  jr '*' test.ping -o json | jq .counts

Options of jr may stand anywhere before FUNCTION. After it jr still takes its long options and -o; all else belongs to
the function, as it was typed. After -- everything belongs to the function, and nothing is read as KEY=VALUE:

\b
  jr '*' cmd.exec -- kubectl get pods -o json

Ctrl-C detaches: the job goes on, its jid is printed.

\b
Exit codes, the first that fits:
  130  interrupted            124  --wait is over, some minion has not ended
  1    failed, killed or timed out somewhere
  6    undelivered, lost or refused somewhere
  0    succeeded everywhere
  2    wrong usage      3  nothing matched
  4    not allowed      5  the master is not there
"""


@click.command(NAME, cls=TargetCommand, help=HELP)
@click.argument("target")
@click.argument("function")
@click.option("-L", "as_list", is_flag=True, help="TARGET is a list of minion ids: a,b,c.")
@click.option("-E", "as_regex", is_flag=True, help="TARGET is a regular expression, matched from the start of an id.")
@click.option("--async", "detached", is_flag=True, help="Print the jid alone and do not wait.")
@click.option("--wait", metavar="SECONDS", callback=duration, help="Wait no longer than this; the job goes on.")
@click.option("--timeout", metavar="DURATION", callback=positive_duration,
              help="End the job where it runs longer than this, such as 90, 30s, 5m.")
@click.option("--expires", metavar="DURATION", callback=positive_duration,
              help="Where the job has not started by then it never will.")
@click.option("--grace", metavar="DURATION", callback=duration,
              help="Time between TERM and KILL when the job is ended.")
@click.option("--offline", type=click.Choice(get_args(Offline)),
              help="For minions that are not connected: wait for them until the job --expires, or be undelivered.")
@click.option("--left-behind", type=click.Choice(get_args(LeftBehind)),
              help="What becomes of processes that the job leaves behind when it ends by itself.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, callback=pairs,
              help="A note on the job, to find it by; may be repeated.")
@secret_option
@output_option
@root_option
def command(
    target: str, function: str, arguments: Arguments, as_list: bool, as_regex: bool, detached: bool,
    wait: float | None, timeout: float | None, expires: float | None, grace: float | None, offline: Offline | None,
    left_behind: LeftBehind | None, metadata: dict[str, str], secret: tuple[str, ...], fmt: Format, root: str | None,
) -> Exit:
    until = None if wait is None else clock.boottime() + wait
    arguments, marked = with_secrets(arguments, secret)
    master = ControlMaster(find(root, os.environ).master_socket, answer_seconds=answer_seconds(wait))
    stream = master.publish(
        target, _target_type(as_list, as_regex), function, arguments.args, arguments.kwargs, typed=True,
        timeout=timeout, start_within=expires, grace=grace, metadata=metadata, offline=offline,
        left_behind=left_behind, follow=not detached, until=until, secret=marked,
    )
    follower = Follower(master, Printer(NAME, fmt), root)
    return follower.start(stream) if detached else follower.follow(stream, wait)


def _target_type(as_list: bool, as_regex: bool) -> TargetType:
    if as_list and as_regex:
        raise UsageError("cannot read the target: -L and -E exclude each other")
    if as_list:
        return "list"
    return "regex" if as_regex else "glob"


def main() -> None:
    """Entry point."""
    run_command(command, NAME)
