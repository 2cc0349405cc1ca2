"""What keeps a daemon from starting: one clear line that names the thing, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.lib.fleet import Done, Fleet, started

NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Its daemons run; what must not start is started beside them, or after a copy of their files."""
    with started(1) as fleet:
        yield fleet


@pytest.fixture
def copy(fleet: Fleet) -> Iterator[Fleet]:
    """The same fleet with its master stopped, and started again as it was afterwards."""
    fleet.end("master", signal.SIGTERM)
    kept = fleet.base / "kept"
    shutil.copytree(fleet.state("master"), kept / "state", ignore=shutil.ignore_patterns("*.sock"))
    settings = fleet.settings("master").read_text()
    yield fleet
    state = fleet.state("master")
    shutil.rmtree(state)
    shutil.move(kept / "state", state)
    shutil.rmtree(kept)
    fleet.settings("master").write_text(settings)
    fleet.up()


def master(fleet: Fleet, *words: str) -> Done:
    """jr-master in the foreground: it is expected to refuse."""
    return fleet.command("jr-master", *words)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("text", "words"), [
    ("keep_job: 24h\n", ["master.yaml line 1", "keep_job", "keep_jobs"]),
    ("port: 4520\nprot: 1\n", ["master.yaml line 2", "prot", "port"]),
    ("port: many\n", ["master.yaml line 1", "port", "many"]),
    ("port: 4520\nport: 4521\n", ["master.yaml", "port"]),
    ("grace: forever\n", ["grace", "forever"]),
    ("bind: [1\n", ["master.yaml"]),
    ("- a list\n", ["master.yaml"]),
    ("runner_dirs: [relative/path]\n", ["runner_dirs"]),
    ("log_level: loud\n", ["log_level", "debug, info, warning, error"]),
])
def test_a_wrong_settings_file_names_file_line_and_key(fleet: Fleet, text: str, words: list[str]) -> None:
    root = fleet.base / "wrong"
    path = root / "etc/jr/master.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

    for extra in ([], ["--check-config"]):
        ended = fleet.command("jr-master", *extra, root=root)
        ended.fails(2, *words)
        assert not (root / "var").exists(), "nothing is half-written"


def test_every_wrong_key_is_told_at_once(fleet: Fleet) -> None:
    root = fleet.base / "wrong2"
    path = root / "etc/jr/minion.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("id: m1\nscedule: {}\nmaxjobs: 3\n")
    ended = fleet.command("jr-minion", root=root)

    assert ended.code == 2
    for word in ("scedule", "schedule", "maxjobs", "max_jobs", "line 2", "line 3"):
        assert word in ended.err


@pytest.mark.parametrize("wrong", ["M1", "-x", "a/b", "..", "master", "x" * 64, "ü", "a b"])
def test_a_bad_minion_id(fleet: Fleet, wrong: str) -> None:
    fleet.command("jr-minion", "--id", wrong, root=fleet.base / "id").fails(2, "--id")
    ended = fleet.command("jr-call", "test.ping", root=fleet.base / "id", env={"JR_MINION_ID": wrong})
    assert ended.code == 2
    assert "JR_MINION_ID" in ended.err.splitlines()[-1]


def test_a_join_string_that_is_none(fleet: Fleet) -> None:
    fleet.command("jr-minion", "--join", "jr1.abc", root=fleet.base / "join").fails(2, "jr-key token")


def test_check_config_shows_where_each_value_came_from_and_no_secret(fleet: Fleet) -> None:
    ended = fleet.command("jr-master", "--check-config", env={"JR_MASTER_GRACE": "3s"})
    assert ended.code == 0
    assert "grace: 3.0  (JR_MASTER_GRACE)" in ended.out
    assert f"{fleet.settings('master')} line" in ended.out

    ended = fleet.command("jr-minion", "--check-config", root=fleet.minion("m1"))
    join = yaml.safe_load(fleet.settings("m1").read_text())["join"]
    assert ended.code == 0
    assert join not in ended.out
    assert "join: (hidden)" in ended.out


def test_two_masters_on_one_folder(fleet: Fleet) -> None:
    master(fleet).fails(2, str(fleet.state("master")), "another process")
    assert fleet.jr("m1", "test.ping").code == 0


def test_two_agents_on_one_folder(fleet: Fleet) -> None:
    fleet.command("jr-minion", root=fleet.minion("m1")).fails(2, str(fleet.state("m1")), "another process")
    assert fleet.jr("m1", "test.ping").code == 0


def test_a_port_that_is_taken(copy: Fleet) -> None:
    port = yaml.safe_load(copy.settings("master").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)):
        ended = master(copy)

    assert ended.code != 0
    line = ended.err.splitlines()[-1]
    assert str(port) in line


def test_a_state_folder_of_somebody_else(copy: Fleet) -> None:
    state = copy.state("master")
    os.chown(state, NOBODY, -1)
    before = files(state)
    try:
        master(copy).fails(2, str(state), f"uid {NOBODY}")
        assert files(state) == before
        ended = copy.command("jr-local", "up", "--minions", "1")
        assert (ended.code, str(state) in ended.err) == (2, True)
    finally:
        os.chown(state, os.getuid(), -1)


def test_a_state_folder_of_somebody_else_on_a_minion(fleet: Fleet) -> None:
    root = fleet.base / "other"
    state = root / "var/lib/jr/minion"
    state.mkdir(parents=True)
    os.chown(state, NOBODY, -1)
    for program, words in (("jr-minion", []), ("jr-call", ["test.ping"])):
        ended = fleet.command(program, *words, root=root, env={"JR_MINION_ID": "other"})
        assert ended.code == 2
        assert str(state) in ended.err.splitlines()[-1]
        assert list(state.iterdir()) == []


def test_a_root_that_is_no_fleet(fleet: Fleet) -> None:
    root = fleet.base / "precious"
    root.mkdir()
    (root / "thesis.txt").write_text("mine")

    for words in (["up"], ["down", "--purge"], ["status"]):
        fleet.command("jr-local", *words, root=root).fails(2, str(root))
    assert [path.name for path in root.iterdir()] == ["thesis.txt"]


def test_a_long_root_is_no_obstacle(fleet: Fleet) -> None:
    # Paths of unix sockets are short; the root need not be.
    root = fleet.base / ("x" * 120)
    try:
        assert fleet.command("jr-local", "--root", str(root), "up", "--minions", "1").code == 0
        ended = fleet.command("jr", "m1", "cmd.run", "true", root=root)
        assert ended.code == 0, ended
    finally:
        assert fleet.command("jr-local", "down", "--purge", root=root).code == 0
    assert not root.exists()


def test_a_database_of_a_newer_version(copy: Fleet) -> None:
    database = copy.state("master") / "jr.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = database.read_bytes()

    line = master(copy).fails(1, str(database), "newer", "999")
    assert "sqlite3" not in line
    assert database.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a database at all, but text\n" * 100])
def test_a_file_that_is_no_database(copy: Fleet, content: bytes) -> None:
    database = copy.state("master") / "jr.db"
    database.write_bytes(content)

    master(copy).fails(1, str(database))
    assert database.read_bytes() == content


def test_a_key_that_is_damaged(copy: Fleet) -> None:
    path = next((copy.state("master") / "pki").iterdir())
    path.write_text("garbage\n")
    ended = master(copy)

    assert ended.code in (1, 2)
    assert str(path.parent) in ended.err.splitlines()[-1]
    assert path.read_text() == "garbage\n"


def test_a_settings_file_that_cannot_be_read(fleet: Fleet) -> None:
    root = fleet.base / "folder"
    (root / "etc/jr/master.yaml").mkdir(parents=True)

    fleet.command("jr-master", root=root).fails(2, "master.yaml")


def test_a_daemon_that_does_not_come_up_is_explained_by_jr_local(copy: Fleet) -> None:
    copy.configure("master", keep_job="1h")
    ended = copy.command("jr-local", "up", "--minions", "1")

    assert ended.code == 1
    assert "keep_job" in ended.err
    assert len(ended.err.splitlines()) == 1
