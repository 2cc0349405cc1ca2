"""The table of states: every legal step, and no other."""

from __future__ import annotations

import itertools

import pytest

from common.errors import StateError
from common.states import NEXT, OBSERVED, OPEN, TERMINAL, State, Verdict, judge, step

S = State
EVERY = list(itertools.product(State, State))
MASTERS_OWN = {(S.PLANNED, S.UNDELIVERED), (S.PLANNED, S.SENT)}


def test_the_states_are_open_or_terminal() -> None:
    ends = {S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.KILLED, S.LOST, S.REFUSED, S.UNDELIVERED}
    assert ends == TERMINAL
    assert set(State) - ends == OPEN
    assert set(NEXT) == set(State)


@pytest.mark.parametrize(("state", "to"), EVERY)
def test_a_step_is_in_the_table_or_raises(state: State, to: State) -> None:
    if to in NEXT[state]:
        assert step(state, to) is to
    else:
        with pytest.raises(StateError, match=rf"^cannot go from {state} to {to}: "):
            step(state, to)


@pytest.mark.parametrize(("state", "to"), EVERY)
def test_a_word_is_judged_and_never_raises(state: State, to: State) -> None:
    verdict = judge(state, to)
    assert (verdict is Verdict.STALE) is (to not in NEXT[state])
    assert (verdict is Verdict.CORRECT) is (state is S.LOST and to in OBSERVED)


def test_what_the_design_draws() -> None:
    path = [S.PLANNED, S.SENT, S.ACCEPTED, S.QUEUED, S.RUNNING]
    for before, after in itertools.pairwise(path):
        assert after in NEXT[before]
        assert before not in NEXT[after]  # nothing goes back
    for state in OPEN:
        assert NEXT[state] >= OBSERVED | {S.LOST}  # the minion's word of an end counts from anywhere


def test_only_what_was_not_sent_is_undelivered() -> None:
    assert [state for state in State if S.UNDELIVERED in NEXT[state]] == [S.PLANNED]
    assert [state for state in State if S.REFUSED in NEXT[state]] == [S.PLANNED, S.SENT]


def test_only_lost_is_corrected_and_only_by_what_was_seen() -> None:
    assert NEXT[S.LOST] == OBSERVED
    for state in TERMINAL - {S.LOST}:
        assert NEXT[state] == frozenset()
