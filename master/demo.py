"""The main story of jr, played on a fleet of its own: every command is shown, run for real, and checked."""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from common import clock
from common.errors import Exit, JrError
from master.fleet import Fleet

MINIONS = 3
SCHEDULE = {"heartbeat": {"function": "cmd.run", "args": ["echo still here"], "every": "2s"}}
"""What minion m1 does by itself: it stands in its settings file, as an operator would write it."""
AHEAD = 3.0
"""Seconds until the run of an entry that is added."""
PATIENCE = 20.0
"""Seconds to wait for two runs of it."""


class Story:
    """Runs commands against one fleet and shows them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._bin = Path(sysconfig.get_path("scripts"))

    def say(self, text: str) -> None:
        """A line between commands."""
        click.echo(click.style(f"\n# {text}", bold=True))

    def run(self, line: str, expected: Sequence[int] = (Exit.OK,), *, show: bool = True) -> str:
        """Run one command line of jr, shown with its output; returns stdout. Raises JrError for another exit code."""
        words = shlex.split(line)
        if show:
            click.echo(click.style(f"$ {line}", fg="green"))
        done = subprocess.run([str(self._bin / words[0]), *words[1:]], capture_output=True, text=True, check=False,
                              timeout=60, env={**os.environ, "JR_ROOT": str(self._fleet.root)})
        if show:
            click.echo(done.stdout + done.stderr, nl=False)
        if done.returncode not in expected:
            raise JrError(f"cannot go on with the demo: `{line}` ended with exit code {done.returncode}")
        return done.stdout.strip()

    def show_file(self, path: Path) -> None:
        """Show a file as `cat` does."""
        click.echo(click.style(f"$ cat {path}", fg="green"))
        click.echo(path.read_text("utf-8"), nl=False)


def play() -> int:
    """Play it all in a temporary folder; whatever happens, nothing is left running and the folder is removed."""
    with tempfile.TemporaryDirectory(prefix="jr-demo-") as folder:
        root = Path(folder) / "fleet"
        fleet = Fleet(root)
        try:
            click.echo(f"Starting a master and {MINIONS} minions below {root} ...")
            fleet.up(MINIONS, {"m1": {"schedule": SCHEDULE}})
            _story(Story(fleet))
        finally:
            fleet.down(purge=True)
    click.echo(click.style("\nThe fleet is stopped and its files are gone.", bold=True))
    return Exit.OK


def _story(story: Story) -> None:
    story.say("Who is there?")
    story.run("jr '*' test.ping")
    story.say("Run a command on all of them.")
    story.run("jr '*' cmd.run 'echo hello from pid $$'")
    story.say("A minion that does not exist is told at once; the exit code is 6.")
    story.run("jr -L m1,ghost test.ping", (Exit.INCOMPLETE,))
    story.say("Start a long job and do not wait for it.")
    jid = story.run("jr --async '*' cmd.run 'sleep 100'")
    _wait_for_start(story, jid)
    story.run("jr-run jobs.active")
    story.say("Every running job has a file on its minion.")
    story.show_file(story._fleet.minions[1].state / "proc" / f"{jid}.json")
    story.say("Kill it everywhere, and look what became of it.")
    story.run(f"jr-run jobs.kill {jid}")
    story.run(f"jr-run jobs.lookup_jid {jid}")
    _schedules(story)
    story.say("All of history.")
    story.run("jr-run jobs.list_jobs limit=10")


def _schedules(story: Story) -> None:
    story.say("Minion m1 has a schedule of its own: every 2 s it says that it is still here.")
    _wait_for_runs(story)
    story.run("jr-run jobs.list_jobs schedule=heartbeat limit=2")
    story.say("What would a line of a crontab do?")
    story.run("jr-run schedule.explain '30 2 * * 1-5' count=2")
    story.say("Give m2 an entry, at a time of day that is near; it needs no master to run it.")
    at = datetime.fromtimestamp(clock.wall() + AHEAD, clock.local_zone())
    story.run(f"""jr m2 schedule.add report function=cmd.run args='["echo all is well"]' at={at:%H:%M:%S}""")
    _wait(story, "jr-run schedule.audit name=report -o json", lambda text: '"succeeded"' in text, "the entry has run")
    story.say("Every planned run has exactly one verdict.")
    story.run("jr-run schedule.audit limit=5")
    story.say("Look ahead: when will it run, and does anything stand in its way?")
    story.run("jr-run schedule.simulate name=report days=2")


def _wait_for_start(story: Story, jid: str) -> None:
    _wait(story, "jr-run jobs.active -o json", lambda text: text.count('"pid"') >= MINIONS, "the job runs everywhere")


def _wait_for_runs(story: Story) -> None:
    _wait(story, "jr-run jobs.list_jobs schedule=heartbeat -o json", lambda text: text.count('"succeeded"') >= 2,
          "the schedule has fired twice")


def _wait(story: Story, line: str, enough: object, what: str) -> None:
    deadline = clock.boottime() + PATIENCE
    assert callable(enough)
    while not enough(story.run(line, show=False)):
        if clock.boottime() > deadline:
            raise JrError(f"cannot go on with the demo: waited {PATIENCE:.0f} s in vain until {what}")
        select.select([], [], [], 0.2)
