"""The space that is set aside for a purge on a full disk."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from common.ballast import MOST, Ballast


def test_it_takes_real_space_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "jr.db.ballast"
    ballast = Ballast(path)
    assert ballast.keep()
    status = path.stat()
    assert 0 < status.st_size <= MOST
    assert status.st_blocks * 512 >= status.st_size
    assert stat.S_IMODE(status.st_mode) == 0o600
    ballast.release()
    assert not path.exists()


def test_to_keep_and_to_release_may_be_repeated(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast")
    ballast.release()
    assert ballast.keep()
    assert ballast.keep()
    ballast.release()
    ballast.release()


def test_one_that_had_to_be_small_grows_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "ballast"
    path.write_bytes(b"\0" * 65536)
    assert Ballast(path).keep()
    assert path.stat().st_size > 65536


def test_no_folder_is_a_warning_and_no_want_of_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jr.ballast"):
        assert Ballast(tmp_path / "missing" / "ballast").keep()
    [record] = caplog.records
    assert "cannot set space aside" in record.getMessage()
    assert record.__dict__["action"] == "ballast.failed"
