"""Going back: what somebody asked for and the journal did not take never was."""

from __future__ import annotations

from typing import Any, NamedTuple

from common.schedule.engine.board import Board
from common.schedule.engine.slot import Run, Slot

_SHARED = "running"
"""Of a slot: the board's own dictionary of its runs."""
_WHOLE = ("held", "born", "_offset", "_count_left", "_runs", "_changed")
"""Of a board: what is kept at once. It is small, whatever the number of entries."""


class _Kept(NamedTuple):
    """An entry before it was changed."""

    slot: Slot
    fields: dict[str, Any]
    runs: list[tuple[Run, bool]]
    """Those that go on, and whether their kill was asked for."""


class Mark:
    """Where a board stood. Of its entries those are kept that are about to change, until it is asked what changed.

    Entries come and go by `load` alone, so they are the same ones when it goes back.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._fields = {name: _copied(getattr(board, name)) for name in _WHOLE}
        self._kept: dict[str, _Kept] = {}
        board.changing = self._keep

    def back(self) -> None:
        """Stand there again; once."""
        for name, value in self._fields.items():
            setattr(self._board, name, value)
        for slot, fields, runs in self._kept.values():
            for name, value in fields.items():
                setattr(slot, name, value)
            slot.running.clear()
            for run, ended in runs:
                run.ended_by_us = ended
                slot.running[run.jid] = run
            self._board.arm_at(slot, slot.wakes)

    def _keep(self, slot: Slot) -> None:
        if slot.entry.name not in self._kept:
            fields = {name: _copied(getattr(slot, name)) for name in Slot.__slots__ if name != _SHARED}
            self._kept[slot.entry.name] = _Kept(slot, fields, [(run, run.ended_by_us) for run in slot.running.values()])


def _copied(value: Any) -> Any:
    """Of what is changed in place a copy; all else is replaced whole, never changed."""
    return value.copy() if isinstance(value, dict | list | set) else value
