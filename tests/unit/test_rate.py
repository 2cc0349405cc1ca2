"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.rate import Buckets


def test_a_burst_passes_and_the_next_one_waits() -> None:
    buckets: Buckets[str] = Buckets(3, 60.0)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not buckets.take("a", 19.9)
    assert buckets.take("a", 20.1)
    assert not buckets.take("a", 20.2)


def test_a_refused_try_costs_nothing() -> None:
    buckets: Buckets[str] = Buckets(1, 60.0)
    assert buckets.take("a", 0.0)
    assert not any(buckets.take("a", float(second)) for second in range(1, 60))
    assert buckets.take("a", 60.1)


def test_keys_do_not_share() -> None:
    buckets: Buckets[str] = Buckets(1, 60.0)
    assert buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.0)


def test_rest_never_saves_more_than_a_burst() -> None:
    buckets: Buckets[str] = Buckets(2, 60.0)
    assert buckets.take("a", 0.0)
    assert [buckets.take("a", 1e6) for _ in range(3)] == [True, True, False]


def test_the_table_is_bounded_and_forgets_the_quietest() -> None:
    buckets: Buckets[int] = Buckets(1, 60.0, room=3)
    for key in (1, 2, 3):
        assert buckets.take(key, 0.0)
    assert not buckets.take(1, 1.0)
    assert buckets.take(4, 2.0)  # 2 was quiet longest
    assert len(buckets) == 3
    assert not buckets.take(1, 3.0)
    assert buckets.take(2, 4.0)


@given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 10))
def test_no_stretch_of_time_has_more_than_its_share(gaps: list[float], burst: int) -> None:
    buckets: Buckets[str] = Buckets(burst, 60.0)
    now, taken = 0.0, []
    for gap in gaps:
        now += gap
        if buckets.take("a", now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * burst / 60.0 + 1e-6
