"""`jr-key`: who belongs to the fleet. Accept, reject and delete the keys of minions; make join strings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from common.cli.main import main as run_command
from common.cli.options import inherited, positive_duration, root_option
from common.cli.printer import Printer, output_option
from common.errors import Exit, NotFoundError, UsageError
from common.output import FORMATS, Format
from common.text import local_time
from config.paths import find
from runners.client import ControlMaster

NAME = "jr-key"
HELP = """Decide which minions belong to the fleet.

\b
  jr-key list                       all keys and their states
  jr-key finger web1                compare with `jr-minion --finger`, then
  jr-key accept web1                let it in; web1 web2, or --all that wait
  jr-key reject web1                cut it, now
  jr-key delete web1                forget it
  jr-key delete 3f:9a               one key of several, by its fingerprint
  jr-key token --minion web1        a join string that accepts it at once:
                                    jr-minion --join STRING
  jr-key rotate web1                have it make itself a new key
  jr-key rotate-master              replace the master's own key

Exit codes: 0 done, 1 some were left by accept --all, 2 wrong usage, 3 no such key, 4 not allowed, 5 no master,
6 done in part.
"""

F = TypeVar("F", bound=Callable[..., Any])


def _chosen(function: F) -> F:
    """The keys that a command is for, or all."""
    function = click.option("--all", "every", is_flag=True, help="All keys that this can be done to.")(function)
    return click.argument("ids", nargs=-1, metavar="[ID|FINGERPRINT]...")(function)


def _common(function: F) -> F:
    """`--root` and `-o`, which may also stand before the verb."""
    output = click.option("-o", "--output", "fmt", type=click.Choice(FORMATS), callback=inherited,
                          help="How to print what comes back.")
    root = click.option("--root", metavar="DIR", callback=inherited, help="Where the installation lies.")
    return root(output(function))


@click.group(NAME, help=HELP, no_args_is_help=False)
@output_option
@root_option
def command(fmt: Format, root: str | None) -> None:
    """What is given here is read by the verbs."""


@command.command("list")
@_common
def list_keys(fmt: Format, root: str | None) -> Exit:
    """List all keys: pending, accepted, rejected, quarantined."""
    Printer(NAME, fmt).show("keys", _master(root).ask("keys"))
    return Exit.OK


@command.command()
@_chosen
@_common
def accept(ids: tuple[str, ...], every: bool, fmt: Format, root: str | None) -> Exit:
    """Let minions in: those named, or --all that wait. It also ends a quarantine."""
    return _change("accept", ids, every, fmt, root)


@command.command()
@_chosen
@_common
def reject(ids: tuple[str, ...], every: bool, fmt: Format, root: str | None) -> Exit:
    """Keep minions out; those that are connected are cut now."""
    return _change("reject", ids, every, fmt, root)


@command.command()
@_chosen
@click.option("--yes", is_flag=True, help="Really, when --all is given.")
@_common
def delete(ids: tuple[str, ...], every: bool, yes: bool, fmt: Format, root: str | None) -> Exit:
    """Forget keys; what their minions still owe becomes lost."""
    if every and not yes:
        raise UsageError("cannot delete all keys: that cuts the whole fleet; say --all --yes if it is meant")
    return _change("delete", ids, every, fmt, root)


@command.command()
@_chosen
@_common
def rotate(ids: tuple[str, ...], every: bool, fmt: Format, root: str | None) -> Exit:
    """Have minions replace their keys: those named, or --all. They must be connected; no job is disturbed."""
    if bool(ids) == every:
        raise UsageError("cannot rotate keys: name minions, or say --all, and not both")
    answer = _master(root).ask("keys.rotate", ids=None if every else list(ids), all=every)
    Printer(NAME, fmt).show("value", answer["minions"] if fmt == "table" else answer)
    return Exit.OK if all(outcome == "rotated" for outcome in answer["minions"].values()) else Exit.INCOMPLETE


@command.command("rotate-master")
@click.option("--finish", is_flag=True, help="Change over to the new key; all minions connect anew.")
@click.option("--force", is_flag=True, help="Also when minions have not confirmed it: each then needs a join string.")
@_common
def rotate_master(finish: bool, force: bool, fmt: Format, root: str | None) -> Exit:
    """Replace the master's own key. First all minions are told, then --finish changes over. No job is disturbed."""
    if force and not finish:
        raise UsageError("cannot force anything but the end: say --finish --force")
    answer = _master(root).ask("master.rotate", finish=finish, force=force)
    printer = Printer(NAME, fmt)
    if fmt != "table":
        printer.show("value", answer)
        return Exit.OK
    left = ", ".join(answer["missing"])
    printer.text(answer["fingerprint"])
    if answer["finished"]:
        printer.note("this is the master's key now" + (f"; new join strings are needed by: {left}" if left else ""))
    else:
        printer.note("this is the master's next key; " + (
            f"not confirmed yet by: {left}" if left else "all minions know it: jr-key rotate-master --finish"))
    return Exit.OK


@command.command()
@click.argument("minion", required=False, metavar="[ID]")
@_common
def finger(minion: str | None, fmt: Format, root: str | None) -> Exit:
    """Show fingerprints: of one minion, or of all. Without a name those of the master are shown as well."""
    answer = _master(root).ask("keys")
    wanted = [key for key in answer["keys"] if minion in (None, key["id"])]
    if minion is not None and not wanted:
        raise NotFoundError(f"cannot show the fingerprint of {minion!r}: no minion of this name has sent its key")
    found: dict[str, str] = {} if minion is not None else _own(answer["master"])
    # An id may have several keys, of which one is accepted at most: each is shown, or the wrong one would be trusted.
    ids = [key["id"] for key in wanted]
    for key in wanted:
        name = key["id"] if ids.count(key["id"]) == 1 else f"{key['id']} ({key['state']})"
        found[name] = key["fingerprint"]
    printer = Printer(NAME, fmt)
    printer.show("value", found)
    if minion is None and fmt == "table":
        printer.note(f"the master's public key, for master_key in the settings of minions: {answer['master']['key']}")
    return Exit.OK


@command.command()
@click.option("--minion", metavar="ID", help="Good for this minion alone.")
@click.option("--ttl", metavar="DURATION", default="1h", show_default=True, callback=positive_duration,
              help="How long it may be used.")
@click.option("--address", metavar="HOST", help="Where the minion reaches this master, when it cannot tell by itself.")
@_common
def token(minion: str | None, ttl: float, address: str | None, fmt: Format, root: str | None) -> Exit:
    """Print a join string. It is good once, and lets one minion in without further ado."""
    answer = _master(root).ask("token", minion=minion, ttl=ttl, address=address)
    printer = Printer(NAME, fmt)
    if fmt == "table":
        printer.text(answer["join"])
        printer.note(f"good once, until {local_time(answer['expires'])}, for minions that reach this master at "
                     f"{answer['address']}; on the minion: jr-minion --join STRING")
    else:
        printer.show("value", answer)
    return Exit.OK


def _own(master: dict[str, str]) -> dict[str, str]:
    """The fingerprints of the master: of its key, and of the one that it is about to have."""
    found = {"master": master["fingerprint"]}
    if "next_fingerprint" in master:
        found["master (next)"] = master["next_fingerprint"]
    return found


def _change(verb: str, ids: tuple[str, ...], every: bool, fmt: Format, root: str | None) -> Exit:
    if bool(ids) == every:
        raise UsageError(f"cannot {verb} keys: name minions or fingerprints, or say --all, and not both")
    answer = _master(root).ask(f"keys.{verb}", ids=None if every else list(ids), all=every)
    printer = Printer(NAME, fmt)
    if fmt == "table":
        printer.show("names", answer["changed"])
    else:
        printer.show("value", answer)
    left = answer.get("left", [])
    for key in left:
        printer.note(f"left {key['id']} {key['fingerprint']}: another key holds or claims this id")
    if not answer["changed"] and not left:
        printer.note(f"there was nothing to {verb}")
    return Exit.FAILED if left else Exit.OK


def _master(root: str | None) -> ControlMaster:
    return ControlMaster(find(root, os.environ).master_socket)


def main() -> None:
    """Entry point."""
    run_command(command, NAME)
