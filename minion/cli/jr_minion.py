"""`jr-minion`: the minion's agent, in the foreground."""

from __future__ import annotations

import asyncio
import os

import click

from common.cli.main import main as run
from common.cli.options import root_option
from common.errors import Exit
from common.files import private_folder
from common.join import read_join
from common.keys import ensure, fingerprint
from common.log import setup
from config.load import SettingsError, describe, load_minion, source_of
from config.paths import find
from config.shelf import review
from minion.daemon import MinionDaemon

_EXAMPLES = """\b
Examples:
  jr-minion --check-config
  jr-minion --finger
  jr-minion --id web1 --join STRING
"""


@click.command(epilog=_EXAMPLES)
@root_option
@click.option("--join", metavar="STRING", help="What `jr-key token` printed on the master; needed once.")
@click.option("--id", "minion_id", metavar="ID", help="The minion id; by default the host's name.")
@click.option("--finger", is_flag=True, help="Show this minion's key as `jr-key finger` does on the master, and end.")
@click.option("--check-config", is_flag=True, help="Say what the settings are and where each came from.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="text or json.")
def command(root: str | None, join: str | None, minion_id: str | None, finger: bool, check_config: bool,
            log_level: str | None, log_format: str | None) -> int:
    """Run the minion's agent in the foreground, until SIGTERM or Ctrl-C.

    Settings come from etc/jr/minion.yaml, JR_MINION_* variables and flags, the later ones first. Stopping the agent
    stops no job: running ones go on, and the next start takes them over.
    """
    paths = find(root, os.environ)
    flags = {"join": join, "id": minion_id, "log_level": log_level, "log_format": log_format}
    loaded = load_minion(paths, os.environ, flags)
    source = source_of(loaded, paths.minion_settings, paths.minion_schedules)
    if check_config:
        if loaded.settings.join:
            read_join(loaded.settings.join)
        found = review(source)
        click.echo("\n".join([*describe(loaded), *found.lines]))
        for line in found.warnings:
            click.echo(f"warning: {line}", err=True)
        if found.problems:
            raise SettingsError(found.problems)
        return Exit.OK
    if finger:
        pair = ensure(private_folder(paths.minion_state) / "pki", "minion")
        click.echo(f"{loaded.settings.id}  {fingerprint(pair.public)}")
        return Exit.OK
    setup(loaded.settings.log_level, loaded.settings.log_format)
    asyncio.run(MinionDaemon(loaded.settings, paths, source).run())
    return Exit.OK


def main() -> None:
    """The entry point."""
    run(command, "jr-minion")
