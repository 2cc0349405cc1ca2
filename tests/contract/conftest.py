"""What more than one file of the contract tests stands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from master.store.base import Store
from master.store.memory import MemoryStore
from master.store.sqlite import SqliteStore
from tests.lib.jr_run import JrRun
from tests.lib.schedule_files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The settings file and the schedule folder of a minion, empty."""
    return Files(tmp_path)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A new store of each kind in turn."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "jr.db")
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the control socket of a test lies; nothing is there yet."""
    return tmp_path / "run" / "jr" / "master.sock"


@pytest.fixture
def socket(path: Path) -> Path:
    """The same, by the name that tests of commands call it."""
    return path


@pytest.fixture
def jr_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> JrRun:
    """`jr-run` on the root of the test."""
    return JrRun(tmp_path, capsys)
