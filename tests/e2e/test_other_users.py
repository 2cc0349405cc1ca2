"""The control sockets, and who else is on the host: another user gets nothing, idle clients keep nobody out. R-A22."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.control_frames import REQUEST_LIMIT, pack
from tests.contract.test_roles import MASTER_VERBS, MINION_VERBS
from tests.lib.fleet import Fleet, started

NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def sockets(fleet: Fleet) -> dict[Path, list[str]]:
    """The control sockets, with their verbs."""
    return {fleet.root / "run/jr/master.sock": list(MASTER_VERBS),
            fleet.minion("m1") / "run/jr/minion.sock": list(MINION_VERBS)}


def as_nobody(code: str, *words: str) -> list[str]:
    """What a piece of Python prints, run as another user without any group; it has `say` and `talk`."""
    prelude = """
import os, socket, struct, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def talk(path, frame):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(20)
    try:
        peer.connect(path)
        peer.sendall(frame)
        return peer.recv(65536)
    except OSError as error:
        return type(error).__name__.encode()
def try_(call, *args):
    try:
        call(*args)
        return "done"
    except OSError as error:
        return type(error).__name__
"""
    ended = subprocess.run([sys.executable, "-S", "-c", prelude + code, *words], capture_output=True, text=True,
                           check=True, cwd="/", timeout=60)
    return ended.stdout.splitlines()


@contextlib.contextmanager
def opened(*paths: Path) -> Iterator[None]:
    """Folders and sockets that somebody has opened to all by mistake."""
    modes = {path: path.stat().st_mode for path in paths}
    try:
        for path in paths:
            path.chmod(0o777)
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@ROOT
def test_another_user_cannot_even_connect(fleet: Fleet) -> None:
    for path in sockets(fleet):
        code = "print(talk(sys.argv[1], b'').decode()); print(try_(os.listdir, os.path.dirname(sys.argv[1])))"
        assert as_nobody(code, str(path)) == ["PermissionError"] * 2


@ROOT
def test_the_socket_itself_is_closed_where_its_folder_is_open(fleet: Fleet) -> None:
    """/run/jr may be looked into; the file there is its owner's."""
    for path in sockets(fleet):
        with opened(fleet.base, *_above(fleet, path)):
            code = """
path = sys.argv[1]
print(talk(path, b"").decode())
"""
            assert as_nobody(code, str(path)) == ["PermissionError"]


@ROOT
def test_no_verb_is_for_another_user_where_all_modes_are_lost(fleet: Fleet) -> None:
    for path, verbs in sockets(fleet).items():
        frames = [pack({"v": 1, "verb": verb, "function": "test.ping", "target": "*", "jid": "2" * 20, "how": "kill"},
                       REQUEST_LIMIT).hex() for verb in verbs]
        with opened(path, fleet.base, *_above(fleet, path)):
            code = "[print(talk(sys.argv[1], bytes.fromhex(frame))) for frame in sys.argv[2:]]"
            answers = as_nobody(code, str(path), *frames)
        for verb, answer in zip(verbs, answers, strict=True):
            assert f"cannot do {verb}: nobody may not" in answer, answer
    assert fleet.job("m1", "test.ping").code == 0


@ROOT
def test_the_path_cannot_be_swapped(fleet: Fleet) -> None:
    """Neither replaced nor removed nor moved, nor anything beside it made or read; the state folders as well."""
    for path in [*sockets(fleet), fleet.state("master") / "jr.db", fleet.state("m1") / "proc"]:
        code = """
path = sys.argv[1]
for call, args in ((os.unlink, [path]), (os.rename, [path, path + "x"]), (os.symlink, ["/tmp", path + "y"]),
                   (os.mkfifo, [path + "z"]), (os.chmod, [path, 0o777]), (os.listdir, [os.path.dirname(path)])):
    print(try_(call, *args))
"""
        assert as_nobody(code, str(path)) == ["PermissionError"] * 6
        with opened(fleet.base):  # the folder of the installation itself may be anybody's to look into
            assert as_nobody(code, str(path)) == ["PermissionError"] * 6


def _above(fleet: Fleet, path: Path) -> list[Path]:
    """The folders between the fleet's own and a file."""
    return [folder for folder in path.parents if folder.is_relative_to(fleet.base)]


def test_clients_who_say_nothing_or_half_of_something_keep_nobody_out(fleet: Fleet) -> None:
    for path in sockets(fleet):
        with contextlib.ExitStack() as stack:
            for number in range(1000):
                client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                # A full queue of connections is waited for; with Python's own time-out it would be an error.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 20, 0))
                client.connect(str(path))
                with contextlib.suppress(OSError):  # it may be cut already
                    client.sendall((b"", b"\0\0", b"\0\0\0\x40half")[number % 3])
            assert fleet.job("m1", "test.ping").code == 0
            assert fleet.run("jobs.active").code == 0
            assert fleet.call("m1", "test.ping").code == 0
    assert fleet.log("master").count(" client.cut: ") <= 2
