"""The control socket, client and server together over real unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import resource
import socket
import stat
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.control import AGENT, AbsentError, Connection
from common.control_frames import ANSWER_LIMIT, REQUEST_LIMIT, pack, unpack
from common.control_server import Body, Caller, Limits, Reply, _Client, owner_only
from common.control_socket import listen, remove
from common.errors import DeniedError, JrError, NotFoundError, UnreachableError, UsageError
from common.sockets import address
from tests.lib.control import Script, serving
from tests.lib.wait import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "jr" / "master.sock"


def raw(path: Path) -> socket.socket:
    """A client that does not keep to the rules."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With Python's own time-out a full queue of connections is an error at once, not a wait.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 10, 0))
    with address(str(path)) as where:
        client.connect(where)
    client.settimeout(10)
    return client


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side hangs up."""
    data = b""
    try:
        while chunk := client.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def frame(body: Any) -> bytes:
    return pack(body, REQUEST_LIMIT)


async def echo(request: Body, caller: Caller, reply: Reply) -> Body:
    return {"got": request, "uid": caller.uid, "name": caller.name, "pid": caller.pid}


# asking and answering


def test_an_answer_without_items(path: Path) -> None:
    with serving(path, echo), Connection(path) as connection:
        end = connection.ask("status", deep={"list": [1, None, "ü", b"\x00"]})
    assert end["got"] == {"v": 1, "verb": "status", "deep": {"list": [1, None, "ü", b"\x00"]}}


def test_the_server_knows_who_calls(path: Path) -> None:
    with serving(path, echo), Connection(path) as connection:
        end = connection.ask("status")
    assert (end["uid"], end["pid"]) == (os.geteuid(), os.getpid())
    assert end["name"] == pwd.getpwuid(os.geteuid()).pw_name


def test_every_request_is_authorised_before_it_is_handled(path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def no_keys(caller: Caller, verb: str) -> None:
        asked.append((verb, caller.uid))
        if verb == "keys":
            raise DeniedError("cannot do keys: no")

    script = Script(status=[{"fine": True}], keys=[{}])
    with serving(path, script, authorise=no_keys), Connection(path) as connection:
        for _ in range(2):
            with pytest.raises(DeniedError, match=r"^cannot do keys: no$") as caught:
                connection.ask("keys")
            assert caught.value.exit == 4
            assert connection.ask("status")["fine"]
    assert asked == [("keys", os.geteuid()), ("status", os.geteuid())] * 2
    assert [request["verb"] for request in script.requests] == ["status", "status"]


def test_nobody_but_root_and_the_owner_may_ask_unless_told_otherwise(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner_only(Caller(0, "root", 1), "status")
    owner_only(Caller(os.geteuid(), "me", 1), "status")
    with pytest.raises(DeniedError, match=r"^cannot do status: ann may not, "):
        owner_only(Caller(os.geteuid() + 7, "ann", 1), "status")
    script = Script(status=[{}])
    monkeypatch.setattr(_Client, "credentials", lambda client: (4_000_000_000, 1))
    with serving(path, script), Connection(path) as stranger:
        with pytest.raises(DeniedError, match=r"^cannot do status: uid 4000000000 may not, "):
            stranger.ask("status")
    assert script.requests == []
    assert "uid 4000000000 may not" in caplog.text


def test_items_come_before_the_end_and_the_connection_serves_again(path: Path) -> None:
    script = Script(watch=[{"n": 1}, {"n": 2}, {"done": 3.0}])
    with serving(path, script), Connection(path) as connection:
        for _ in range(3):
            frames = list(connection.stream("watch", None, follow=True))
            assert frames == [{"kind": "item", "n": 1}, {"kind": "item", "n": 2}, {"kind": "end", "done": 3.0}]


def test_items_are_there_as_soon_as_they_are_sent(path: Path) -> None:
    script = Script(watch=[{"n": 1}, "wait", {}])
    with serving(path, script), Connection(path) as connection:
        assert next(connection.stream("watch", None, follow=True))["n"] == 1


@pytest.mark.parametrize("error", [NotFoundError, UsageError, DeniedError, UnreachableError, JrError])
def test_an_error_keeps_its_kind_and_the_connection(path: Path, error: type[JrError]) -> None:
    script = Script(watch=[error("cannot show it: it is not there")], status=[{"fine": True}])
    with serving(path, script), Connection(path) as connection:
        with pytest.raises(error, match=r"^cannot show it: it is not there$") as caught:
            connection.ask("watch", follow=True)
        assert type(caught.value) is error
        assert connection.ask("status")["fine"]


def test_an_error_after_items(path: Path) -> None:
    script = Script(watch=[{"n": 1}, UnreachableError("cannot go on: the disk is full")])
    with serving(path, script), Connection(path) as connection:
        stream = connection.stream("watch", None, follow=True)
        assert next(stream)["n"] == 1
        with pytest.raises(UnreachableError, match="disk is full"):
            next(stream)


def test_a_fault_of_the_handler_is_logged_and_told_without_its_text(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(watch=[KeyError("secret")], status=[{}])
    with serving(path, script), Connection(path) as connection:
        with pytest.raises(JrError, match="cannot do watch: internal error") as caught:
            connection.ask("watch", follow=True)
        assert "secret" not in str(caught.value)
        assert connection.ask("status") == {"kind": "end"}
    assert "secret" in caplog.text


def test_an_operating_system_error_of_the_handler_is_not_taken_for_a_lost_client(path: Path) -> None:
    with serving(path, Script(watch=[OSError(errno.ENOSPC, "no space")])), Connection(path) as connection:
        with pytest.raises(JrError, match="internal error"):
            connection.ask("watch", follow=True)


def test_an_answer_as_large_as_may_be(path: Path) -> None:
    blob = b"x" * (ANSWER_LIMIT - 100)
    with serving(path, Script(status=[{"blob": blob}])), Connection(path) as connection:
        assert connection.ask("status")["blob"] == blob


@pytest.mark.parametrize("answer", [[{"blob": b"x" * ANSWER_LIMIT}], [{"blob": b"x" * ANSWER_LIMIT}, {}]])
def test_a_larger_answer_is_an_error(path: Path, answer: list[Any]) -> None:
    with serving(path, Script(status=answer)), Connection(path) as connection:
        with pytest.raises(JrError, match="cannot send"):
            connection.ask("status")


def test_many_clients_at_once(path: Path) -> None:
    with serving(path, echo):
        connections = [Connection(path) for _ in range(40)]
        for number, connection in enumerate(connections):
            assert connection.ask("status", number=number)["got"]["number"] == number
        for connection in connections:
            connection.close()


# where the socket lies


@pytest.mark.parametrize("length", [60, 100, 250])
def test_paths_longer_than_an_address(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("d" * length) / ("e" * length) / "master.sock"
    with serving(path, echo), Connection(path) as connection:
        assert connection.ask("status")["uid"] == os.geteuid()
    assert not path.exists()


def test_the_socket_is_private_and_taken_away(path: Path) -> None:
    with serving(path, echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [file.name for file in path.parent.iterdir()] == ["master.sock"]
    assert list(path.parent.iterdir()) == []


def test_a_second_server_is_refused_and_harms_nothing(path: Path) -> None:
    with serving(path, echo):
        with pytest.raises(UsageError, match="another process listens there already"), serving(path, echo):
            pass
        with Connection(path) as connection:
            assert connection.ask("status")


def test_what_a_dead_server_left_is_replaced(path: Path) -> None:
    listener, _ = listen(path)
    listener.close()
    assert path.is_socket()
    with serving(path, echo), Connection(path) as connection:
        assert connection.ask("status")


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UsageError, match="a file that is no socket"), serving(path, echo):
        pass
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no socket"), serving(path, echo):
        pass


def test_a_folder_where_others_write_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    with pytest.raises(UsageError, match="others may write there"), serving(path, echo):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(UsageError, match="belongs to uid 12345"), serving(path, echo):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JrError, match="cannot listen at"), serving(tmp_path / "file" / "master.sock", echo):
        pass


def test_only_its_own_socket_is_removed(path: Path) -> None:
    listener, inode = listen(path)
    path.rename(path.with_name("moved"))
    other, other_inode = listen(path)
    remove(path, inode)
    assert path.exists()
    remove(path, other_inode)
    remove(path, other_inode)
    assert not path.exists()
    listener.close()
    other.close()


# a server that is not there


def test_nothing_there(path: Path) -> None:
    with pytest.raises(AbsentError) as caught:
        Connection(path)
    assert str(caught.value) == (
        f"cannot reach the master at {path}: no such socket; "
        "start it with jr-master, or name its root with --root or JR_ROOT"
    )


def test_a_folder_on_the_way_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(AbsentError, match="no such socket"):
        Connection(tmp_path / "run" / "jr" / "master.sock")


def test_a_dead_socket(path: Path) -> None:
    listener, _ = listen(path)
    listener.close()
    with pytest.raises(AbsentError, match="nothing listens there; start it with jr-minion") as caught:
        Connection(path, AGENT)
    assert "the minion's agent" in str(caught.value)


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot reach the master at"):
        Connection(tmp_path / ("x" * 300))


def test_no_permission(path: Path) -> None:
    with serving(path, echo):
        path.chmod(0)
        # These tests may run as root, whom no mode keeps out.
        if os.getuid() == 0:
            os.seteuid(12345)
        try:
            with pytest.raises(DeniedError, match="permission denied; run this as the user that the master runs as"):
                Connection(path)
        finally:
            os.seteuid(os.getuid())


# a server that goes away or misbehaves


def test_the_server_ends_in_the_middle(path: Path) -> None:
    with serving(path, Script(watch=[{"n": 1}, "wait", {}])):
        connection = Connection(path)
        stream = connection.stream("watch", None, follow=True)
        next(stream)
    with pytest.raises(UnreachableError, match="it closed the connection") as caught:
        next(stream)
    # It may have begun what it was asked for, wherever its socket is now.
    assert (path.exists(), isinstance(caught.value, AbsentError)) == (False, False)
    connection.close()


def test_the_server_ended_before_the_request(path: Path) -> None:
    with serving(path, echo):
        connection = Connection(path)
    with pytest.raises(UnreachableError, match="cannot reach the master") as caught:
        connection.ask("status")
    assert not isinstance(caught.value, AbsentError)
    connection.close()


def test_a_server_that_says_nothing(path: Path) -> None:
    script = Script(status=["wait", {}])
    with serving(path, script), Connection(path, answer_seconds=0.05) as connection:
        with pytest.raises(UnreachableError, match=r"no answer within 0.05 s"):
            connection.ask("status")


def test_a_bound_on_what_follows_the_first_item(path: Path) -> None:
    script = Script(watch=[{"n": 1}, "wait", {}])
    with serving(path, script), Connection(path) as connection:
        stream = connection.stream("watch", clock.boottime() + 0.05, follow=True)
        assert next(stream)["n"] == 1
        with pytest.raises(TimeoutError):
            next(stream)
    assert script.gone.wait(60)


def test_a_bound_that_has_passed_still_reads_what_is_there(path: Path) -> None:
    listener, _ = listen(path)
    with listener, Connection(path) as connection:
        server, _ = listener.accept()
        with server:
            stream = connection.stream("watch", clock.boottime() - 1)
            for number in range(3):
                server.sendall(frame({"kind": "item", "n": number}))
                assert next(stream)["n"] == number
            with pytest.raises(TimeoutError):
                next(stream)


@pytest.mark.parametrize(("answer", "reason"), [
    (b"\xff\xff\xff\xff", "cannot read a message of 4294967295 bytes"),
    (b"\x00\x00\x00\x01\xc1", "cannot read a message"),
    (b"\x00\x00\x00\x01\x90", "a list, not a map"),
    (b"\x00\x00\x00\x01\x80", "a frame of the kind None"),
    (b"\x00\x00\x00\x09\x80", "it closed the connection"),
])
def test_a_server_that_is_none_of_ours(path: Path, answer: bytes, reason: str) -> None:
    listener, _ = listen(path)
    with listener, Connection(path) as connection:
        server, _ = listener.accept()
        with server:
            server.sendall(answer)
            server.shutdown(socket.SHUT_WR)
            with pytest.raises(UnreachableError, match=reason):
                connection.ask("status")


def test_a_server_that_stops_in_the_middle_of_a_frame(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.control.STALL_SECONDS", 0.05)
    listener, _ = listen(path)
    with listener, Connection(path) as connection:
        server, _ = listener.accept()
        with server:
            server.sendall(b"\x00\x00\x00\x09\x80")
            with pytest.raises(UnreachableError, match="fell silent"):
                connection.ask("status")


def test_a_server_that_lets_nobody_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.control.CONNECT_SECONDS", 1.0)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with address(str(path)) as where:
            listener.bind(where)
        listener.listen(0)
        with Connection(path), pytest.raises(UnreachableError, match="stopped or overloaded"):
            Connection(path)


# clients that misbehave


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


# the file of the socket


def gone(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.with_name("beside").touch()
    path.with_name("dead").unlink(missing_ok=True)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with address(str(path.with_name("dead"))) as where:
        dead.bind(where)
    dead.close()
    path.with_name("dead").rename(path)


@pytest.mark.parametrize("harm", [gone, replaced])
def test_a_socket_that_was_removed_or_replaced_comes_back(path: Path, harm: Callable[[Path], None]) -> None:
    with serving(path, echo, Limits(look_seconds=0.05)) as server, Connection(path) as early:
        inode = path.lstat().st_ino
        harm(path)
        until(lambda: path.exists() and path.lstat().st_ino != inode and path.lstat().st_ino == server._inode,
              what="the socket is there again")
        with Connection(path) as late:
            assert late.ask("status")["uid"] == early.ask("status")["uid"] == os.geteuid()
    assert not path.exists()


def test_a_place_that_somebody_else_took_is_left_to_him(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path, echo, Limits(look_seconds=0.05)):
        path.unlink()
        other, _ = listen(path)
        with other:
            until(lambda: "another process listens there" in caplog.text, what="the daemon says so")
        until(lambda: not _refused(path), what="the socket is ours again")


def _refused(path: Path) -> bool:
    try:
        Connection(path).close()
    except JrError:
        return True
    return False
