"""Where files lie, and what the service files promise."""

from __future__ import annotations

from configparser import ConfigParser
from importlib.resources import files
from pathlib import Path

import pytest

from config.paths import Paths, find


def test_the_places_of_the_system() -> None:
    paths = Paths()
    assert [str(path) for path in (
        paths.master_settings, paths.minion_settings, paths.master_state, paths.minion_state, paths.master_socket,
        paths.minion_socket,
    )] == [
        "/etc/jr/master.yaml", "/etc/jr/minion.yaml", "/var/lib/jr/master", "/var/lib/jr/minion", "/run/jr/master.sock",
        "/run/jr/minion.sock",
    ]


def test_everything_lies_below_a_root() -> None:
    paths = Paths(Path("/tmp/r"))
    assert paths.master_settings == Path("/tmp/r/etc/jr/master.yaml")
    assert paths.minion_socket == Path("/tmp/r/run/jr/minion.sock")
    assert paths.local_minion("m1") == Paths(Path("/tmp/r/minions/m1"))
    assert paths.local_minion("m1").minion_state == Path("/tmp/r/minions/m1/var/lib/jr/minion")


def test_the_flag_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("/a", {"JR_ROOT": "/b"}) == Paths(Path("/a"))
    assert find(None, {"JR_ROOT": "/b"}) == Paths(Path("/b"))
    assert find(None, {"JR_ROOT": ""}) == find("", {}) == Paths()
    monkeypatch.chdir(tmp_path)
    assert find("here", {}) == Paths(tmp_path / "here")


@pytest.mark.parametrize("name", ["master", "minion"])
def test_stopping_a_unit_leaves_its_jobs_alone(name: str) -> None:
    unit = ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((files("config") / f"systemd/jr-{name}.service").read_text("utf-8"))
    service = unit["Service"]
    assert (service["KillMode"], service["Delegate"], service["OOMPolicy"]) == ("process", "yes", "continue")
    assert service["ExecStart"] == f"/usr/bin/jr-{name}"
    assert service["StateDirectory"] == str(getattr(Paths(), f"{name}_state").relative_to("/var/lib"))
    assert service["StateDirectoryMode"] == "0700"
    assert service["RuntimeDirectoryPreserve"] == "yes"
