"""R-A23: the secrets of a job that is done are in no file of the store, its write-ahead log and its copies included."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from msgspec import Raw, structs

from common.codec import pack
from common.errors import UsageError
from common.messages import Publish
from common.secrets import opened
from common.states import State
from master.records import Job, SetDone
from master.store.backups import Backups
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, job, published

CANARY = b"canary-7Hq3xZ9kW2"


def secret_job(number: int, size: int) -> Job:
    """A job whose secret is the canary, again and again."""
    return structs.replace(job(number), secrets=Raw(pack({"password": (CANARY * (size // len(CANARY) + 1)).decode()})))


def found(folder: Path) -> list[str]:
    """Where the canary can be read."""
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and CANARY in path.read_bytes()]


@pytest.mark.parametrize("size", [10, 3_000, 100_000], ids=["in a page", "a page of its own", "many pages"])
def test_they_are_overwritten_when_their_jobs_are_done(tmp_path: Path, size: int) -> None:
    store = SqliteStore(tmp_path / "jr.db")
    numbers = list(range(30))
    for number in numbers:
        store.apply([published(secret_job(number, size))], NOON)
    assert found(tmp_path) != []
    for number in numbers[::2] + numbers[1::2]:
        store.apply([SetDone(jid(number), NOON, {State.SUCCEEDED: 1})], NOON)
    assert store.wipe()
    assert found(tmp_path) == []
    store.close()


def test_a_reader_holds_up_the_wiping_and_not_the_master(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jr.db", patience=60.0)
    store.apply([published(secret_job(1, 10))], NOON)
    with contextlib.closing(sqlite3.connect(tmp_path / "jr.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM secret").fetchone() == (1,)
        store.apply([SetDone(jid(1), NOON, {State.SUCCEEDED: 1})], NOON)
        assert not store.wipe()
        store.apply([published(job(2))], NOON)
    assert store.wipe()
    assert found(tmp_path) == []
    store.close()


def test_a_copy_has_none_and_its_job_is_not_run_without(tmp_path: Path) -> None:  # R-B29
    store = SqliteStore(tmp_path / "jr.db")
    store.apply([published(secret_job(1, 3_000))], NOON)
    backup = Backups(tmp_path / "jr.db", 2).make(NOON)
    assert found(tmp_path / "backups") == []
    store.close()

    restored = SqliteStore(backup.path)
    (open_job,) = restored.snapshot().jobs
    restored.close()
    message = Publish(jid=open_job.jid, job=open_job.fields, start_by=0.0, secrets=open_job.secrets)
    assert isinstance(message.secrets, Raw)
    with pytest.raises(UsageError, match="its secrets are gone, since backups of the master hold none"):
        opened(message.secrets)
