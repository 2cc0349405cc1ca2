"""The book of entries: what files say and what was changed of it at run time. Pure.

A verb gives the changes that it would make, or raises; whoever keeps them commits them first and then has them taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any

from msgspec import structs

from common.errors import NotFoundError, UsageError
from common.schedule.entries.layers import Broken, Change, Files, Layers, Parse, Placed, alike, deleted, merged, told
from common.schedule.entries.rules import Rules
from common.schedule.model import TRIGGERS, Entry
from common.text import nearest

PLANNING = frozenset({*TRIGGERS, "base", "anchor", "start", "end", "timezone"})
"""What decides when an entry is planned."""


class Book:
    """The entries of one host."""

    def __init__(
        self, parse: Parse, changes: Iterable[Change] = (), most: int = 1_000, zone: tzinfo = UTC,
    ) -> None:
        """`changes` are those that the journal has kept, `most` is how many entries there may be, `zone` the host's."""
        self._layers = Layers(parse, changes)
        self._rules = Rules(self._layers, most, zone)
        self._layers.lay()

    def load(self, files: Files) -> None:
        """What the files say from now on."""
        self._layers.files = files
        self._layers.lay()

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries that hold, those of files first."""
        return {name: placed.entry for name, placed in self._layers.placed.items()}

    @property
    def placed(self) -> Mapping[str, Placed]:
        """The same with their origins."""
        return self._layers.placed

    @property
    def broken(self) -> list[Broken]:
        """The entries that cannot be used, and changes of entries that are gone."""
        return list(self._layers.broken.values())

    @property
    def hidden(self) -> list[str]:
        """The entries of files that were deleted at run time, or by a save."""
        return [name for name in self._layers.files.entries if deleted(self._layers.top(name))]

    @property
    def changes(self) -> list[Change]:
        """What was changed at run time since the last save."""
        return list(self._layers.changes.values())

    def take(self, changes: Iterable[Change]) -> None:
        """These are durable now: they hold."""
        changed: set[str] = set()
        for change in changes:
            changed.add(change.name)
            self._layers.changes.pop(change.name, None)
            if not change.nothing:
                self._layers.changes[change.name] = change
        self._layers.lay(changed)

    # verbs: what they would change

    def add(self, name: str, fields: Mapping[str, Any], by: str, at: float) -> list[Change]:
        """A new entry. Raises UsageError when there is one of that name, or it makes no sense."""
        self._rules.new(name)
        given = {key: value for key, value in fields.items() if value is not None}
        self._rules.ahead(self._rules.entry(name, given), at)
        self._rules.room(name)
        return [Change(name=name, fields=given, by=by, at=at, whole=True)]

    def modify(self, name: str, fields: Mapping[str, Any], by: str, at: float) -> list[Change]:
        """Change only these fields; None gives back what the file says. Raises NotFoundError, UsageError.

        What is as the file says afterwards is not a change any more.
        """
        self._rules.whole(name, "change")
        former = self._layers.changes.get(name)
        whole = former is not None and former.whole
        over = merged({} if former is None else former.fields or {}, fields)
        below = self._layers.below(name)
        entry = self._rules.entry(name, over if whole else merged(below, over))
        if PLANNING & {*fields}:
            self._rules.ahead(entry, at)
        if not whole:
            over = self._least(name, below, over, entry)
        change = Change(name=name, fields=over, by=by, at=at, whole=whole)
        same = former is None if change.nothing else former is not None and alike(former.fields, over)
        if same:
            return []
        self._rules.room(name)
        return [change]

    def delete(self, name: str, by: str, at: float) -> list[Change]:
        """Delete an entry; one of a file is hidden until it is added again or the change is forgotten.

        Raises NotFoundError.
        """
        self._rules.there(name, "delete")
        self._rules.room(name)
        filed = name in self._layers.files.entries or name in self._layers.files.saved
        return [Change(name=name, fields=None if filed else {}, by=by, at=at)]

    def copy(self, name: str, new_name: str, by: str, at: float) -> list[Change]:
        """The same entry under a second name. Raises NotFoundError, UsageError."""
        self._rules.whole(name, "copy")
        if name not in self._layers.placed:
            raise UsageError(f"cannot copy the schedule '{told(name)}': it cannot be used itself")
        return self.add(new_name, self._layers.placed[name].fields, by, at)

    def move(self, name: str, new_name: str, by: str, at: float) -> list[Change]:
        """The same entry under another name. Raises NotFoundError, UsageError."""
        return [*self.copy(name, new_name, by, at), *self.delete(name, by, at)]

    def forget(self, name: str | None = None) -> list[Change]:
        """Give up what was changed of one entry at run time, or of all: then the files hold. Raises NotFoundError."""
        if name is not None and name not in self._layers.changes:
            raise NotFoundError(f"cannot forget changes of '{told(name)}': nothing of it was changed at run time"
                                f"{nearest(name, self._layers.changes)}")
        return [Change(name=each, fields={}) for each in self._layers.changes if name in (None, each)]

    def saved(self) -> dict[str, Any]:
        """What the file of saved changes has to say, so that all changes can be forgotten. It may hold secrets."""
        layers = self._layers
        names = {**layers.files.saved, **layers.changes}
        tops = {name: top for name in names if (top := layers.top(name)) is not None}
        parts = {
            "schedule": {name: top.fields for name, top in tops.items() if top.whole},
            "changed": {name: top.fields for name, top in tops.items() if not top.whole and top.fields},
            "deleted": [name for name, top in tops.items() if deleted(top) and name in layers.files.entries],
        }
        return {key: part for key, part in parts.items() if part}

    def _least(self, name: str, below: Mapping[str, Any], over: dict[str, Any], entry: Entry) -> dict[str, Any]:
        """Those fields that it takes to make this entry of what is below."""
        for key in list(over):
            less = {other: value for other, value in over.items() if other != key}
            try:
                if alike(*map(structs.astuple, (self._layers.parse(name, merged(below, less)), entry))):
                    over = less
            except UsageError:
                continue  # it cannot do without
        return over
