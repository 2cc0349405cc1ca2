"""What more than one file of the contract tests stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lib.schedule_files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The settings file and the schedule folder of a minion, empty."""
    return Files(tmp_path)
