"""Daemons at their limit of open files: jobs are neither lost nor damaged, and all is well once there is room again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.proc import lock, processes
from tests.process.starved import SCENES


@pytest.mark.parametrize("scene", SCENES)
def test_a_host_without_descriptors(tmp_path: Path, scene: str) -> None:
    """R-B34, in a process of its own, since it lowers its limit."""
    try:
        ended = subprocess.run([sys.executable, "-W", "error", "-m", "tests.process.starved", scene, str(tmp_path)],
                               capture_output=True, text=True, timeout=100, check=False)
    finally:
        end_jobs(tmp_path / "state")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr


def end_jobs(state: Path) -> None:
    """End what a scene that went wrong has left: a supervisor outlives whoever asked for it."""
    for claim in state.glob("claims/*"):
        supervisor = lock.holder(claim)
        if supervisor is None or supervisor < 0:
            continue
        for pid in (supervisor, *processes.walk(supervisor)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
