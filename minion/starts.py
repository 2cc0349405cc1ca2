"""How many times an agent was started on a state folder: the number that orders its connections."""

from __future__ import annotations

from pathlib import Path

from common.errors import JrError
from common.files import read_regular, write_durable


class Starts:
    """The file `starts` of one state folder."""

    def __init__(self, state: Path) -> None:
        self._path = state / "starts"

    def count(self) -> int:
        """Count one more start, durably: it orders this agent's connections after all earlier ones.

        Raises JrError when the count cannot be kept.
        """
        try:
            count = int(read_regular(self._path, 32)) + 1 if self._path.exists() else 1
        except (OSError, ValueError) as error:
            raise JrError(f"cannot count this start in {self._path}: {error}") from error
        self.keep(count)
        return count

    def keep(self, count: int) -> None:
        """Let the next start come after `count`. Raises JrError when that cannot be kept."""
        try:
            write_durable(self._path, b"%d\n" % count)
        except OSError as error:
            raise JrError(f"cannot count this start in {self._path}: {error}") from error
