"""Clients of a control socket that misbehave, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import threading
from pathlib import Path

import pytest

from common import clock
from common.control import Connection
from common.control_frames import REQUEST_LIMIT, unpack
from common.control_server import Body, Caller, Limits, Reply
from common.errors import UnreachableError, UsageError
from tests.lib.control import Script, serving
from tests.lib.raw_control import echo, frame, raw, read_all
from tests.lib.wait import until


def test_a_request_above_the_limit_is_not_sent(path: Path) -> None:
    with serving(path, echo), Connection(path) as connection:
        with pytest.raises(UsageError, match="the limit is 1048576"):
            connection.ask("status", blob=b"x" * REQUEST_LIMIT)
        assert connection.ask("status")


@pytest.mark.parametrize(("value", "reason"), [
    ("\udcff", "not valid UTF-8"), (object(), "cannot send a message"), (2**70, "cannot send a message"),
])
def test_a_request_that_cannot_be_packed(path: Path, value: object, reason: str) -> None:
    with serving(path, echo), Connection(path) as connection, pytest.raises(UsageError, match=reason):
        connection.ask("status", value=value)


@pytest.mark.parametrize(("data", "reason"), [
    (b"\x7f\xff\xff\xff", "cannot read a message of"),
    ((REQUEST_LIMIT + 1).to_bytes(4, "big") + b"x" * REQUEST_LIMIT, "cannot read a message of"),
    (b"\x00\x00\x00\x01\xc1", "cannot read a message"),
    (b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff", "cannot read a message"),
    (b"\x00\x00\x04\x00" + b"\x91" * 1024, "cannot read a message"),
    (b"\x00\x00\x00\x02\xa1\xff", "cannot read a message"),
    (b"\x00\x00\x00\x01\x90", "not a map"),
    (frame({"verb": "status"}), "version"),
    (frame({"v": 2, "verb": "status"}), "version 2"),
    (frame({"v": 1}), "without a verb"),
    (frame({"v": 1, "verb": ["x"]}), "without a verb"),
])
def test_garbage_is_answered_and_costs_the_connection(path: Path, data: bytes, reason: str) -> None:
    with serving(path, echo), Connection(path) as good:
        with raw(path) as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(data)
            answer = unpack(read_all(client)[4:])
        assert (answer["kind"], answer["exit"]) == ("error", 2)
        assert reason in answer["message"]
        assert good.ask("status")


def test_garbage_is_logged_once_a_minute(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path, echo):
        for _ in range(5):
            with raw(path) as client:
                client.sendall(b"\x00\x00\x00\x01\xc1")
                read_all(client)
    assert caplog.text.count("refused a bad request") == 1


def test_half_a_frame_times_out(path: Path) -> None:
    with serving(path, echo, Limits(frame_seconds=0.05)), raw(path) as header, raw(path) as body:
        header.sendall(b"\x00\x00")
        body.sendall(b"\x00\x00\x00\x09\x80")
        assert read_all(header) == read_all(body) == b""


def test_an_idle_connection_is_closed(path: Path) -> None:
    with serving(path, echo, Limits(idle_seconds=0.05)), raw(path) as client:
        assert read_all(client) == b""


def test_waiting_for_an_answer_is_not_idling(path: Path) -> None:
    release = threading.Event()

    async def handler(request: Body, caller: Caller, reply: Reply) -> Body:
        await reply({"event": "job"})
        await asyncio.to_thread(release.wait, 10)
        return {}

    with serving(path, handler, Limits(idle_seconds=0.05)), Connection(path) as connection:
        stream = connection.stream("watch", None)
        next(stream)
        began = clock.boottime()
        until(lambda: clock.boottime() > began + 0.2, what="four times the idle limit")
        release.set()
        assert next(stream)["kind"] == "end"


def test_frames_may_come_a_byte_at_a_time(path: Path) -> None:
    with serving(path, echo), raw(path) as client:
        for byte in frame({"v": 1, "verb": "status"}):
            client.sendall(bytes([byte]))
        assert b"status" in client.recv(65536)


def test_a_second_request_before_the_end_is_refused(path: Path) -> None:
    script = Script(watch=["wait", {}])
    with serving(path, script), raw(path) as client:
        client.sendall(frame({"v": 1, "verb": "watch", "follow": True}))
        until(lambda: script.requests, what="the first request")
        client.sendall(frame({"v": 1, "verb": "watch", "follow": True}))
        assert b"before the answer to the last one has ended" in read_all(client)
    assert script.gone.is_set()


def test_a_client_that_hangs_up_cancels_its_handler(path: Path) -> None:
    script = Script(watch=[{"n": 1}, "wait", {}])
    with serving(path, script):
        with Connection(path) as connection:
            next(connection.stream("watch", None, follow=True))
            assert not script.gone.is_set()
        assert script.gone.wait(60)


def test_closing_the_server_cancels_its_handlers(path: Path) -> None:
    script = Script(watch=["wait", {}])
    with serving(path, script), raw(path) as client:
        client.sendall(frame({"v": 1, "verb": "watch", "follow": True}))
        until(lambda: script.requests, what="the request")
    assert script.gone.is_set()


def test_a_reader_that_is_slow_is_waited_for(path: Path) -> None:
    sent: list[int] = []

    async def handler(request: Body, caller: Caller, reply: Reply) -> Body:
        for number in range(40):
            await reply({"number": number, "blob": b"x" * 100_000})
            sent.append(number)
        return {}

    with serving(path, handler, Limits(buffer=100_000)), Connection(path) as connection:
        stream = connection.stream("watch", None)
        next(stream)
        assert len(sent) < 39
        assert len(list(stream)) == 40


def test_items_leave_together_a_buffer_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a verb has at once: ten thousand minions may answer in one turn of the loop."""
    written: list[int] = []
    write = asyncio.StreamWriter.write

    def counted(writer: asyncio.StreamWriter, data: bytes) -> None:
        written.append(len(data))
        write(writer, data)

    async def handler(request: Body, caller: Caller, reply: Reply) -> Body:
        for number in range(100):
            await reply({"number": number, "blob": b"x" * 1000})
        return {}

    monkeypatch.setattr(asyncio.StreamWriter, "write", counted)
    with serving(path, handler, Limits(buffer=10_000)), Connection(path) as connection:
        items = [item for item in connection.stream("watch", None) if "number" in item]
    assert [item["number"] for item in items] == [*range(100)]
    assert max(written) < 12_000
    assert len(written) < 20


def test_a_reader_that_reads_nothing_is_cut(path: Path) -> None:
    cut = threading.Event()

    async def handler(request: Body, caller: Caller, reply: Reply) -> Body:
        try:
            while True:
                await reply({"blob": b"x" * 100_000})
        except OSError:
            cut.set()
            raise

    with serving(path, handler, Limits(buffer=100_000, stall_seconds=0.1)), raw(path) as client:
        client.sendall(frame({"v": 1, "verb": "watch"}))
        assert cut.wait(60)
        assert len(read_all(client)) < 2_000_000


def test_when_all_are_being_served_one_more_client_is_told_so(path: Path) -> None:
    script = Script(watch=["wait", {}], status=[{}])
    with serving(path, script, Limits(connections=2)):
        with raw(path) as first, raw(path) as second:
            for client in (first, second):
                client.sendall(frame({"v": 1, "verb": "watch", "follow": True}))
            until(lambda: len(script.requests) == 2, what="both are served")
            with Connection(path) as third, pytest.raises(UnreachableError, match="cannot serve more than 2 clients"):
                third.ask("status")
        with Connection(path) as fourth:
            until(lambda: _answers(fourth, path), what="room for another client")


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\0\0\x09half"], ids=["nothing", "half a header", "half a frame"])
def test_idle_clients_keep_nobody_out(path: Path, sent: bytes) -> None:  # R-A22
    count = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    with serving(path, echo), contextlib.ExitStack() as stack:
        held = [stack.enter_context(raw(path)) for _ in range(count)]
        for client in held:
            with contextlib.suppress(OSError):  # it may be cut already
                client.sendall(sent)
        with Connection(path) as connection:
            assert connection.ask("status")["uid"] == os.geteuid()
            assert connection.ask("status")["uid"] == os.geteuid()
        assert not _cut(held[-1]), "only as many are cut as have to be"
        assert _cut(held[0])


def _cut(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def _answers(connection: Connection, path: Path) -> bool:
    """True once the server serves again; it may take a moment to see that the others have gone."""
    try:
        with Connection(path) as connection:
            return bool(connection.ask("status"))
    except UnreachableError:
        return False
