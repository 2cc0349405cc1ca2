"""R-B28, R-B30: damaged files at the start of an agent. Each costs itself, is set aside and named; the rest goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Raw

from common import clock, codec
from common.ids import Jid, MinionId, mint
from common.messages import JobFields, Return
from common.proc.spool import seal
from common.states import State
from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

RETURNS = 2_000
PATIENCE = 120.0
"""Seconds for so many returns, which take a few."""
OLD = 1_767_225_600.0
"""Epoch seconds of jobs of the past."""

DAMAGE: dict[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, whole: path.touch(),
    "half": lambda path, whole: path.write_bytes(whole[:len(whole) // 2]),
    "huge": lambda path, whole: path.write_bytes(whole + b" " * 2**21),
    "types": lambda path, whole: path.write_bytes(whole.replace(b'"user": "', b'"user": 5, "was": "')),
    "binary": lambda path, whole: path.write_bytes(os.urandom(4096)),
    "link": lambda path, whole: path.symlink_to("/etc/passwd"),
    "folder": lambda path, whole: path.mkdir(),
    "pipe": lambda path, whole: os.mkfifo(path),
}


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def old_jid(number: int) -> Jid:
    """A jid of a job that began on m1."""
    return mint(OLD + number, None, MinionId("m1"))


def test_damaged_records_hide_no_other(fleet: Fleet) -> None:
    """R-B28."""
    gate = fleet.base / "gate"
    jid = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.05; done; echo through")
    fleet.running(jid)
    whole = fleet.record(jid).read_bytes()
    fleet.end("m1")
    damaged = [fleet.record(old_jid(number)) for number in range(len(DAMAGE))]
    for path, damage in zip(damaged, DAMAGE.values(), strict=True):
        damage(path, whole)
    fleet.up()

    aside = {path.name for path in (fleet.state("m1") / "quarantine").iterdir()}
    assert aside == {f"proc-{path.name}-0" for path in damaged}
    log = fleet.log("m1")
    assert all(f"{path} is damaged and was moved" in log for path in damaged)
    assert fleet.job("m1", "job.running").pair()["return"][0]["jid"] == jid
    gate.touch()
    assert fleet.ended(jid)["stdout"] == "through\n"


def test_damaged_returns_hold_up_no_other(fleet: Fleet) -> None:
    """R-B30: among many; `tests/unit` reads ten thousand."""
    fleet.end("m1", signal.SIGTERM)
    spool = fleet.state("m1") / "spool"
    fields = JobFields(function="cmd.run", args=Raw(codec.pack(["true"])), user="ann")
    bad = set()
    for number in range(RETURNS):
        jid = old_jid(number)
        message = Return(jid=jid, job=fields, state=State.SUCCEEDED, retcode=0, accepted=OLD + number,
                         ended=clock.wall())
        data = bytearray(seal(codec.encode(message)))
        if number % 200 == 17:
            bad.add(jid)
            data[len(data) // 2] ^= 4
        elif number % 200 == 18:
            bad.add(jid)
            del data[len(data) // 2:]
        (spool / f"{jid}.msgpack").write_bytes(data)
    fleet.up()

    until(lambda: not any(spool.iterdir()), PATIENCE, "all returns to be acknowledged")
    aside = {path.name for path in (fleet.state("m1") / "quarantine").iterdir()}
    assert aside == {f"spool-{jid}.msgpack-0" for jid in bad}
    log = fleet.log("m1")
    assert all(f"{jid}.msgpack is damaged" in log for jid in bad)
    last, lost = old_jid(RETURNS - 1), max(bad)
    assert fleet.lookup(last)["minions"]["m1"]["state"] == "succeeded"
    assert fleet.run("jobs.lookup_jid", lost).code == 3
