"""Captured output: caps, heads, tails, and what is said to be missing. Real files, no processes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.proc.output import RETURN_HEAD, RETURN_TAIL, Capture, Tail, excerpt_of_file, marker


@given(st.lists(st.binary(max_size=300), max_size=60), st.integers(1, 500), st.integers(0, 600))
def test_a_tail_holds_the_last_bytes(chunks: list[bytes], limit: int, asked: int) -> None:
    tail = Tail(limit)
    for chunk in chunks:
        tail.add(chunk)
    whole = b"".join(chunks)
    count = min(limit, asked)
    assert tail.last(asked) == (whole[-count:] if count else b"")


def test_a_tail_of_tiny_writes_stays_small() -> None:
    tail = Tail(1000)
    for number in range(20_000):
        tail.add(bytes([number % 256]))
    assert len(tail._ring) == 1000


@given(st.lists(st.integers(0, 90_000), max_size=12), st.integers(0, 200_000))
def test_what_is_read_from_a_pipe_is_what_is_added(sizes: list[int], limit: int) -> None:
    """R-A21: both ways into a capture, before and behind the head."""
    chunks = [os.urandom(size) for size in sizes]
    with tempfile.TemporaryDirectory() as name:
        added = capture(Path(name) / "added", limit, chunks)
        read = Capture(Path(name) / "read", limit)
        for chunk in chunks:
            out, into = os.pipe()
            _feed(read, out, into, chunk)
        read.close()
        assert (read.total, read.lost, read.excerpt()) == (added.total, added.lost, added.excerpt())
        files = [Path(name) / kind for kind in ("added", "read") if (Path(name) / kind).exists()]
        assert len({file.read_bytes() for file in files}) == (1 if files else 0)
        assert len(files) != 1


def _feed(made: Capture, out: int, into: int, chunk: bytes) -> None:
    """All of a chunk through a pipe, to its end."""
    os.set_blocking(out, False)
    with open(out, "rb"), open(into, "wb", buffering=0) as writer:
        for at in range(0, len(chunk), 60_000):
            writer.write(chunk[at:at + 60_000])
            with contextlib.suppress(BlockingIOError):
                while made.read(out):
                    pass


def capture(path: Path, limit: int, chunks: list[bytes]) -> Capture:
    made = Capture(path, limit)
    for chunk in chunks:
        made.add(chunk)
    made.close()
    return made


def test_little_output_is_kept_whole(tmp_path: Path) -> None:
    made = capture(tmp_path / "out", 1000, [b"one\n", b"two\n"])
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert made.excerpt() == (b"one\ntwo\n", False)
    assert (made.total, made.lost) == (8, 0)


def test_silence_makes_no_file(tmp_path: Path) -> None:
    made = capture(tmp_path / "out", 1000, [])
    assert not (tmp_path / "out").exists()
    assert made.excerpt() == (b"", False)


def test_the_file_keeps_head_and_tail(tmp_path: Path) -> None:
    made = capture(tmp_path / "out", 400, [b"a" * 300, b"b" * 1000, b"c" * 100])
    assert (tmp_path / "out").read_bytes() == b"a" * 300 + marker(1000) + b"c" * 100
    assert (made.total, made.lost) == (1400, 1000)
    assert made.excerpt() == (b"a" * 300 + b"b" * 1000 + b"c" * 100, False)


@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(0, 2000))
def test_any_output_under_any_cap(chunks: list[bytes], limit: int) -> None:
    whole = b"".join(chunks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out")
        made = capture(path, limit, chunks)
        kept = path.read_bytes() if path.exists() else b""
    tail = limit // 4
    head = limit - tail
    if len(whole) <= limit:
        assert kept == whole
        assert made.lost == 0
    else:
        assert kept == whole[:head] + (marker(len(whole) - limit) + whole[-tail:] if tail else b"")
        assert made.lost == len(whole) - limit
    assert made.excerpt() == (whole, False)


@pytest.mark.parametrize("size", [1, 100_000])
def test_what_a_return_carries_when_it_cannot_carry_all(tmp_path: Path, size: int) -> None:
    whole = os.urandom(RETURN_HEAD + RETURN_TAIL + size)
    chunks = [whole[at:at + 7777] for at in range(0, len(whole), 7777)]
    made = capture(tmp_path / "out", 10_000_000, chunks)
    assert made.excerpt() == (whole[:RETURN_HEAD] + marker(size) + whole[-RETURN_TAIL:], True)
    assert (tmp_path / "out").read_bytes() == whole
    assert made.lost == 0
    assert excerpt_of_file(tmp_path / "out") == made.excerpt()


def test_a_disk_that_refuses_is_counted(tmp_path: Path) -> None:
    made = capture(tmp_path / "no such folder" / "out", 1000, [b"x" * 10, b"y" * 10])
    assert (made.total, made.lost) == (20, 20)
    assert made.excerpt() == (b"x" * 10 + b"y" * 10, False)


def test_a_disk_that_takes_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes what fits first, then refuses: no tail is written behind a hole."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:6]))
    made = capture(tmp_path / "out", 1000, [b"0123456789", b"more"])
    assert (tmp_path / "out").read_bytes() == b"012345"
    assert (made.total, made.lost) == (14, 8)


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    made = capture(tmp_path / "out", 1000, [b"x"])
    assert made.lost == 1
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_file_of_a_dead_supervisor(tmp_path: Path) -> None:
    assert excerpt_of_file(tmp_path / "none") == (b"", False)
    (tmp_path / "out").write_bytes(b"as far as it came")
    assert excerpt_of_file(tmp_path / "out") == (b"as far as it came", False)
