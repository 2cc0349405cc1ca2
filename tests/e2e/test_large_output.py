"""R-A21: output without end, of every kind. It costs the agent no memory, and what is not kept is counted and shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.fleet import Fleet, started

GIB = 2**30
KEPT = 2**20
"""`output_limit` by default."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def memory(fleet: Fleet, field: str) -> int:
    """Bytes of memory of the agent: `VmRSS` now, `VmHWM` at its highest."""
    status = Path(f"/proc/{fleet.pid('m1')}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


@pytest.mark.parametrize(("script", "size"), [
    ("head -c 1G /dev/zero", GIB),  # no newline
    ("head -c 64M /dev/urandom", 64 * 2**20),  # binary
    ("seq 1000000 1999999", 8_000_000),  # a million lines
])
def test_much_output(fleet: Fleet, script: str, size: int) -> None:
    before = memory(fleet, "VmRSS")
    ended = fleet.job("m1", "cmd.run", script)
    pair = ended.pair()
    assert (ended.code, pair["state"], pair["retcode"]) == (0, "succeeded", 0)
    assert pair["evidence"]["lost_bytes"] == size - KEPT
    assert memory(fleet, "VmHWM") < before + 20 * 2**20

    kept = (fleet.state("m1") / "output" / f"{ended.json['jid']}.out").read_bytes()
    line = f"\n[jr: {size - KEPT} bytes are left out here]\n".encode()
    head, _, tail = kept.partition(line)
    assert (len(head), len(tail)) == (KEPT - KEPT // 4, KEPT // 4)
    if script.startswith("seq"):
        assert head.startswith(b"1000000\n1000001\n")
        assert tail.endswith(b"1999998\n1999999\n")


def test_a_person_is_told_what_is_missing(fleet: Fleet) -> None:
    ended = fleet.jr("m1", "cmd.run", "head -c 5000000 /dev/zero | tr '\\0' x")
    assert ended.code == 0
    assert str(5_000_000 - KEPT) in ended.out.replace(",", "")
