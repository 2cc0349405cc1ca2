"""The blocking client of a control socket: one request at a time, its items as they come, its end or its error.

It costs little more than the interpreter to load: no asyncio, no threads.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

from common import clock
from common.control_frames import ANSWER_LIMIT, HEADER, REQUEST_LIMIT, VERSION, FrameError, length, pack, unpack
from common.errors import BY_EXIT, DeniedError, JrError, UnreachableError, UsageError
from common.sockets import address

CONNECT_SECONDS = 10.0
"""How long a daemon may take to let a client in."""
ANSWER_SECONDS = 60.0
"""How long a daemon may take for the first frame of an answer: longer than any verb that does not follow a job."""
STALL_SECONDS = 30.0
"""How long the rest of a frame may take once its first byte is there."""

_CHUNK = 256 * 1024
_ABSENT = {errno.ENOENT: "no such socket", errno.ENOTDIR: "no such socket", errno.ECONNREFUSED: "nothing listens there"}


class AbsentError(UnreachableError):
    """Nobody listens at the socket, so nothing was asked of anybody: what was wanted may be done in another way."""


class Peer(NamedTuple):
    """Who listens at a control socket, in the words of an error."""

    name: str
    hint: str


MASTER = Peer("the master", "start it with jr-master, or name its root with --root or JR_ROOT")
AGENT = Peer("the minion's agent", "start it with jr-minion, or name its root with --root or JR_ROOT")


class Connection:
    """One connection to a daemon. Closing it detaches from whatever it was waiting for; the daemon goes on.

    Every method raises UnreachableError when the daemon goes away, and the JrError that the daemon answers with.
    """

    def __init__(
        self, path: str | os.PathLike[str], peer: Peer = MASTER, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """Connect. Raises AbsentError when nobody listens there, DeniedError when this user may not connect."""
        self._path = os.fspath(path)
        self._peer = peer
        self._answer_seconds = answer_seconds
        self._buffer = bytearray()
        self._socket = _connect(self._path, peer)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Detach. Good to call twice."""
        self._socket.close()

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The end of an answer that has no items, or whose items do not matter."""
        *_, end = self.stream(verb, None, **fields)
        return end

    def stream(self, verb: str, until: float | None, **fields: Any) -> Iterator[dict[str, Any]]:
        """The items of an answer as they come, then its end as the last one.

        `until` is a boottime that bounds the wait for what follows the first frame, None for no bound. Raises
        TimeoutError when it passes; the connection is of no use then, except to close it.
        """
        self._send(verb, fields)
        try:
            frame = self._receive(clock.boottime() + self._answer_seconds)
        except TimeoutError:
            reason = f"no answer within {self._answer_seconds:g} s; it is stopped or overloaded, and may still do it"
            raise self._unreachable(reason) from None
        while frame.get("kind") == "item":
            yield frame
            frame = self._receive(until)
        if frame.get("kind") == "error":
            raise _error(frame)
        if frame.get("kind") != "end":
            raise self._unreachable(f"it answered with a frame of the kind {frame.get('kind')!r}")
        yield frame

    def _send(self, verb: str, fields: dict[str, Any]) -> None:
        try:
            frame = pack({"v": VERSION, "verb": verb, **fields}, REQUEST_LIMIT)
        except FrameError as error:
            raise UsageError(str(error)) from error
        try:
            self._socket.settimeout(STALL_SECONDS)
            self._socket.sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            # A daemon that refuses a client says why before it hangs up: what it said is read by whoever waits for it.
            pass
        except OSError as error:
            raise self._unreachable(_reason(error)) from error

    def _receive(self, by: float | None) -> dict[str, Any]:
        """The next frame. Raises TimeoutError when its first byte is not there by the boottime `by`."""
        if not self._buffer:
            self._more(by)
        try:
            self._fill(HEADER)
            size = length(self._buffer, ANSWER_LIMIT)
            self._fill(HEADER + size)
            with memoryview(self._buffer) as view:
                body = unpack(view[HEADER : HEADER + size])
            del self._buffer[: HEADER + size]
        except FrameError as error:
            raise self._unreachable(str(error)) from error
        except TimeoutError:
            raise self._unreachable(f"it fell silent for {STALL_SECONDS:g} s in the middle of an answer") from None
        return body

    def _fill(self, size: int) -> None:
        """Read until `size` bytes are there. Raises TimeoutError when the daemon stalls."""
        while len(self._buffer) < size:
            self._more(clock.boottime() + STALL_SECONDS)

    def _more(self, by: float | None) -> None:
        """Read once, at least a byte. Raises TimeoutError when nothing came by the boottime `by`."""
        # At 0 what lies in the socket already is still read: a bound that has passed means "what is known by now".
        self._socket.settimeout(None if by is None else max(0.0, by - clock.boottime()))
        try:
            data = self._socket.recv(_CHUNK)
        except (TimeoutError, BlockingIOError):
            raise TimeoutError from None
        except OSError as error:
            raise self._unreachable(_reason(error)) from error
        if not data:
            raise self._unreachable("it closed the connection")
        self._buffer += data

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(f"cannot reach {self._peer.name} at {self._path}: {reason}")


def _connect(path: str, peer: Peer) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The kernel's own time-out: with Python's, a full queue of connections is an error at once, not a wait.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(CONNECT_SECONDS), 0))
    try:
        with address(path) as where:
            client.connect(where)
    except OSError as error:
        client.close()
        raise _refusal(path, peer, error) from error
    return client


def _refusal(path: str, peer: Peer, error: OSError) -> JrError:
    """Why a connection could not be made, as the error its caller sees."""
    problem = f"cannot reach {peer.name} at {path}"
    if isinstance(error, PermissionError):
        return DeniedError(f"{problem}: permission denied; run this as the user that {peer.name} runs as, or as root")
    if error.errno == errno.EAGAIN:
        return UnreachableError(f"{problem}: it lets nobody in for {CONNECT_SECONDS:g} s; it is stopped or overloaded")
    if reason := _ABSENT.get(error.errno or 0):
        return AbsentError(f"{problem}: {reason}; {peer.hint}")
    return UnreachableError(f"{problem}: {_reason(error)}")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _error(frame: dict[str, Any]) -> JrError:
    """The error that a daemon answered with, as the class its exit code stands for."""
    code = frame.get("exit")
    kind = BY_EXIT.get(code, JrError) if isinstance(code, int) else JrError
    return kind(str(frame.get("message", "cannot tell what went wrong: the answer has no message")))
