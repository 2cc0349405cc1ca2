"""What grows old on a host's disk goes, and a disk that fails for a while ends nothing."""

from __future__ import annotations

import asyncio
import errno
import logging
from pathlib import Path
from typing import Any

import pytest

from common.host import shell
from common.host.core import Host
from common.host.job import Limits
from common.host.shell import HostShell
from tests.lib.cores import Table


class Out:
    """Nobody is told anything here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing is to be told: {name}")


async def kept(hands: HostShell, tries: asyncio.Semaphore, count: int) -> asyncio.Task[None]:
    """Housekeeping, once it has looked so many times."""
    task = asyncio.get_running_loop().create_task(hands.keep_house(60))
    for _ in range(count):
        await asyncio.wait_for(tries.acquire(), 10)
    return task


def test_a_disk_that_fails_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # P9
    monkeypatch.setattr(shell, "HOUSEKEEPING", 0.0)

    async def scene() -> None:
        hands = HostShell(Host(Limits(boot_id="boot"), Table()), tmp_path / "state", {}, Out(), {}, None)
        loop, tries = asyncio.get_running_loop(), asyncio.Semaphore(0)

        def fails(before: float) -> int:
            loop.call_soon_threadsafe(tries.release)
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(hands.folders, "drop_outputs", fails)
        task = await kept(hands, tries, 3)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hands.close()

    with caplog.at_level(logging.ERROR, "jr"):
        asyncio.run(scene())
    assert "cannot remove old output, and try again later: [Errno 24] Too many open files" in caplog.text
