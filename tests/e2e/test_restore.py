"""The master's disk has damaged the database: refused, restored, and the minions tell what the copy does not know."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.lib.fleet import SCRIPTS, Fleet, started
from tests.lib.wait import until


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def test_a_damaged_database_is_refused_and_a_copy_of_it_restored(fleet: Fleet) -> None:
    # R-B29, P3, P4, P9: what was published after the copy was made is filed when its minion returns it.
    before = fleet.job("m1", "test.echo", "before").json["jid"]
    backup = fleet.command("jr-master", "--backup")
    assert backup.code == 0, backup
    gate = fleet.base / "gate"
    after = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done; echo through")
    fleet.running(after)
    fleet.command("jr-master", "--restore").fails(2, "another process")
    fleet.end("master")
    database = fleet.state("master") / "jr.db"
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))

    refused = subprocess.run([SCRIPTS / "jr-master", "--root", fleet.root], capture_output=True, text=True, timeout=40,
                             check=False)
    assert refused.returncode == 1
    assert f"jr-master --restore puts {backup.out.strip()}" in refused.stderr
    assert "Traceback" not in refused.stderr

    restored = fleet.command("jr-master", "--restore")
    assert (restored.code, restored.out) == (0, f"restored {backup.out.strip()}\n")
    assert "replaced-" in restored.err
    fleet.up()
    assert fleet.lookup(before)["minions"]["m1"]["return"] == "before"
    fleet.run("jobs.lookup_jid", after).fails(3, after)
    gate.touch()
    until(lambda: fleet.run("jobs.lookup_jid", after).code == 0, what="the return of a job that the copy does not know")
    pair = fleet.ended(after)
    assert (pair["state"], pair["stdout"]) == ("succeeded", "through\n")
    fleet.acked()


def test_a_restore_without_a_copy(fleet: Fleet) -> None:
    root = fleet.base / "empty"
    fleet.command("jr-master", "--restore", root=root).fails(2, "there is no backup")
    fleet.command("jr-master", "--backup", root=root).fails(1, "jr.db")
