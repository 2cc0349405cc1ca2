"""The control socket, client and server together over real unix sockets; and servers that misbehave."""

from __future__ import annotations

import errno
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.control import AGENT, AbsentError, Connection
from common.control_frames import ANSWER_LIMIT
from common.control_server import Caller, _Client, owner_only
from common.control_socket import listen
from common.errors import DeniedError, JrError, NotFoundError, UnreachableError, UsageError
from common.sockets import address
from tests.lib.control import Script, serving
from tests.lib.raw_control import echo, frame

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
