"""Chains of entries that follow each other, `then` and `on_failure`: none may lead back to where it began. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.schedule.model import Entry

_TOLD = 10
"""Names of a ring that are told."""


def ring(entry: Entry, entries: Mapping[str, Entry]) -> list[str]:
    """The shortest chain from an entry back to itself, its name first and last; empty when there is none.

    `entries` are the others; what they say of its own name does not count.
    """
    came: dict[str, str] = {}
    row = [entry.name]
    for name in row:  # grows
        one = entry if name == entry.name else entries.get(name)
        for follower in () if one is None else followers(one):
            if follower == entry.name:
                return _back(name, came, entry.name)
            if follower not in came:
                came[follower] = name
                row.append(follower)
    return []


def rings(entries: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Every entry that a chain leads back to, with that chain."""
    found: dict[str, list[str]] = {}
    for name in _between(entries):
        if name in found:
            continue
        names = ring(entries[name], entries)[:-1]
        for place, each in enumerate(names):
            found.setdefault(each, [*names[place:], *names[:place], each])
    return found


def followers(entry: Entry) -> list[str]:
    """The entries that may run after it."""
    return [follow.entry for follow in (*entry.then, *entry.on_failure)]


def leads_back(entry: Entry, names: list[str]) -> str:
    """What is wrong with an entry in a ring."""
    field = "then" if any(follow.entry == names[1] for follow in entry.then) else "on_failure"
    told = names if len(names) <= _TOLD else [*names[:_TOLD - 2], "...", names[-1]]
    return f"cannot use the schedule '{entry.name}': {field} leads back to itself: {', '.join(told)}"


def _back(name: str, came: Mapping[str, str], first: str) -> list[str]:
    """The way to `name`, and from there to the first."""
    way = [first]
    while name != first:
        way.append(name)
        name = came[name]
    return [first, *reversed(way[1:]), first]


def _between(entries: Mapping[str, Entry]) -> list[str]:
    """The entries that may be in a ring: those that are left when all that nothing follows are taken away, and so on.
    """
    chained = {name: entry for name, entry in entries.items() if entry.then or entry.on_failure}
    after = {name: {each for each in followers(entry) if each in chained} for name, entry in chained.items()}
    before: dict[str, list[str]] = {}
    for name, others in after.items():
        for each in others:
            before.setdefault(each, []).append(name)
    ends = [name for name, others in after.items() if not others]
    for end in ends:  # grows
        for name in before.get(end, ()):
            after[name].discard(end)
            if not after[name]:
                ends.append(name)
    gone = {*ends}
    return [name for name in chained if name not in gone]
