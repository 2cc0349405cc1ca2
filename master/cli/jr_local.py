"""`jr-local`: a whole fleet on this machine, to try jr out; real daemons, real jobs, nothing outside its root."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from common.cli.main import main as run
from common.cli.options import inherited
from common.errors import Exit
from master.demo import play
from master.fleet import Fleet

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_ROOT = "~/.jr-local"
_EXAMPLES = """\b
Examples:
  jr-local demo
  jr-local up --minions 5
  jr-local down --purge
"""
_HELP = f"Its folder; else JR_ROOT, else {DEFAULT_ROOT}."
_root = click.option("--root", metavar="DIR", callback=inherited, help=_HELP)


def _fleet(root: str | None) -> Fleet:
    chosen = root or os.environ.get("JR_ROOT") or DEFAULT_ROOT
    return Fleet(Path(chosen).expanduser())


@click.group(epilog=_EXAMPLES, no_args_is_help=False)
@click.option("--root", metavar="DIR", help=_HELP)
def command(root: str | None) -> None:
    """Run a fleet on this machine: one master and some minions, on the loopback address, below one folder.

    The folder is --root, else JR_ROOT, else ~/.jr-local. Nothing outside it is touched.
    """


@command.command()
@_root
@click.option("--minions", type=click.IntRange(1, 200), help="How many, at least; by default those that it has, or 3.")
def up(root: str | None, minions: int | None) -> int:
    """Start the fleet, or what is missing of it; safe to repeat."""
    fleet = _fleet(root)
    names = fleet.up(minions or len(fleet.minions) or 3, tell=partial(click.echo, err=True))
    count = f"{len(names)} minion{'s' * (len(names) > 1)}"
    click.echo(f"A master and {count} are up: {', '.join(names)}.", err=True)
    click.echo("Tell the other commands where it is:", err=True)
    click.echo(f"export JR_ROOT={shlex.quote(str(fleet.root))}")
    return Exit.OK


@command.command()
@_root
@click.option("--purge", is_flag=True, help="Remove its files as well.")
def down(root: str | None, purge: bool) -> int:
    """Stop the fleet, and kill the jobs that it still runs."""
    stopped = _fleet(root).down(purge=purge)
    click.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.", err=True)
    return Exit.OK


@command.command()
@_root
def status(root: str | None) -> int:
    """Say which daemons of the fleet run; exit code 3 when none does."""
    fleet = _fleet(root)
    running = 0
    for member in [fleet.master, *fleet.minions]:
        pid = fleet.pid(member)
        running += pid is not None
        click.echo(f"{member.name:8} {'down' if pid is None else f'up    pid {pid}':16} {member.paths.root}")
    return Exit.OK if running else Exit.NOT_FOUND


@command.command()
def demo() -> int:
    """Play the main story. It has a fleet of its own in a temporary folder, and leaves nothing behind."""
    return play()


def main() -> None:
    """The entry point."""
    run(command, "jr-local")
