"""What a host makes durable before any word of it leaves, and with how few syncs."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.errors import StateError
from common.host import effects as do
from common.host.core import Host
from common.host.job import Limits
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
    hands.queue.writer.commit(effects)
    assert syncs == {"a file of claims": 5, "a file of proc": 5, "claims": 1, "proc": 1}
    assert sorted(hands.folders.claims.all()) == [one.jid for one in hands.folders.open_jobs()[0]]
    assert len(hands.folders.claims.all()) == 5


def test_what_is_over_costs_no_sync(hands: HostShell, syncs: Counter[str]) -> None:
    hands.queue.writer.commit([do.Claim(jid(1), 1000.0, 2000.0),
                          do.Spool(Return(jid=jid(1), job=FIELDS, state=State.KILLED, ended=1.0))])
    syncs.clear()
    hands.queue.writer.commit([do.Forget(jid(1)), do.DropClaim(jid(1))])
    assert syncs == {}
    assert hands.folders.spool.jids() == []
    assert hands.folders.claims.all() == {}


def test_a_claim_never_stands_without_its_record(hands: HostShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-A1: who dies between the two must find a job to start, and not one that is forbidden to run."""
    one: list[Any] = [do.Claim(jid(1), 1000.0, 2000.0), do.SaveRecord(record(jid(1)))]
    two: list[Any] = [do.Claim(jid(2), 1000.0, 2000.0), do.SaveRecord(record(jid(2)))]

    def dies(*_: Any, **__: Any) -> None:
        raise OSError("the machine stands still")

    monkeypatch.setattr(hands.folders.claims, "add", dies)
    with pytest.raises(OSError, match="stands still"):
        hands.queue.writer.commit([do.Forget(jid(9)), *one, *two])
    assert [found.jid for found in hands.folders.open_jobs()[0]] == [jid(1)]
    assert hands.folders.claims.all() == {}


def test_a_job_that_was_claimed_gets_no_second_record(hands: HostShell) -> None:
    """P2."""
    assert hands.folders.claims.add(jid(1), 1000.0)
    with pytest.raises(StateError, match="it was claimed before"):
        hands.queue.writer.commit([do.Claim(jid(1), 1000.0, 2000.0), do.SaveRecord(record(jid(1)))])
    assert hands.folders.open_jobs() == ([], [])
