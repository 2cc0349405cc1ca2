"""What a filter means, and how states and counts are told."""

from __future__ import annotations

import math

import pytest

from common.ids import mint
from common.states import State
from master.store.base import Filter
from master.store.filters import count, digits, fits, present, window
from tests.lib.stored import NOON, jid, job, pair


@pytest.mark.parametrize("at", [NOON, NOON + 0.000001, NOON + 0.1, 0.0, 1.5, 253402300799.0])
def test_digits_are_those_of_a_jid_minted_then(at: float) -> None:
    assert digits(at) == mint(at, None)[:20]


@pytest.mark.parametrize(("at", "bound"), [
    (-math.inf, "0" * 20), (-1e30, "0" * 20), (-1e11, "0" * 20), (math.inf, ":"), (1e30, ":"), (253402300800.0, ":"),
    (math.nan, ":"),
])
def test_digits_of_a_time_that_no_jid_has(at: float, bound: str) -> None:
    assert digits(at) == bound


def test_digits_before_the_epoch_sort_before_it() -> None:
    assert "0" * 20 < digits(-1e10) < digits(0.0)


def test_a_window_has_its_begin_and_not_its_end() -> None:
    floor, top = window(Filter(since=NOON + 1, until=NOON + 2))
    assert floor <= jid(1) < top
    assert floor <= jid(1, "a") < top
    assert not floor <= jid(2) < top


def test_no_window_is_all() -> None:
    floor, top = window(Filter())
    assert floor <= "0" * 20 < "9" * 20 + "-" + "f" * 16 < top


@pytest.mark.parametrize(("wanted", "passes"), [
    (Filter(), True),
    (Filter(function="cmd.*"), True),
    (Filter(function="cmd"), False),
    (Filter(target="web[0-9]"), True),
    (Filter(target="WEB1"), False),
    (Filter(user="joe"), True),
    (Filter(user="j*"), False),
    (Filter(schedule="nightly"), True),
    (Filter(schedule="weekly"), False),
    (Filter(metadata={"a": "1"}), True),
    (Filter(metadata={"a": "1", "b": "2"}), True),
    (Filter(metadata={"a": "2"}), False),
    (Filter(metadata={"c": "1"}), False),
    (Filter(function="cmd.run", user="root"), False),
    # These are judged by the store, which knows pairs and order.
    (Filter(state=State.LOST, since=NOON + 999, until=0.0), True),
])
def test_fits(wanted: Filter, passes: bool) -> None:
    one = job(1, "cmd.run", "joe", "web1", schedule="nightly", metadata={"a": "1", "b": "2"})
    assert fits(wanted, one) is passes


def test_a_job_without_a_schedule_fits_no_schedule() -> None:
    assert not fits(Filter(schedule=""), job(1))


def test_counts() -> None:
    pairs = [pair(jid(1), "a"), pair(jid(1), "b"), pair(jid(1), "c", State.LOST)]
    assert count(pairs) == {State.SENT: 2, State.LOST: 1}
    assert count([]) == {}
    assert present({State.SENT: 0, State.LOST: 1}) == {State.LOST: 1}
