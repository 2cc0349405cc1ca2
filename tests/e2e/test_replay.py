"""What was said once is not said again, and a minion finds its master whatever stood in its place. R-B38, R-A11, S5."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import yaml

from common.ids import Jid
from common.messages import Ack, Publish, Return
from common.states import State
from tests.lib.cores import FIELDS
from tests.lib.fleet import Fleet, started
from tests.lib.hostile import BACK, Peer, Recorder, back, key_of, listening, play_again, port_of
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


# a recorded session


def test_recorded_bytes_of_a_minion_say_nothing_again(fleet: Fleet) -> None:
    peer = Peer(fleet, "taped")
    recorder = Recorder(peer.join.port)
    try:
        peer.greet(port=recorder.port)
        jid = fleet.start("taped", "test.echo", "once")
        peer.hear(Publish)
        peer.say(Return(jid=Jid(jid), job=FIELDS, state=State.SUCCEEDED, retcode=0, ended=time.time()))
        peer.hear(Ack)
    finally:
        peer.close()
        recorder.close()
    assert len(recorder.up) > 500
    before = fleet.lookup(jid)
    until(lambda: not fleet.run("manage.status").json["taped"]["up"], what="the master sees it go")
    for _ in range(2):
        answer = play_again(peer.join.port, bytes(recorder.up))
        assert b"READY" not in answer, "the handshake of another connection opens none"
        # On the connection that it was said on, the same frame again ends it: its number was used.
    assert fleet.lookup(jid) == before
    assert not fleet.run("manage.status").json["taped"]["up"]
    assert fleet.job("m1", "test.ping").code == 0


def test_recorded_bytes_of_the_master_start_nothing_again(fleet: Fleet) -> None:
    marker = fleet.base / "taped"
    settings, port = fleet.settings("m1").read_text(), port_of(fleet)
    recorder = Recorder(port)
    text = yaml.safe_dump({"id": "m1", "master": "127.0.0.1", "master_key": key_of(fleet).public,
                           "port": recorder.port})
    fleet.settings("m1").write_text(text)
    try:
        fleet.restart("m1")
        assert fleet.job("m1", "cmd.run", f"echo ran >> {marker}").code == 0
        fleet.acked()
    finally:
        recorder.close()
    tape = _Tape(recorder.port, bytes(recorder.down))
    try:
        until(lambda: tape.played >= 2, BACK, "the tape was played twice")
        assert fleet.call("m1", "sys.status").json["m1"]["return"]["connection"] != "online"
    finally:
        tape.close()
        fleet.settings("m1").write_text(settings)
        fleet.restart("m1")
    assert marker.read_text() == "ran\n"


class _Tape:
    """Plays recorded bytes to whoever connects."""

    def __init__(self, port: int, recorded: bytes) -> None:
        self.played = 0
        self._recorded = recorded
        self._server = until(lambda: listening(port), what="the port of the recorder")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.settimeout(1.0)  # it says nothing more once it has found the recording out
                peer.sendall(self._recorded)
                while peer.recv(65536):
                    pass
            self.played += 1

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


# what a minion comes back from


def test_a_minion_is_back_with_its_spool_after_it_was_rejected(fleet: Fleet) -> None:  # R-A11
    gate = fleet.base / "rejected"
    jid = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done; echo through")
    fleet.running(jid)
    assert fleet.key("reject", "m1").code == 0
    gate.touch()
    fleet.over(jid)
    until(lambda: "was rejected" in fleet.log("m1"), BACK, "it was turned away")
    assert fleet.lookup(jid)["minions"]["m1"]["state"] == "running"
    assert fleet.key("accept", "m1").code == 0
    back(fleet)
    assert fleet.ended(jid)["stdout"] == "through\n"


def _speaking_http(port: int) -> Callable[[], None]:
    server = until(lambda: _http(port), what="the port")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return end


class _Quiet(http.server.BaseHTTPRequestHandler):
    timeout = 0.3
    seen = 0

    def handle(self) -> None:
        _Quiet.seen += 1
        super().handle()

    def log_message(self, *_: object) -> None: ...


def _http(port: int) -> http.server.ThreadingHTTPServer | None:
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), _Quiet)
    except OSError:
        return None


def test_a_minion_is_back_with_its_spool_after_the_port_was_somebody_elses(fleet: Fleet) -> None:  # R-A11
    gate = fleet.base / "http"
    jid = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done; echo through")
    fleet.running(jid)
    fleet.end("master")
    end = _speaking_http(port_of(fleet))
    try:
        gate.touch()
        fleet.over(jid)
        until(lambda: _Quiet.seen >= 2, BACK, "it tried twice")
    finally:
        end()
        fleet.up()
    back(fleet)
    assert fleet.ended(jid)["stdout"] == "through\n"
