"""The pids of dead jobs belong to strangers: see tests/chaos/recycled.py, which runs in a pid namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import recycled

ROOT = Path(__file__).parent.parent.parent
SECONDS = 110.0


def test_a_stranger_with_the_pid_of_a_dead_job_is_never_touched() -> None:
    # R-A17, S07, P6
    if why := recycled.missing():
        pytest.skip(why)
    ended = subprocess.run(recycled.inside(sys.executable, "-m", "tests.chaos.recycled"), capture_output=True,
                           text=True, cwd=ROOT, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended
    assert "died_beside_the_agent: 8 strangers by now, none was touched" in ended.stdout


def test_a_stranger_that_is_touched_is_found() -> None:
    # The check itself: a signal, a stop and a death are all seen.
    if why := recycled.missing():
        pytest.skip(why)
    script = """
import os, signal
from tests.chaos.recycled import settle_in
from tests.lib.wait import until
def is_found(stranger):
    try:
        stranger.check()
    except AssertionError:
        return True
    return False
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGSTOP, signal.SIGKILL):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    stranger = settle_in(child)
    stranger.check()
    os.kill(child, number)
    if number == signal.SIGKILL:
        os.waitpid(child, 0)
    until(lambda: is_found(stranger), what=number.name)  # a stop takes a moment
    print("found", number.name)
"""
    ended = subprocess.run(recycled.inside(sys.executable, "-c", script), capture_output=True, text=True, cwd=ROOT,
                           timeout=SECONDS, check=False)
    assert ended.stdout.split() == ["found", "SIGTERM", "found", "SIGUSR1", "found", "SIGSTOP", "found", "SIGKILL"]
