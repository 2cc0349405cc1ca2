"""`jr-master`: the master's daemon, in the foreground."""

from __future__ import annotations

import asyncio
import os

import click

from common.cli.main import main as run
from common.cli.options import root_option
from common.errors import Exit
from common.log import setup
from config.load import describe, load_master
from config.paths import find
from master.daemon import MasterDaemon


@click.command(epilog="Examples:  jr-master --root /srv/jr --check-config  |  JR_MASTER_PORT=4600 jr-master")
@root_option
@click.option("--check-config", is_flag=True, help="Say what the settings are and where each came from.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="text or json.")
def command(root: str | None, check_config: bool, log_level: str | None, log_format: str | None) -> int:
    """Run the master in the foreground, until SIGTERM or Ctrl-C.

    Settings come from etc/jr/master.yaml, JR_MASTER_* variables and flags, the later ones first. Stopping the master
    stops no job: minions go on and deliver their returns when it is back.
    """
    paths = find(root, os.environ)
    loaded = load_master(paths, os.environ, {"log_level": log_level, "log_format": log_format})
    if check_config:
        click.echo("\n".join(describe(loaded)))
        return Exit.OK
    setup(loaded.settings.log_level, loaded.settings.log_format)
    asyncio.run(MasterDaemon(loaded.settings, paths).run())
    return Exit.OK


def main() -> None:
    """The entry point."""
    run(command, "jr-master")
