"""Going back: what somebody asked for and the journal did not take never was."""

from __future__ import annotations

import copy
from typing import Any

from common.schedule.engine.board import Board
from common.schedule.engine.slot import Slot
from common.timers import Timers

_SHARED = "running"
"""Of a slot: the board's own dictionary of its runs."""


class Mark:
    """Where a board stood. Entries come and go by `load` alone, so they are the same ones when it goes back."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._fields = {name: _copied(value) for name, value in vars(board).items()}
        self._running = {name: dict(runs) for name, runs in board.running.items()}
        self._slots = [(slot, {name: _copied(getattr(slot, name)) for name in Slot.__slots__ if name != _SHARED})
                       for slot in board.slots.values()]
        self._ended = [(run, run.ended_by_us) for runs in board.running.values() for run in runs.values()]

    def back(self) -> None:
        """Stand there again; once."""
        live = self._board.running
        vars(self._board).update(self._fields)
        self._board.running = live
        for name, runs in live.items():
            runs.clear()
            runs.update(self._running.get(name, {}))
        for slot, fields in self._slots:
            for name, value in fields.items():
                setattr(slot, name, value)
        for run, ended in self._ended:
            run.ended_by_us = ended


def _copied(value: Any) -> Any:
    """Of what is changed in place a copy; all else is replaced whole, never changed."""
    if isinstance(value, dict | list | set):
        return value.copy()
    return copy.deepcopy(value) if isinstance(value, Timers) else value
