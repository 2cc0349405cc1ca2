"""Both ends of the bus in the wrong hands, against a real fleet: a minion that lies, a master that is none, a recorder.

They speak the real protocol with real keys, so what is refused is refused for what it says and not for how.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any, TypeVar

import yaml
import zmq
from msgspec import Raw

from common import codec, keys
from common.codec import encode, pack
from common.ids import MinionId
from common.join import read_join
from common.keys import KeyPair
from common.messages import Enrol, Enrolled, Held, HeldJob, Hello, Message, Ping, Pong, Welcome
from tests.lib.fleet import Fleet
from tests.lib.wait import until

M = TypeVar("M", bound=Message)
SECONDS = 30.0
BACK = 60.0
"""Seconds until a minion must be there again: its back-off is half of that at most."""
_starts = itertools.count(1)


class _Socket:
    """A ZeroMQ socket in a context of its own, which reads with an end."""

    def __init__(self, kind: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(SECONDS * 1000))

    def receive(self, seconds: float) -> list[bytes]:
        """The parts of the next message. Raises AssertionError when none comes."""
        assert self.socket.poll(int(seconds * 1000)), f"waited {seconds} s in vain for a message"
        return self.socket.recv_multipart()

    def close(self) -> None:
        self.socket.close()
        self._context.term()


class Peer:
    """A minion with an accepted key that is no agent of ours."""

    def __init__(self, fleet: Fleet, name: str, pair: KeyPair | None = None) -> None:
        """Enrol with a token, unless `pair` is accepted already."""
        self.id = MinionId(name)
        self.pair = pair or keys.generate()
        self.join = read_join(fleet.key("token", "--minion", name, "--address", "127.0.0.1").out.strip())
        self.line: _Socket | None = None
        if pair is None:
            self.line = self._connect(self.join.enrol_port)
            self.say(Enrol(id=self.id, version="1", token=self.join.token))
            answer = codec.enrolled.decode(self.line.receive(SECONDS)[0])
            assert answer == Enrolled(status="accepted")
        self.heard: list[Any] = []

    def _connect(self, port: int) -> _Socket:
        self.close()
        line = _Socket(zmq.DEALER)
        line.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        line.socket.setsockopt(zmq.CURVE_SERVERKEY, self.join.key.encode())
        line.socket.setsockopt(zmq.CURVE_PUBLICKEY, self.pair.public.encode())
        line.socket.setsockopt(zmq.CURVE_SECRETKEY, self.pair.secret.encode())
        line.socket.connect(f"tcp://127.0.0.1:{port}")
        return line

    def connect(self, port: int | None = None) -> None:
        """A fresh connection to the main port; it has said nothing yet."""
        self.line = self._connect(port or self.join.port)

    def greet(self, held: list[HeldJob] | None = None, port: int | None = None) -> None:
        """A fresh connection, with the greeting of an agent that was started anew."""
        self.connect(port)
        self.say(Hello(version="1", boot_id="b", start=next(_starts), connection=1, facts=Raw(pack({}))))
        self.hear(Welcome)
        self.say(Held(jobs=held or [], last=True))
        self.settle()

    def say(self, message: Message) -> None:
        self.send(encode(message))

    def throw(self, message: Message) -> None:
        """Say it if there is still somebody who takes it at once."""
        assert self.line is not None
        with contextlib.suppress(zmq.Again):
            self.line.socket.send(encode(message), zmq.DONTWAIT)

    def send(self, frame: bytes) -> None:
        """Any bytes; waits while the other side takes none. Raises AssertionError when it takes none for too long."""
        assert self.line is not None
        try:
            self.line.socket.send(frame)
        except zmq.Again:
            raise AssertionError("nobody takes what it says") from None

    def hear(self, kind: type[M], seconds: float = SECONDS) -> M:
        """The next message of this kind; `heard` keeps all that came."""
        assert self.line is not None
        while True:
            message = codec.from_master.decode(self.line.receive(seconds)[0])
            self.heard.append(message)
            if isinstance(message, Ping):  # is it one host? It is asked when its last connection may yet be there
                self.say(Pong(n=message.n))
            if isinstance(message, kind):
                return message

    def settle(self) -> None:
        """Wait until the master has read all that was said."""
        number = int(time.monotonic_ns())
        self.say(Ping(n=number))
        while self.hear(Pong).n != number:
            pass

    def cut(self) -> None:
        """Wait until the master has hung up. Raises AssertionError when it does not."""
        assert self.line is not None
        until(lambda: not self.line.socket.poll(0, zmq.POLLOUT), SECONDS, "the cut")  # type: ignore[union-attr]

    def close(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None


def port_of(fleet: Fleet) -> int:
    """The main port of a fleet's master."""
    port: int = yaml.safe_load(fleet.settings("master").read_text())["port"]
    return port


def key_of(fleet: Fleet) -> KeyPair:
    """The master's own pair, as a thief of its disk would have it."""
    pair = keys.load(fleet.state("master") / "pki", "master")
    assert pair is not None
    return pair


def listening(port: int) -> socket.socket | None:
    """A listener at a port; None while somebody else has it."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def back(fleet: Fleet) -> None:
    """Wait until m1 is connected."""
    until(lambda: "m1" in fleet.run("manage.up").json, BACK, "the minion is back")


class FakeMaster:
    """Listens at the port of a master that was stopped. It lets everybody in."""

    def __init__(self, port: int, pair: KeyPair) -> None:
        self._socket = _Socket(zmq.ROUTER)
        sock = self._socket.socket
        sock.setsockopt(zmq.CURVE_SERVER, 1)
        sock.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._failures = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
        # The kernel may hold the port for a moment after its last owner.
        until(lambda: self._bound(port), SECONDS, "the port")
        self.route = b""
        self.heard: list[Any] = []

    def _bound(self, port: int) -> bool:
        try:
            self._socket.socket.bind(f"tcp://127.0.0.1:{port}")
        except zmq.ZMQError:
            return False
        return True

    def greet(self, master_time: float | None = None) -> None:
        """Wait for a minion, welcome it, and hear what it holds."""
        self.hear(Hello, 60)
        self.say(Welcome(master="fake", time=time.time() if master_time is None else master_time, return_limit=512000))
        while not self.hear(Held).last:
            pass

    def say(self, message: Message) -> None:
        self.send(encode(message))

    def send(self, frame: bytes) -> None:
        self._socket.socket.send_multipart([self.route, frame])

    def hear(self, kind: type[M], seconds: float = SECONDS) -> M:
        """The next message of this kind."""
        while True:
            self.route, frame = self._socket.receive(seconds)
            message = codec.from_minion.decode(frame)
            self.heard.append(message)
            if isinstance(message, kind):
                return message

    def settle(self) -> None:
        """Wait until the minion has handled all that was said."""
        self.say(Ping(n=7))
        self.hear(Pong)

    def fail(self) -> None:
        """Wait until somebody came and went, since this is not who they look for."""
        assert self._failures.poll(int(BACK * 1000)), "nobody came"
        self._failures.recv_multipart()

    def silent(self) -> bool:
        """True when nothing was said."""
        return not self._socket.socket.poll(0)

    def close(self) -> None:
        self._socket.socket.disable_monitor()
        self._failures.close()
        self._socket.close()


class Recorder:
    """A TCP proxy that keeps the bytes of one connection, both ways."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.up, self.down = bytearray(), bytearray()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self._stopped in select.select([self._server, self._stopped], [], [])[0]:
                return
            near = stack.enter_context(self._server.accept()[0])
            far = stack.enter_context(socket.create_connection(("127.0.0.1", self._to)))
            ways = {near: (far, self.up), far: (near, self.down)}
            while True:
                ready, _, _ = select.select([*ways, self._stopped], [], [])
                if self._stopped in ready:
                    return
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    target, kept = ways[source]
                    kept += data
                    target.sendall(data)

    def close(self) -> None:
        """End the connection; what was kept stays."""
        self._stop.close()
        self._thread.join()
        self._stopped.close()
        self._server.close()


def play_again(port: int, recorded: bytes) -> bytes:
    """Send recorded bytes over a new connection; what comes back until the other side hangs up or falls silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as sender, contextlib.suppress(OSError):
        sender.sendall(recorded)
        sender.settimeout(1.0)  # whoever has not answered on the loopback by then waits for more, which never comes
        while data := sender.recv(65536):
            answer += data
    return answer


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
