"""Minions that an operator starts by hand beside a fleet, and what the master says of their keys."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.lib.fleet import SCRIPTS, Fleet


def keys(fleet: Fleet) -> dict[str, Any]:
    """State and fingerprint of every key, by minion id."""
    return {key["id"]: key for key in fleet.key("list", "-o", "json").json["keys"]}


@contextlib.contextmanager
def newcomer(fleet: Fleet, name: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A minion that an operator starts by hand, with these settings, in a root of this name."""
    path = fleet.settings(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"id": name, **options}))
    log = fleet.minion(name) / "var/log/jr/jr-minion.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen([str(SCRIPTS / "jr-minion"), "--root", str(fleet.minion(name))], cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env={**os.environ, "PATH": f"{fleet.base}/bin:{os.environ['PATH']}"})
    try:
        yield process
    finally:
        process.terminate()
        try:
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()  # does nothing to one that has ended


def master_of(fleet: Fleet) -> dict[str, Any]:
    """What a minion needs to know of the master when it has no join string."""
    ports = yaml.safe_load(fleet.settings("master").read_text())
    own = fleet.key("list", "-o", "json").json["master"]
    return {"master": "127.0.0.1", "master_key": own["key"], "port": ports["port"], "enrol_port": ports["enrol_port"]}
