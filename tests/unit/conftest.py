"""What more than one file of the unit tests stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.proc.directory import JobFolders


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    """The folders of a host, new and empty."""
    return JobFolders(tmp_path / "state")
