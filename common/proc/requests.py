"""The stop requests of a job, as its supervisor reads them: plain maps, each one once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from common.choices import How
from common.files import read_regular

LIMIT = 256 * 1024
"""Bytes of a stop file: a few hundred requests, far more than a job ever gets."""


class Requests:
    """The stop file of one job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] = set()
        self.unread = False
        """The file could not be read the last time: to be tried again."""

    def fresh(self) -> list[dict[str, Any]]:
        """The requests that were not given out before, oldest first; none when the file cannot be read, see `unread`.
        """
        try:
            found = [one for one in self.all() if one["stop"] not in self._seen]
        except OSError as error:
            if not self.unread:
                _say(self._path, error)
            self.unread = True
            return []
        self.unread = False
        self._seen.update(one["stop"] for one in found)
        return found

    def all(self) -> list[dict[str, Any]]:
        """Every request in the file. A damaged file holds none: the agent, which wrote it, finds and reports it.

        Raises OSError when it cannot be read: it may hold some.
        """
        try:
            found = json.loads(read_regular(self._path, LIMIT))
            return [one for one in found if isinstance(one["stop"], str) and one["how"] in get_args(How)]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            _say(self._path, error)
            return []


def _say(path: Path, error: Exception) -> None:
    print(f"jr: cannot read {path}: {error}", file=sys.stderr)  # noqa: T201 - the agent's journal
