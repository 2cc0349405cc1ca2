"""Deadlines by key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.timers import Timers


def test_the_earliest_comes_first() -> None:
    timers: Timers[str] = Timers()
    assert timers.next() is None
    assert timers.due(1e9) == []
    timers.set("b", 2.0)
    timers.set("a", 1.0)
    timers.set("c", 3.0)
    assert timers.next() == 1.0
    assert timers.due(0.9) == []
    assert timers.due(2.0) == ["a", "b"]
    assert timers.due(2.0) == []
    assert timers.next() == 3.0


def test_a_later_setting_replaces_the_earlier() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("a", 5.0)
    assert timers.due(4.0) == []
    timers.set("a", 2.0)
    assert timers.due(4.0) == ["a"]
    assert timers.next() is None


def test_what_is_cleared_does_not_come() -> None:
    timers: Timers[str] = Timers()
    timers.clear("never set")
    timers.set("a", 1.0)
    timers.clear("a")
    assert timers.next() is None
    timers.set("a", 1.0)
    timers.set("a", 1.0)  # twice the same
    assert timers.due(1.0) == ["a"]


def test_keys_need_no_order_of_their_own() -> None:
    timers: Timers[frozenset[int]] = Timers()
    timers.set(frozenset({1}), 1.0)
    timers.set(frozenset({2}), 1.0)
    assert timers.due(1.0) == [frozenset({1}), frozenset({2})]  # as they were set


def test_setting_one_key_for_ever_does_not_grow() -> None:
    timers: Timers[str] = Timers()
    for at in range(10_000):
        timers.set("a", float(at))
    assert len(timers._heap) < 100
    assert timers.due(9999.0) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 20))), max_size=200))
def test_it_does_what_a_plain_map_would(moves: list[tuple[int, int | None]]) -> None:
    timers: Timers[int] = Timers()
    plain: dict[int, int] = {}
    for key, at in moves:
        if at is None:
            timers.clear(key)
            plain.pop(key, None)
        else:
            timers.set(key, at)
            plain[key] = at
        assert timers.next() == min(plain.values(), default=None)
    for now in range(21):
        assert sorted(timers.due(now)) == sorted(key for key, at in plain.items() if at == now)
