"""`jr-master`: the master's daemon, in the foreground."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from common import clock
from common.cli.main import main as run
from common.cli.options import root_option
from common.errors import Exit, UsageError
from common.files import FolderLock, private_folder
from common.log import setup
from config.load import SettingsError, describe, load_master, source_of
from config.paths import Paths, find
from config.shelf import review
from master.daemon import MasterDaemon
from master.schedules import unfit
from master.store.backups import Backups

_NEWEST = "newest"


_EXAMPLES = """\b
Examples:
  jr-master --check-config
  JR_MASTER_PORT=4600 jr-master
  jr-master --backup
"""


@click.command(epilog=_EXAMPLES)
@root_option
@click.option("--check-config", is_flag=True, help="Say what the settings are and where each came from.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="text or json.")
@click.option("--backup", is_flag=True, help="Copy the database now, also while the master runs, and end.")
@click.option("--restore", metavar="[FILE]", is_flag=False, flag_value=_NEWEST,
              help="Put a backup, the newest unless one is named, in the place of the database, and end.")
def command(root: str | None, check_config: bool, log_level: str | None, log_format: str | None, backup: bool,
            restore: str | None) -> int:
    """Run the master in the foreground, until SIGTERM or Ctrl-C.

    Settings come from etc/jr/master.yaml, JR_MASTER_* variables and flags, the later ones first. Stopping the master
    stops no job: minions go on and deliver their returns when it is back.
    """
    paths = find(root, os.environ)
    loaded = load_master(paths, os.environ, {"log_level": log_level, "log_format": log_format})
    source = source_of(loaded, paths.master_settings, paths.master_schedules)
    if check_config:
        found = review(source, master=True, unfit=unfit)
        click.echo("\n".join([*describe(loaded), *found.lines]))
        for line in found.warnings:
            click.echo(f"warning: {line}", err=True)
        if found.problems:
            raise SettingsError(found.problems)
        return Exit.OK
    backups = Backups(paths.master_state / "jr.db", loaded.settings.backups)
    if backup:
        click.echo(backups.make(clock.wall()).path)
        return Exit.OK
    if restore is not None:
        _restore(paths, backups, restore)
        return Exit.OK
    setup(loaded.settings.log_level, loaded.settings.log_format)
    asyncio.run(MasterDaemon(loaded.settings, paths, source).run())
    return Exit.OK


def _restore(paths: Paths, backups: Backups, chosen: str) -> None:
    lock = FolderLock(private_folder(paths.master_state))
    try:
        newest = backups.newest()
        if chosen == _NEWEST and newest is None:
            raise UsageError(f"cannot restore: there is no backup in {backups.folder}")
        path = newest.path if chosen == _NEWEST and newest is not None else Path(chosen)
        aside = backups.restore(path, clock.wall())
    finally:
        lock.release()
    click.echo(f"restored {path}")
    if aside is not None:
        click.echo(f"what was there is in {aside}", err=True)
    click.echo("Keys that were rejected or deleted since then are accepted again: see jr-key list. Of the jobs that "
               "were published since then, those that minions have not returned yet are known again when they do; what "
               "was returned and acknowledged is gone.", err=True)


def main() -> None:
    """The entry point."""
    run(command, "jr-master")
