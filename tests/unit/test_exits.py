"""The exit code of the states of a job."""

from __future__ import annotations

import pytest

from common.errors import Exit
from common.exits import exit_code
from common.states import OPEN, State


@pytest.mark.parametrize(("states", "code"), [
    ([], 0), (["succeeded"], 0),
    (["succeeded", "failed"], 1), (["killed"], 1), (["timed_out"], 1),
    (["undelivered"], 6), (["succeeded", "lost"], 6), (["refused"], 6),
    # What failed outweighs what is incomplete; what is open outweighs both.
    (["failed", "lost"], 1), (["undelivered", "killed", "succeeded"], 1),
    (["running", "failed"], 124), (["planned"], 124), (["queued", "lost"], 124),
])
def test_exit_codes(states: list[str], code: int) -> None:
    assert exit_code(states) == code


@pytest.mark.parametrize("state", State)
def test_every_state_has_an_exit_code(state: State) -> None:
    code = exit_code([state.value])
    assert (code is Exit.WAITED) == (state in OPEN)
    assert (code is Exit.OK) == (state is State.SUCCEEDED)
