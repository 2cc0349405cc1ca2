"""The exit code that the states of pairs stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import Exit
from common.states import OPEN, State

_FAILED = {State.FAILED, State.KILLED, State.TIMED_OUT}
_INCOMPLETE = {State.UNDELIVERED, State.LOST, State.REFUSED}


def exit_code(states: Iterable[str]) -> Exit:
    """The exit code for pairs in these states.

    An open pair outweighs all, since the result is not known yet; then what failed, then what is incomplete.
    """
    seen = set(states)
    if seen & OPEN:
        return Exit.WAITED
    if seen & _FAILED:
        return Exit.FAILED
    return Exit.INCOMPLETE if seen & _INCOMPLETE else Exit.OK
