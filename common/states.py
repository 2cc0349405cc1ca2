"""The states of a (jid, minion) pair and the steps between them, as a table. The docs' diagrams are printed from it."""

from __future__ import annotations

import enum

from common.errors import StateError


class State(enum.StrEnum):
    """Where one job stands on one minion."""

    PLANNED = "planned"
    SENT = "sent"
    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    LOST = "lost"
    REFUSED = "refused"
    UNDELIVERED = "undelivered"


class Verdict(enum.Enum):
    """What to do with a minion's word about a pair."""

    MOVE = "move"
    """It is news: the pair goes there."""
    STALE = "stale"
    """It is old: acknowledge it and change nothing."""
    CORRECT = "correct"
    """A late true return replaces `lost`: store it, say so, fire nothing again."""


OBSERVED = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.KILLED})
"""Ends that a supervisor saw with its own eyes."""
TERMINAL = OBSERVED | {State.LOST, State.REFUSED, State.UNDELIVERED}
OPEN = frozenset(State) - TERMINAL

_ENDS = OBSERVED | {State.LOST}

NEXT: dict[State, frozenset[State]] = {
    # Any word of the minion proves that the job reached it, so it moves even a pair whose `sent` was not yet written.
    State.PLANNED: frozenset({State.SENT, State.UNDELIVERED, State.KILLED, State.ACCEPTED, State.QUEUED,
                              State.RUNNING, State.REFUSED}) | _ENDS,
    State.SENT: frozenset({State.ACCEPTED, State.QUEUED, State.RUNNING, State.REFUSED}) | _ENDS,
    State.ACCEPTED: frozenset({State.QUEUED, State.RUNNING}) | _ENDS,
    State.QUEUED: frozenset({State.RUNNING}) | _ENDS,
    State.RUNNING: _ENDS,
    State.LOST: OBSERVED,
    **{state: frozenset() for state in TERMINAL - {State.LOST}},
}
"""Every legal step. A late true return replaces `lost`, and only `lost`."""


def step(state: State, to: State) -> State:
    """The state after the step. Raises StateError, and changes nothing, when the table does not allow it."""
    if to not in NEXT[state]:
        raise StateError(f"cannot go from {state} to {to}: the table of states does not allow it")
    return to


def judge(state: State, word: State) -> Verdict:
    """What a minion's word means for a pair in `state`. Never raises: words may be repeated and come late."""
    if word not in NEXT[state]:
        return Verdict.STALE
    return Verdict.CORRECT if state is State.LOST else Verdict.MOVE
