"""The folders of a host's jobs: claims, records and stop requests, whatever the damage. Real files, no processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from common import clock
from common.proc.directory import JobFolders
from common.proc.folders.stops import STOPS_PER_JOB
from common.proc.record import encode_record
from tests.lib.folders import A, B, C, record, request, returned


def test_the_folders_are_ours_alone(folders: JobFolders) -> None:
    names = {path.name: path.stat().st_mode & 0o777 for path in folders.layout.state.iterdir()}
    assert names == dict.fromkeys(["proc", "claims", "secrets", "stops", "spool", "output", "quarantine"], 0o700)


def test_files_are_ours_alone(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    folders.stops.append(A, request())
    folders.end(returned(B))
    modes = {path.stat().st_mode & 0o777 for path in folders.layout.state.glob("*/*")}
    assert modes == {0o600}


# claims


def test_a_claim_is_made_once(folders: JobFolders) -> None:
    assert folders.claims.add(A, 12.5)
    assert not folders.claims.add(A, 99.0)
    assert folders.claims.all() == {A: (clock.boot_id(), 12.5, 0.0, False)}
    folders.claims.drop(A)
    assert folders.claims.all() == {}
    folders.claims.drop(A)
    assert folders.claims.add(A, 1.0)


@pytest.mark.parametrize("content", [b"", b"x", b"a b c", b"boot x", b"\xff\xfe 1"])
def test_a_claim_that_says_nothing_still_counts(folders: JobFolders, content: bytes) -> None:
    """P2: the mark that a jid was seen is the file, whatever a crash left of its text."""
    folders.layout.claim_of(A).write_bytes(content)
    assert folders.claims.all() == {A: ("", 0.0, 0.0, False)}
    assert not folders.claims.add(A, 1.0)


def test_strangers_among_the_claims(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    (folders.layout.claims / "not a jid").touch()
    (folders.layout.claims / B).mkdir()
    assert list(folders.claims.all()) == [A]
    assert len(list(folders.layout.quarantine.iterdir())) == 2


# records


def test_a_record_is_what_was_written(folders: JobFolders) -> None:
    wanted = record(schedule="nightly", timeout=3.0, cgroup="/x", user="grüße")
    folders.records.write(wanted)
    assert folders.records.read(A) == wanted
    assert folders.open_jobs() == ([wanted], [])
    folders.records.remove(A)
    assert folders.records.read(A) is None
    assert folders.open_jobs() == ([], [])


def _symlink(path: Path) -> None:
    (path.parent.parent / "target").write_bytes(encode_record(record()))
    path.symlink_to(path.parent.parent / "target")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.touch(),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "no map": lambda path: path.write_text("[]"),
    "wrong types": lambda path: path.write_bytes(encode_record(record()).replace(b'"user": "root"', b'"user": 5')),
    "missing field": lambda path: path.write_bytes(encode_record(record()).replace(b'"user": "root",', b"")),
    "bad state": lambda path: path.write_bytes(encode_record(record()).replace(b"accepted", b"imagined")),
    "another version": lambda path: path.write_bytes(encode_record(record()).replace(b'"v": 1', b'"v": 2')),
    "of another job": lambda path: path.write_bytes(encode_record(record(B))),
    "bad jid inside": lambda path: path.write_bytes(encode_record(record()).replace(A.encode(), b"../../etc")),
    "huge": lambda path: path.write_bytes(b" " * (2 * 1024 * 1024)),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "symlink": _symlink,
    "dangling symlink": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_costs_itself(folders: JobFolders, kind: str) -> None:
    """S01, R-B28: quarantined, named, and hiding no other; a pipe blocks nobody."""
    folders.records.write(record(B))
    folders.records.write(record(C))
    DAMAGE[kind](folders.layout.record_of(A))
    found, problems = folders.open_jobs()
    assert [one.jid for one in found] == [B, C]
    assert len(problems) == 1
    assert str(A) in problems[0]
    assert "quarantine" in problems[0]
    assert not os.path.lexists(folders.layout.record_of(A))
    assert len(list(folders.layout.quarantine.iterdir())) == 1
    assert folders.open_jobs()[1] == []  # said once


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_record_is_not_believed(folders: JobFolders) -> None:
    folders.records.write(record())
    os.chown(folders.layout.record_of(A), 65534, 65534)
    assert folders.open_jobs()[0] == []


def test_a_record_cut_at_any_byte(folders: JobFolders) -> None:
    """R-B28: each time it alone is set aside."""
    folders.records.write(record(B))
    whole = encode_record(record())
    for cut in range(len(whole.rstrip())):
        folders.layout.record_of(A).write_bytes(whole[:cut])
        found, problems = folders.open_jobs()
        assert ([one.jid for one in found], len(problems)) == ([B], 1)
    assert len(list(folders.layout.quarantine.iterdir())) == len(whole.rstrip())


@pytest.mark.parametrize("name", ["x.json", "2026.json", f"{A}.txt", f"{A}", "..json", f"{A}-short.json", "a\nb.json"])
def test_strangers_among_the_records(folders: JobFolders, name: str) -> None:
    folders.records.write(record(B))
    (folders.layout.proc / name).write_bytes(encode_record(record()))
    found, problems = folders.open_jobs()
    assert [one.jid for one in found] == [B]
    assert len(problems) == 1


def test_the_same_damage_twice_keeps_both(folders: JobFolders) -> None:
    for _ in range(3):
        folders.layout.record_of(A).touch()
        folders.open_jobs()
    assert len(list(folders.layout.quarantine.iterdir())) == 3


def test_a_record_whose_return_is_spooled_has_ended(folders: JobFolders) -> None:
    folders.claims.add(A, 1.0)
    folders.records.write(record())
    folders.end(returned())
    folders.records.write(record())  # as a power cut brings it back
    assert folders.open_jobs() == ([], [])
    assert not folders.layout.record_of(A).exists()


def test_half_written_files_go_at_the_start(folders: JobFolders) -> None:
    ours = folders.layout.proc / f".{A}.json.{os.getpid()}.tmp"
    dead = folders.layout.spool / f".{A}.msgpack.4194305.tmp"
    for path in (ours, dead):
        path.touch()
    again = JobFolders(folders.layout.state)
    assert ours.exists()  # its writer lives
    assert not dead.exists()
    assert again.open_jobs() == ([], [])
    assert again.spool.jids() == []


def test_what_a_killed_supervisor_left_half_written_goes(folders: JobFolders) -> None:
    """R-A1."""
    left = [folders.layout.proc / f".{A}.json.4194305.tmp", folders.layout.spool / f".{A}.msgpack.4194305.tmp"]
    other = folders.layout.proc / ".20260102030405123457.json.4194305.tmp"
    for path in (*left, other):
        path.touch()
    folders.tidy(A)
    assert [path.exists() for path in (*left, other)] == [False, False, True]


# stop requests


def test_stop_requests_are_kept_in_order_and_once(folders: JobFolders) -> None:
    assert folders.stops.read(A) == []
    assert folders.stops.append(A, request("1"))
    assert folders.stops.append(A, request("2"))
    assert not folders.stops.append(A, request("1"))
    assert [one.stop for one in folders.stops.read(A)] == ["1", "2"]


def test_stop_requests_are_bounded(folders: JobFolders) -> None:
    signals = [structs.replace(request(f"s{n}"), how="signal") for n in range(STOPS_PER_JOB)]
    for one in [*signals[:3], request("first"), *signals[3:], request("last")]:
        assert folders.stops.append(A, one)
    kept = [one.stop for one in folders.stops.read(A)]
    assert len(kept) == STOPS_PER_JOB
    assert (kept[0], kept[-1]) == ("s2", "last")
    assert "first" in kept
    for one in signals:
        folders.stops.append(A, structs.replace(one, stop=one.stop + "again"))
    assert next(iter(folders.stops.read(A))).stop == "first"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"stop": "x"}]', b"\xff"])
def test_damaged_stop_requests(folders: JobFolders, content: bytes) -> None:
    folders.layout.stops_of(A).write_bytes(content)
    assert folders.stops.read(A) == []
    assert folders.stops.append(A, request("new"))
    assert [one.stop for one in folders.stops.read(A)] == ["new"]
    assert len(list(folders.layout.quarantine.iterdir())) == 1
