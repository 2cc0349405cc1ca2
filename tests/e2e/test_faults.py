"""Faults on a real fleet, in a short form: `python -m tests.chaos NAME` plays the long ones.

P6, P9: after each of them everything is complete, without a human, within the two minutes that `heal` waits at most.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos import outage, pauses, restarts, returns
from tests.chaos.members import Members, members


@pytest.fixture(scope="module")
def fleet() -> Iterator[Members]:
    with members(1) as fleet:
        yield fleet


@pytest.mark.parametrize("who", ["m1", "master"])
def test_jobs_do_not_notice_a_daemon_that_is_killed_every_two_seconds(fleet: Members, who: str) -> None:
    # R-A2, P6: all exit codes are right, and no process or descriptor is left.
    found = restarts.restarts(fleet, who, jobs=20, longest=4.0, seconds=6.0)
    assert found.good, found.report()
    assert found.kills == 4


@pytest.mark.parametrize("who", pauses.WHO)
def test_a_process_that_is_stopped_and_goes_on_catches_up(fleet: Members, who: str) -> None:
    # R-B36
    found = pauses.paused(fleet, who, seconds=1.5)
    assert found.good, found.report()


def test_returns_wait_for_a_master_that_is_away(fleet: Members) -> None:
    # R-A4, P3; an hour of virtual time in tests/sim/test_world.py
    found = outage.outage(fleet, jobs=80, seconds=2.0)
    assert found.good, found.report()
    assert found.spooled >= 40


def test_every_return_is_stored_once_however_often_the_master_dies(fleet: Members) -> None:
    # R-A3, P3
    found = returns.returns(fleet, count=300, seconds=1.5)
    assert found.good, found.report()
    assert len(found.stored) == 300
    assert found.kills > 1
