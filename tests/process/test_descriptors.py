"""Daemons at their limit of open files: jobs are neither lost nor damaged, and all is well once there is room again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.starved import SCENES


@pytest.mark.parametrize("scene", SCENES)
def test_a_host_without_descriptors(tmp_path: Path, scene: str) -> None:
    """R-B34, in a process of its own, since it lowers its limit."""
    ended = subprocess.run([sys.executable, "-W", "error", "-m", "tests.process.starved", scene, str(tmp_path)],
                           capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
