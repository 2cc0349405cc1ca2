"""The layers that make an entry: what files say, what was saved of changes, what was changed since. Pure.

An upper layer replaces only what it names, so that a file may be edited while some fields of its entry are changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from common.errors import UsageError
from common.schedule.entries.chains import leads_back, ring, rings
from common.schedule.entries.entries import changed
from common.schedule.model import TRIGGERS, Entry
from common.text import escape, nearest

Parse = Callable[[str, Mapping[str, Any]], Entry]
"""How fields become an entry. Raises UsageError."""

_GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (TRIGGERS, (*TRIGGERS, "base", "anchor")), (("overlap", "allow"), ("overlap", "allow")))
"""Fields of which one replaces all of the second kind: a change that names a trigger replaces the whole trigger."""


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was changed of one name at run time, since the last save. The journal keeps one for each name."""

    name: str
    fields: dict[str, Any] | None
    """As in a file, and never None each. None: the entry is deleted, although a file may have it."""
    by: str = ""
    at: float = 0.0
    """Epoch seconds."""
    whole: bool = False
    """Whether `fields` are the whole entry; else only what differs from the file."""

    @property
    def nothing(self) -> bool:
        """Whether nothing is changed any more: the journal forgets the name."""
        return self.fields == {} and not self.whole


class Filed(NamedTuple):
    """An entry in a file."""

    fields: Mapping[str, Any]
    origin: str
    """`FILE line N`."""


class Saved(NamedTuple):
    """A change in the file of saved changes."""

    change: Change
    origin: str


class Files(NamedTuple):
    """All that the files say of the schedule."""

    entries: Mapping[str, Filed]
    saved: Mapping[str, Saved]
    periods: Collection[str]
    """Names of those that can be used."""
    unusable: Mapping[str, str] = {}
    """The periods that cannot be used, and where each of them stands."""


class Placed(NamedTuple):
    """An entry as it holds, and where it comes from."""

    entry: Entry
    fields: Mapping[str, Any]
    origin: str
    """In words, the file first: `FILE line N; every changed at run time by ann`."""
    file: str | None
    """Where the entry stands; None when it was added at run time."""
    changed: tuple[str, ...]
    """What was changed, at run time or by a save; all fields when it was added so."""


class Broken(NamedTuple):
    """An entry that cannot be used; the others go on without it."""

    name: str
    origin: str
    problem: str


class _Layers(NamedTuple):
    filed: Filed | None
    saved: Saved | None
    change: Change | None


NO_FILES = Files({}, {}, ())


class Layers:
    """All layers of all entries, and what they make together."""

    def __init__(self, parse: Parse, changes: Iterable[Change]) -> None:
        self.parse = parse
        self.files = NO_FILES
        self.changes = {change.name: change for change in changes if not change.nothing}
        self.placed: dict[str, Placed] = {}
        """The entries that hold, by name, those of files first."""
        self.broken: dict[str, Broken] = {}
        self._made: dict[str, tuple[_Layers, Placed | Broken]] = {}

    def lay(self, changed: Container[str] | None = None) -> None:
        """Make all entries anew, as far as something of them has changed; `changed` are the names of which something
        may have, None: any.
        """
        names = {**self.files.entries, **self.files.saved, **self.changes}
        made: dict[str, tuple[_Layers, Placed | Broken]] = {}
        for name in names:
            known = self._made.get(name)
            if known is not None and changed is not None and name not in changed:
                made[name] = known
                continue
            layers = _Layers(self.files.entries.get(name), self.files.saved.get(name), self.changes.get(name))
            if known is not None and alike(known[0], layers):
                found: Placed | Broken | None = known[1]
            else:
                found = self._make(name, layers, None if known is None else known[1])
            if found is not None:
                made[name] = (layers, found)
        self._made = made
        turning = rings(self._parsed())
        results = [self._opened(name, found, turning.get(name)) for name, (_, found) in made.items()]
        self.placed = {found.entry.name: found for found in results if isinstance(found, Placed)}
        self.broken = {found.name: found for found in results if isinstance(found, Broken)}

    def _make(self, name: str, layers: _Layers, former: Placed | Broken | None) -> Placed | Broken | None:
        """The entry that its layers make; None when it is deleted. `former` is what they made before."""
        top = self.top(name)
        if deleted(top):
            return None
        origin = _words(layers)
        if top is not None and not top.whole and layers.filed is None:
            return Broken(name, origin, f"cannot use what was changed of the schedule '{told(name)}': "
                                        "no file has that entry any more")
        fields = self._laid(name)
        # Most entries of a file that was edited only stand in other lines than before.
        entry = former.entry if isinstance(former, Placed) and alike(former.fields, fields) else None
        try:
            entry = entry or self.parse(name, fields)
        except UsageError as error:
            return Broken(name, origin, str(error))
        differs = () if top is None or top.fields is None else tuple(top.fields)
        return Placed(entry, fields, origin, None if layers.filed is None else layers.filed.origin, differs)

    def _parsed(self) -> dict[str, Entry]:
        """The entries that make sense, each by itself."""
        return {name: found.entry for name, (_, found) in self._made.items() if isinstance(found, Placed)}

    def _opened(self, name: str, found: Placed | Broken, turning: list[str] | None) -> Placed | Broken:
        """The same, unless it needs a period that is not there, or would follow itself for ever: it never runs as if
        it had no window, or nothing to follow it.
        """
        if isinstance(found, Placed):
            problem = leads_back(found.entry, turning) if turning else self.windowless(found.entry)
            if problem:
                return Broken(name, found.origin, problem)
        return found

    def ringed(self, entry: Entry) -> str:
        """What is wrong with an entry that the others would lead back to; empty when nothing is."""
        names = ring(entry, self._parsed())
        return leads_back(entry, names) if names else ""

    def windowless(self, entry: Entry) -> str:
        """What is wrong with an entry that names a period which is not there, or is broken; empty when nothing is."""
        problem = lacks(entry, self.files.periods, self.files.unusable)
        return problem and f"cannot use the schedule '{entry.name}': {problem}"

    def _laid(self, name: str) -> Mapping[str, Any]:
        return _over(self.below(name), self.changes.get(name))

    def below(self, name: str) -> Mapping[str, Any]:
        """What the files say, with the saved changes."""
        filed, saved = self.files.entries.get(name), self.files.saved.get(name)
        return _over({} if filed is None else filed.fields, None if saved is None else saved.change)

    def top(self, name: str) -> Change | None:
        """What the saved and the other changes make together of what the files say."""
        saved, change = self.files.saved.get(name), self.changes.get(name)
        if saved is None or change is None or change.fields is None or change.whole:
            return change or (None if saved is None else saved.change)
        below = saved.change
        if below.fields is None:
            return below
        return Change(name=name, fields=merged(below.fields, change.fields), by=change.by, at=change.at,
                      whole=below.whole)


def lacks(entry: Entry, periods: Collection[str], unusable: Mapping[str, str]) -> str:
    """Which of its periods an entry would have to do without, and why; empty when it has them all. `unusable` says
    where those stand that cannot be used.
    """
    for period in (*entry.during, *entry.excepting):
        if period in unusable:
            return f"it names the period '{told(period)}', which cannot be used itself ({unusable[period]})"
        if period not in periods:
            return f"it names the period '{told(period)}', which is not there{nearest(period, periods)}"
    return ""


def merged(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the fields of `over` in their places; None takes one out. A trigger replaces the whole trigger.

    Of a field that has parts, such as `retries: {count: 3, delay: 1m}`, only those are replaced that are named.
    """
    gone = {key for heads, group in _GROUPS if any(over.get(head) is not None for head in heads) for key in group}
    kept = {key: value for key, value in below.items() if key not in gone}
    try:
        return changed(kept, over)
    except ValueError:  # what is wrong in there is told when an entry is made of it
        return {key: value for key, value in {**kept, **over}.items() if value is not None}


def alike(one: object, other: object) -> bool:
    """Whether both are written alike: 1 is equal to true, and yet another argument."""
    return one == other and repr(one) == repr(other)


def _over(below: Mapping[str, Any], change: Change | None) -> Mapping[str, Any]:
    if change is None or change.fields is None:
        return below
    return change.fields if change.whole else merged(below, change.fields)


def deleted(change: Change | None) -> bool:
    """Whether it takes the entry away."""
    return change is not None and change.fields is None


def _words(layers: _Layers) -> str:
    return "; ".join(_parts(layers))


def _parts(layers: _Layers) -> Iterator[str]:
    filed, saved, change = layers
    if filed is not None:
        yield filed.origin
    if saved is not None:
        yield f"{_done(saved.change, filed is not None)} by {saved.origin}"
    if change is not None:
        who = f" by {told(change.by)}" if change.by else ""
        yield f"{_done(change, filed is not None or saved is not None)} at run time{who}"


def _done(change: Change, there: bool) -> str:
    if change.whole:
        return "replaced" if there else "added"
    return f"{', '.join(map(told, change.fields or ()))} changed"


def told(text: object) -> str:
    """A name that somebody typed, as it may be told."""
    return escape(str(text)[:100])
