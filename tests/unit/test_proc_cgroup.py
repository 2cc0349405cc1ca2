"""A cgroup that somebody else removes while a supervisor looks at it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from common.proc.cgroup import Cgroup


def test_one_that_was_removed_is_empty(tmp_path: Path) -> None:
    gone = Cgroup(tmp_path / "jr-gone")
    assert gone.is_empty()
    gone.kill()
    assert gone.remove()
    assert gone.pids() == []


def test_one_that_is_removed_between_open_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says ENODEV then; a starting spawner tidies up empty cgroups of others."""
    def removed(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(Path, "read_text", removed)
    assert Cgroup(tmp_path).is_empty()


def test_other_trouble_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", broken)
    with pytest.raises(OSError, match="Input/output"):
        Cgroup(tmp_path).is_empty()
