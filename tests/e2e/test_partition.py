"""A link that is down in the middle of a stream of jobs, between real network namespaces; `tests.chaos partition`."""

from __future__ import annotations

import pytest

from tests.chaos import partition


def test_nothing_is_lost_or_doubled_when_the_link_was_down() -> None:
    # R-A18, P9; a minute of it, in virtual time, in tests/sim/stories/half_open.txt
    if why := partition.missing():
        pytest.skip(why)
    with partition.linked() as (fleet, link):
        found = partition.parted(fleet, link, jobs=100, rate=30.0, seconds=2.0)
    assert found.good, found.report()
    assert found.verdict.states.total() == 100
