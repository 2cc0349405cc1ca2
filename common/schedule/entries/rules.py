"""What a change at run time has to keep to: names that are there or free, how many there may be, what can run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from common.errors import NotFoundError, UsageError
from common.schedule.entries.entries import check_ahead
from common.schedule.entries.layers import Layers, deleted, told
from common.schedule.model import Entry
from common.text import nearest

CHANGES_LIMIT = 10_000
"""Names that may be changed, added or deleted at run time."""


class Rules:
    """The rules of one book, by what its layers have now."""

    def __init__(self, layers: Layers, most: int, zone: tzinfo) -> None:
        """`most` is how many entries there may be, `zone` the host's."""
        self._layers = layers
        self._most = most
        self._zone = zone

    def new(self, name: str) -> None:
        """Raises UsageError when no entry of that name may be added."""
        if self._exists(name):
            raise UsageError(f"cannot add the schedule '{told(name)}': there is one of that name "
                             f"({self._origin(name)}); modify or delete it")
        if len(self._layers.placed) + len(self._layers.broken) >= self._most:
            raise UsageError(f"cannot add the schedule '{told(name)}': there are {self._most} already")

    def there(self, name: str, verb: str) -> None:
        """Raises NotFoundError when there is no entry of that name, usable or not; `verb` is what cannot be done."""
        if not self._exists(name):
            raise self._missing(name, verb)

    def whole(self, name: str, verb: str) -> None:
        """The same, and also when all that is left of an entry is what was changed of it."""
        self.there(name, verb)
        top = self._layers.top(name)
        if name not in self._layers.files.entries and (top is None or not top.whole):
            raise self._missing(name, verb)

    def entry(self, name: str, fields: Mapping[str, Any]) -> Entry:
        """The entry that these fields make. Raises UsageError when they make none that can run beside the others."""
        entry = self._layers.parse(name, fields)
        if problem := self._layers.windowless(entry) or self._layers.ringed(entry):
            raise UsageError(problem)
        return entry

    def ahead(self, entry: Entry, at: float) -> None:
        """Raises UsageError for an entry that is over at `at`, in epoch seconds: nobody adds that by intent.

        What files say, and what was added long ago, may be over.
        """
        check_ahead(entry, self._zone, datetime.fromtimestamp(at, UTC))

    def room(self, name: str) -> None:
        """Raises UsageError when no change of that name can be kept beside the others."""
        if name not in self._layers.changes and len(self._layers.changes) >= CHANGES_LIMIT:
            raise UsageError(f"cannot change the schedule '{told(name)}': {CHANGES_LIMIT} entries are changed "
                             "at run time already; save them")

    def _exists(self, name: str) -> bool:
        return name in self._layers.placed or name in self._layers.broken

    def _missing(self, name: str, verb: str) -> NotFoundError:
        if name in self._layers.files.entries and deleted(self._layers.top(name)):
            return NotFoundError(f"cannot {verb} the schedule '{told(name)}': it was deleted at run time")
        return NotFoundError(f"cannot {verb} the schedule '{told(name)}': there is none"
                             f"{nearest(name, self._layers.placed)}")

    def _origin(self, name: str) -> str:
        return (self._layers.placed.get(name) or self._layers.broken[name]).origin
