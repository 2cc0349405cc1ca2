"""How much memory effects take while they wait for the disk, and on whose account."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from master.core import effects as do
from master.records import AddJob, Change, MovePair, PutOccurrences

_VERDICT = 1000
"""Bytes that a verdict takes in memory, about."""


def weights(effects: Iterable[do.Effect]) -> dict[Hashable, int]:
    """The bytes that effects keep in memory until they are applied: those of returns under the name of their minion."""
    found: dict[Hashable, int] = {}
    for effect in effects:
        if isinstance(effect, do.Save) and (weighed := _weight(effect.change)) is not None:
            name, weight = weighed
            found[name] = found.get(name, 0) + weight
    return found


def _weight(change: Change) -> tuple[Hashable, int] | None:
    """Whose it is, and how much; None for what is small."""
    match change:
        case MovePair(pair) if pair.outcome is not None:
            outcome = pair.outcome
            return pair.minion, len(outcome.value or b"") + len(outcome.stdout) + len(outcome.stderr)
        case PutOccurrences(minion, items):
            return minion, len(items) * _VERDICT
        case AddJob(job):
            return None, len(bytes(job.fields.args)) + len(bytes(job.fields.kwargs)) + len(bytes(job.secrets))
    return None
