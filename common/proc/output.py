"""Captured output: always drained, so that a job never blocks; kept as head and tail, so that it never fills a disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import NamedTuple

RETURN_HEAD = 96 * 1024
"""Bytes of a stream's beginning that its return carries when it cannot carry all."""
RETURN_TAIL = 32 * 1024
"""Bytes of a stream's end, likewise."""
_BLOCK = 64 * 1024
_PIPE = 512 * 1024
"""Bytes of a pipe that brings much; a common one holds 64 KiB."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class Excerpt(NamedTuple):
    """What a return carries of one stream."""

    data: bytes
    cut: bool


NOTHING = Excerpt(b"", False)
"""Of a stream that stayed silent."""


class Tail:
    """The last `limit` bytes of a stream, in a ring that the stream is read into: nothing is copied or allocated."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ring = bytearray()
        self._at = 0
        self._held = 0

    def room(self) -> memoryview:
        """Where the next bytes belong; `took` tells how many there were."""
        if not self._ring:
            self._ring = bytearray(self._limit)  # not before: most streams are short
        return memoryview(self._ring)[self._at:]

    def took(self, count: int) -> None:
        """So many bytes were put where `room` said."""
        self._at += count
        self._held = max(self._held, self._at)
        if self._at == self._limit:
            self._at = 0

    def add(self, data: bytes) -> None:
        """Take more of the stream, from elsewhere."""
        left = memoryview(data)[-self._limit:]
        while left:
            room = self.room()
            count = min(len(room), len(left))
            room[:count] = left[:count]
            self.took(count)
            left = left[count:]

    def last(self, count: int) -> bytes:
        """The last `count` bytes, or as many as there were, `limit` at most."""
        held = self._ring[self._at:self._held] + self._ring[:self._at]
        return bytes(held[max(0, len(held) - count):])


class Capture:
    """One stream of a job: a file under a cap, and what its return will carry.

    The file holds the first three quarters of `limit` as they come, the last quarter when the stream ends. When the
    disk refuses, the file stays as it is and the bytes are counted as lost: a full disk never hurts the job.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """`limit` is in bytes; the file is made with the first of them."""
        self._path = path
        self._head_left = limit - limit // 4
        self._tail_limit = limit // 4
        self._tail = Tail(max(self._tail_limit, RETURN_TAIL))
        self._begin = bytearray()
        self._fd: int | None = None
        self._refused = False
        self._widened = False
        self.total = 0
        """Bytes that came."""
        self.lost = 0
        """Bytes that the file does not hold; known when it is closed."""
        self._kept = 0

    def read(self, fd: int) -> int:
        """Take what a pipe has to give, in one read; how many bytes that was, 0 at its end.

        Raises BlockingIOError when it has nothing. A stream that goes past what the file's head holds is read into the
        tail, and its pipe made large: whoever writes so much should not have to wait for us.
        """
        if self._head_left or len(self._begin) < RETURN_HEAD:
            data = os.read(fd, _BLOCK)
            self.add(data)
            return len(data)
        if not self._widened:
            self._widened = True
            with contextlib.suppress(OSError):  # this user has too many large pipes: it goes on as it is
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
        count = os.readv(fd, [self._tail.room()])
        self._tail.took(count)
        self.total += count
        return count

    def add(self, data: bytes) -> None:
        """Take more of the stream. Never raises for a disk that refuses."""
        self.total += len(data)
        head = data[:self._head_left]
        if head:
            self._head_left -= len(head)
            self._write(head)
        rest = data
        if len(self._begin) < RETURN_HEAD:
            room = RETURN_HEAD - len(self._begin)
            self._begin += data[:room]
            rest = data[room:]
        if rest:
            self._tail.add(rest)

    def close(self) -> None:
        """Write the tail behind the head, with a line that says how much is missing between them."""
        missing = self.total - self._kept
        if missing and not self._refused and self._tail_limit:
            tail = self._end(min(missing, self._tail_limit))
            left_out = missing - len(tail)
            self._write((marker(left_out) if left_out else b"") + tail, counted=len(tail))
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self.lost = self.total - self._kept

    def excerpt(self) -> Excerpt:
        """What the return carries: all, or head, marker and tail."""
        if self.total <= RETURN_HEAD + RETURN_TAIL:
            return Excerpt(bytes(self._begin) + self._tail.last(RETURN_TAIL), False)
        left_out = self.total - RETURN_HEAD - RETURN_TAIL
        return Excerpt(bytes(self._begin) + marker(left_out) + self._tail.last(RETURN_TAIL), True)

    def _end(self, count: int) -> bytes:
        """The last `count` bytes of the stream, which a small cap may leave in what the return's head took."""
        tail = self._tail.last(count)
        return tail if len(tail) == count else bytes(self._begin[len(tail) - count:]) + tail

    def _write(self, data: bytes, counted: int | None = None) -> None:
        if self._refused:
            return
        try:
            if self._fd is None:
                self._fd = os.open(self._path, _CREATE, 0o600)
            written = os.write(self._fd, data)
        except OSError:
            self._refused = True
            return
        self._refused = written < len(data)  # a disk that is full takes a part first
        self._kept += written if counted is None else min(written, counted)


def marker(left_out: int) -> bytes:
    """The line between head and tail."""
    return f"\n[jr: {left_out} bytes are left out here]\n".encode("ascii")


def excerpt_of_file(path: Path) -> Excerpt:
    """What a return can carry of a stream whose supervisor is gone: from the file, which may lack the end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return NOTHING
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= RETURN_HEAD + RETURN_TAIL:
            return Excerpt(file.read(RETURN_HEAD + RETURN_TAIL), False)
        head = file.read(RETURN_HEAD)
        file.seek(size - RETURN_TAIL)
        return Excerpt(head + marker(size - RETURN_HEAD - RETURN_TAIL) + file.read(RETURN_TAIL), True)
