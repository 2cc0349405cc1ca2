"""What a host makes durable before any word of it leaves, and with how few syncs."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.host import effects as do
from common.host.core import Host, Limits
from common.host.shell import HostShell
from common.messages import Return
from common.states import State
from tests.lib.cores import FIELDS, Table, record
from tests.lib.stored import jid


@pytest.fixture
def hands(tmp_path: Path) -> HostShell:
    out: Any = None  # nothing is told in a commit
    return HostShell(Host(Limits(boot_id="boot"), Table()), tmp_path / "state", {}, out, {}, None)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder, or a file in it, was synced."""
    counted: Counter[str] = Counter()
    real = os.fsync

    def fsync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        counted[path.name if path.is_dir() else f"a file of {path.parent.name}"] += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return counted


def test_jobs_that_come_together_share_the_syncs_of_folders(hands: HostShell, syncs: Counter[str]) -> None:  # P1, P2
    effects: list[Any] = []
    for number in range(5):
        effects += [do.Claim(jid(number), 1000.0, 2000.0), do.SaveRecord(record(jid(number)))]
    hands._writer.commit(effects)
    assert syncs == {"a file of claims": 5, "a file of proc": 5, "claims": 1, "proc": 1}
    assert sorted(hands.folders.claims()) == [one.jid for one in hands.folders.records()[0]]
    assert len(hands.folders.claims()) == 5


def test_what_is_over_costs_no_sync(hands: HostShell, syncs: Counter[str]) -> None:
    hands._writer.commit([do.Claim(jid(1), 1000.0, 2000.0),
                   do.Spool(Return(jid=jid(1), job=FIELDS, state=State.KILLED, ended=1.0))])
    syncs.clear()
    hands._writer.commit([do.Forget(jid(1)), do.DropClaim(jid(1))])
    assert syncs == {}
    assert hands.folders.spool_list() == []
    assert hands.folders.claims() == {}
