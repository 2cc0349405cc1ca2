"""The server of a control socket, for both daemons: who calls, one request at a time, answers in frames.

What a client sends is bounded in size and time, what it does not read in bytes and time: a bad one costs its own
connection. What the verbs do is the handler's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import clock
from common.aio import cancelled
from common.control_frames import ANSWER_LIMIT, HEADER, REQUEST_LIMIT, VERSION, FrameError, length, pack, unpack
from common.control_socket import is_there, listen, remove
from common.errors import DeniedError, Exit, JrError
from common.log import limited

Body = dict[str, Any]
Reply = Callable[[Body], Awaitable[None]]
"""Sends one item. It waits while the client is slow to read, and cuts a client that reads nothing for too long."""

_log = logging.getLogger("jr.control")
_CREDENTIALS = struct.Struct("3i")
_QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a connection, as the kernel tells it."""

    uid: int
    name: str
    """The user's name, or `uid 1234` when it has none."""
    pid: int


Handler = Callable[[Body, Caller, Reply], Awaitable[Body]]
"""Answers one request: items through `reply`, the fields of the end as its result. A JrError it raises is told to the
client with its exit code; any other exception is logged and told as an internal error. It is cancelled when the client
hangs up."""
Authorise = Callable[[Caller, str], None]
"""Asked for every request, with its verb, before the handler. Raises DeniedError for what this caller may not do."""


def owner_only(caller: Caller, verb: str) -> None:
    """Root and the user that the daemon runs as may do everything, others nothing. Raises DeniedError.

    The modes of the socket and its folder say the same; this holds also where somebody has loosened them.
    """
    if caller.uid not in (0, os.geteuid()):
        raise DeniedError(f"cannot do {verb:.80}: {caller.name} may not, only root and the user that jr runs as")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take. Seconds and bytes."""

    connections: int = 128
    frame_seconds: float = 10.0
    """For the rest of a request once its first byte is there."""
    idle_seconds: float = 3600.0
    """Between requests."""
    stall_seconds: float = 60.0
    """That a client may leave a full buffer unread before it is cut."""
    look_seconds: float = 3.0
    """Between two looks whether the socket's file is still there."""
    buffer: int = 1024 * 1024
    """Bytes that wait for a slow reader before its handler has to wait too."""


class ControlServer:
    """Listens at a unix socket and hands requests to a handler."""

    def __init__(self, path: Path, handler: Handler, limits: Limits = Limits(),
                 authorise: Authorise = owner_only) -> None:
        self._path = path
        self._handler = handler
        self._authorise = authorise
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[_Client, None] = {}
        """Those between two requests, in the order in which they became so."""
        self._names: dict[int, str] = {}
        self._server: asyncio.Server | None = None
        self._guard: asyncio.Task[None] | None = None
        self._inode = 0
        self._quiet_until = 0.0

    async def open(self) -> None:
        """Listen. Raises UsageError when the path is taken or its folder is not safe, JrError when it cannot."""
        listener, self._inode = listen(self._path)
        self._server = await asyncio.start_unix_server(self._connected, sock=listener)
        self._guard = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        """Look every few seconds whether the file is still ours; without it nobody could reach a daemon that lives."""
        while True:
            await asyncio.sleep(self._limits.look_seconds)
            if is_there(self._path, self._inode):
                continue
            try:
                await self._renew()
            except (OSError, JrError) as error:
                limited(_log, "socket").error("the control socket is gone: %s", error, extra={"action": "control.gone"})
            else:
                _log.warning("the control socket %s was removed or replaced: made anew", self._path,
                             extra={"action": "control.renewed"})

    async def _renew(self) -> None:
        """Listen at the path once more; who is connected stays so."""
        listener, self._inode = listen(self._path)
        server = await asyncio.start_unix_server(self._connected, sock=listener)
        old, self._server = self._server, server
        if old is not None:
            old.close()

    async def close(self, seconds: float = 5.0) -> None:
        """Take the socket away and cut every client. Handlers get `seconds` to come to their end."""
        if self._server is None:
            return
        if self._guard is not None:
            await cancelled(self._guard)
        server, self._server = self._server, None
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        # A connection that was accepted a moment ago gets its transport now: asyncio would lose it after close().
        await asyncio.sleep(0)
        server.close()
        remove(self._path, self._inode)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection gets a task; one that came in while the server was closing is cut."""
        if self._server is None:
            writer.transport.abort()
            return
        client = _Client(reader, writer, self._limits)
        task = asyncio.get_running_loop().create_task(self._converse(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, client: _Client) -> None:
        """One connection, from its first byte to its last."""
        try:
            if len(self._tasks) > self._limits.connections and not self._make_room():
                limited(_log, "clients").warning("turning clients away: %d are here already", self._limits.connections,
                                                 extra={"action": "control.full"})
                await client.refuse(Exit.UNREACHABLE, f"cannot serve more than {self._limits.connections} clients")
            else:
                await self._serve(client, await self._caller(client))
        except FrameError as error:
            self._complain(error)
            await client.refuse(Exit.USAGE, str(error))
        except (OSError, EOFError, TimeoutError):
            # Gone, or silent for too long: nobody is left to be told.
            pass
        finally:
            client.abort()

    async def _serve(self, client: _Client, caller: Caller) -> None:
        """Answer requests until the client hangs up. Raises FrameError for what is no request."""
        incoming = asyncio.ensure_future(client.receive())
        try:
            while True:
                self._idle[client] = None
                async with asyncio.timeout(self._limits.idle_seconds):
                    request = _checked(await incoming)
                self._idle.pop(client, None)  # it may have made room just as its request came
                incoming = asyncio.ensure_future(client.receive())
                await client.send(await self._answer(request, caller, client, incoming))
        finally:
            self._idle.pop(client, None)
            incoming.cancel()
            # Its outcome is of no interest, but has to be fetched, or asyncio reports it.
            await asyncio.gather(incoming, return_exceptions=True)

    async def _answer(self, request: Body, caller: Caller, client: _Client, incoming: asyncio.Future[Body]) -> Body:
        """The last frame of one answer. Raises what `incoming` raises when the client hangs up in the meantime."""
        handling = asyncio.ensure_future(self._handle(request, caller, client))
        try:
            await asyncio.wait({handling, incoming}, return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():
                incoming.result()
                raise FrameError("cannot take a request before the answer to the last one has ended")
            return handling.result()
        finally:
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)

    async def _handle(self, request: Body, caller: Caller, client: _Client) -> Body:
        verb = request["verb"]
        extra = {"action": "request.taken", "verb": verb, "user": caller.name}
        _log.debug("request %s of %s, pid %d", verb, caller.name, caller.pid, extra=extra)
        try:
            self._authorise(caller, verb)
            return {"kind": "end", **await self._handler(request, caller, client.reply)}
        except DeniedError as error:
            limited(_log, f"denied {caller.uid}").warning("%s", error, extra={**extra, "action": "request.denied"})
            return _error(error.exit, str(error))
        except JrError as error:
            return _error(error.exit, str(error))
        except OSError as error:
            # The client hung up while it was told something: that is its own affair, and no failure of the request.
            if client.cut or isinstance(error, ConnectionError):
                raise
            _log.exception("request %s failed", verb, extra={**extra, "action": "request.failed"})
        except Exception:  # whatever a verb does wrong must cost this request only
            _log.exception("request %s failed", verb, extra={**extra, "action": "request.failed"})
        return _error(Exit.FAILED, f"cannot do {verb}: internal error; the log of the daemon says more")

    def _make_room(self) -> bool:
        """Hang up on who has gone the longest without a request; False when all are being served."""
        idlest = next(iter(self._idle), None)
        if idlest is None:
            return False
        del self._idle[idlest]
        limited(_log, "crowded").warning("more than %d clients: the one that was idle for the longest is cut",
                                         self._limits.connections, extra={"action": "client.cut"})
        idlest.abort()
        return True

    async def _caller(self, client: _Client) -> Caller:
        uid, pid = client.credentials()
        if uid not in self._names:
            # A directory service may take its time, so it is asked beside the loop, and once.
            self._names[uid] = await asyncio.to_thread(_user_name, uid)
        return Caller(uid, self._names[uid], pid)

    def _complain(self, error: FrameError) -> None:
        """One line a minute at most, whatever is sent."""
        now = clock.boottime()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            _log.warning("refused a bad request: %s", error, extra={"action": "request.refused"})


class _Client:
    """One connection: frames in and out, each within its limits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._items: list[bytes] = []
        """Frames of items that leave together, at the end of this turn of the loop or with the next other frame."""
        self._held = 0
        """Their bytes."""
        self.cut = False
        """True once this side has given the connection up."""
        writer.transport.set_write_buffer_limits(high=limits.buffer)

    def credentials(self) -> tuple[int, int]:
        """The uid and pid of whoever connected, from the kernel."""
        peer = self._writer.get_extra_info("socket")
        pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return uid, pid

    async def receive(self) -> Body:
        """The next frame, however long it takes to begin.

        Raises EOFError when there is none, TimeoutError when it stalls in the middle, FrameError when it is bad.
        """
        header = await self._reader.read(HEADER)
        if not header:
            raise EOFError
        async with asyncio.timeout(self._limits.frame_seconds):
            header += await self._reader.readexactly(HEADER - len(header))
            return unpack(await self._reader.readexactly(length(header, REQUEST_LIMIT)))

    async def reply(self, item: Body) -> None:
        """Send one item soon. Raises JrError when it is too large, OSError when the client is cut."""
        if not self._items:
            asyncio.get_running_loop().call_soon(self._flush)
        self._hold(pack({"kind": "item", **item}, ANSWER_LIMIT))
        await self._room()

    async def send(self, body: Body) -> None:
        """Send a frame, behind all items. Raises as `reply`."""
        self._hold(pack(body, ANSWER_LIMIT))
        self._flush()
        await self._room()

    def _hold(self, frame: bytes) -> None:
        self._items.append(frame)
        self._held += len(frame)

    def _flush(self) -> None:
        items, self._items = self._items, []
        self._held = 0
        if items:
            self._writer.write(b"".join(items))

    async def _room(self) -> None:
        """Wait while more than the limit is unread."""
        transport, buffer = self._writer.transport, self._limits.buffer
        if self._held > buffer:
            self._flush()
        if transport.get_write_buffer_size() <= buffer and not transport.is_closing():
            return
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                await self._writer.drain()
        except TimeoutError as error:
            self.abort()
            raise ConnectionAbortedError("the client does not read") from error

    async def refuse(self, code: Exit, message: str) -> None:
        """Say why, then hang up."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.send(_error(code, message))
            self._writer.close()
            async with asyncio.timeout(self._limits.frame_seconds):
                await self._writer.wait_closed()

    def abort(self) -> None:
        """Hang up now; what is unsent is dropped."""
        self.cut = True
        self._writer.transport.abort()


def _checked(request: Body) -> Body:
    """The request, if this server can tell what is asked. Raises FrameError."""
    if request.get("v") != VERSION:
        raise FrameError(f"cannot answer a request of version {request.get('v')!r}: this is version {VERSION}")
    if not isinstance(request.get("verb"), str):
        raise FrameError("cannot answer a request without a verb")
    return request


def _error(code: int, message: str) -> Body:
    return {"kind": "error", "exit": int(code), "message": message}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
