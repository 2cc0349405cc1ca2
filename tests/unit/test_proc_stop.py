"""The pure core of stopping: TERM, grace, KILL, and who wins."""

from __future__ import annotations

import pytest

from common.proc.stop import ROUND_SECONDS, SWEEP_SECONDS, Ask, Step, Stopping, Why, read_ask

TERM = Ask(Why.STOPPED, grace=10.0, by="a", at=1.0)
KILL = Ask(Why.STOPPED, grace=None, by="b", at=2.0)


def test_term_then_grace_then_kill() -> None:
    stopping = Stopping()
    assert stopping.next() is None
    assert stopping.ask(TERM, 100.0) is Step.TERM
    assert stopping.next() == 110.0
    assert stopping.tick(109.9) is Step.NOTHING
    assert stopping.tick(110.0) is Step.KILL
    assert stopping.next() == 110.0 + ROUND_SECONDS
    assert stopping.tick(110.0) is Step.NOTHING
    assert stopping.tick(110.0 + ROUND_SECONDS) is Step.KILL
    assert stopping.tick(110.0 + SWEEP_SECONDS) is Step.GIVE_UP


def test_kill_is_at_once() -> None:
    stopping = Stopping()
    assert stopping.ask(KILL, 5.0) is Step.KILL
    assert (stopping.first, stopping.began) == (KILL, 5.0)
    assert stopping.ask(KILL, 6.0) is Step.NOTHING  # it is at it already
    assert stopping.tick(5.0 + SWEEP_SECONDS) is Step.GIVE_UP  # and the second did not move the end


def test_the_first_wins_and_a_kill_hurries() -> None:
    stopping = Stopping()
    timeout = Ask(Why.TIMED_OUT, grace=30.0)
    assert stopping.ask(timeout, 0.0) is Step.TERM
    assert stopping.ask(TERM, 1.0) is Step.NOTHING
    assert stopping.ask(KILL, 2.0) is Step.KILL
    assert stopping.first is timeout
    assert stopping.began == 0.0


def test_without_grace_kill_follows_at_once() -> None:
    stopping = Stopping()
    assert stopping.ask(Ask(Why.STOPPED, grace=-5.0), 7.0) is Step.TERM
    assert stopping.tick(7.0) is Step.KILL


def test_nothing_asked_nothing_done() -> None:
    assert Stopping().tick(1e9) is Step.NOTHING


@pytest.mark.parametrize(("how", "grace", "number"), [("term", 2.5, 15), ("kill", None, 9)])
def test_reading_requests(how: str, grace: float | None, number: int) -> None:
    ask = read_ask({"stop": "s", "how": how, "signal": 15, "grace": 2.5, "by": "u@h", "at": 3.0})
    assert (ask.why, ask.grace, ask.by, ask.at, ask.number) == (Why.STOPPED, grace, "u@h", 3.0, number)


@pytest.mark.parametrize("request_", [{}, {"how": "term"}, {"how": "term", "grace": "1", "by": "x", "at": 1.0},
                                      {"how": "kill", "grace": 1, "by": "x", "at": None}])
def test_damaged_requests(request_: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_ask(request_)
