"""Wall clocks of real daemons step in the middle of jobs: see tests/chaos/clocks.py for what is real in it."""

from __future__ import annotations

from tests.chaos import clocks
from tests.chaos.members import members


def test_no_step_of_a_wall_clock_ends_doubles_or_purges_anything() -> None:
    # R-B31. Retention by running time: tests/contract/test_stores_retention.py; ids: tests/unit/test_ids.py; schedules:
    # tests/unit/test_schedule_engine.py; whole fleets in virtual time: tests/sim/stories/clocks.txt.
    with members(1) as fleet:
        found = clocks.steps(fleet, jobs=4, wait=0.0)
    assert [step.report() for step in found if not step.good] == []
    assert len(found) == len(clocks.STEPS) + 1
