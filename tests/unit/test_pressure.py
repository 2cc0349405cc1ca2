"""When a process counts as grown, and for how long. # R-B25"""

from __future__ import annotations

from common.pressure import Pressure, resident


def test_growth_is_felt_for_a_while_and_then_counts_as_its_own() -> None:
    size = 1000
    pressure = Pressure(100, 60.0, lambda: size)
    assert not pressure.felt(0)
    size = 1100
    assert not pressure.felt(1), "a step is what it may grow by"
    size = 1101
    assert pressure.felt(2)
    size = 900
    assert pressure.felt(61.9)
    assert not pressure.felt(62)
    size = 1000
    assert not pressure.felt(63)
    size = 1001
    assert pressure.felt(64), "the lowest it ever was is what it grows from"
    assert not pressure.felt(200)
    size = 1101
    assert not pressure.felt(201)
    size = 1102
    assert pressure.felt(202)


def test_this_process_is_measured() -> None:
    assert resident() > 1_000_000
    assert not Pressure(2**40, 60.0).felt(0)
