"""R-A1, R-B33: the short forms of the long runs in `tests/chaos`, on real daemons; `make chaos` plays them whole.

The points are chosen so that each step of a job is cut off once: claim, record, start, spool, remove, commit, ack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.crash import Loop, Point
from tests.chaos.members import Members, members
from tests.chaos.slow import slow
from tests.chaos.strace import unusable

POINTS = {
    ("agent", "work"): {"fsync": (1, 2, 3, 5), "rename": (1, 2), "unlink": (1, 2), "sendto": (1, 3), "write": (2,)},
    ("agent", "start"): {"fsync": (1, 3), "unlink": (1,), "sendto": (3,), "write": (3,)},
    ("spawner", "work"): {"fsync": (1, 2, 3, 4), "rename": (1, 2), "unlink": (1,), "sendmsg": (1,), "clone": (2,)},
    ("master", "work"): {"fdatasync": (1, 2, 4), "pwrite64": (2, 9), "sendto": (1, 4)},
    ("master", "start"): {"fdatasync": (1,), "pwrite64": (5, 20), "sendto": (3,)},
}
FAILED = [Point("agent", "work", "fsync", 2, "EIO"), Point("agent", "start", "fsync", 1, "EIO"),
          Point("spawner", "work", "fsync", 1, "EIO"), Point("spawner", "work", "fsync", 4, "EIO"),
          Point("master", "work", "fdatasync", 1, "EIO"), Point("master", "start", "fdatasync", 1, "EIO"),
          Point("master", "start", "fdatasync", 2, "EIO"), Point("master", "start", "fsync", 1, "EIO")]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Members]:
    reason = unusable()
    if reason is not None:
        pytest.skip(reason)
    with members(1) as found:
        yield found


@pytest.fixture(scope="module")
def player(fleet: Members) -> Loop:
    return Loop(fleet)


@pytest.mark.parametrize(("part", "phase"), POINTS, ids=[" after ".join(one) for one in POINTS])
def test_a_process_that_dies_at_any_call(player: Loop, part: str, phase: str) -> None:
    """R-A1: what was promised holds whichever call was the last (P1-P6); nothing is left alive (P7), it heals (P9)."""
    for call, numbers in POINTS[part, phase].items():
        for number in numbers:
            crash = player.play(Point(part, phase, call, number))
            assert crash.good, crash.details()
            assert crash.hits, f"never so far: {crash.point}"


@pytest.mark.parametrize("point", FAILED, ids=str)
def test_a_sync_that_fails(player: Loop, point: Point) -> None:
    """R-B33: a daemon ends and acknowledges nothing that is not saved; after a restart all is complete."""
    crash = player.play(point)
    assert crash.good, crash.details()
    assert crash.hits, f"never so far: {crash.point}"


def test_a_slow_disk(fleet: Members) -> None:
    """R-B33: each sync takes half a second longer: the connection holds, and the jobs succeed."""
    outcome = slow(fleet, 3)
    assert outcome.good, outcome
    assert outcome.delayed > 10
