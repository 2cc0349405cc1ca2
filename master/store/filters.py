"""Which jobs a list wants: the meaning of a filter, the same for every store. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from common.schedule.model import Occurrence
from common.states import State
from master.records import Job, Pair
from master.store.base import Filter, RunFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = "0" * 20
_AFTER_ALL = ":"
"""Greater than every digit, so greater than every jid."""


def fits(wanted: Filter, job: Job) -> bool:
    """Whether the job's own fields pass. Its minions and states, and the time window, are judged by the store."""
    fields = job.fields
    return (
        (wanted.function is None or fnmatchcase(fields.function, wanted.function))
        and (wanted.target is None or fnmatchcase(job.target, wanted.target))
        and (wanted.user is None or fields.user == wanted.user)
        and (wanted.schedule is None or fields.schedule == wanted.schedule)
        and wanted.metadata.items() <= job.metadata.items()
    )


def run_fits(wanted: RunFilter, minion: str, run: Occurrence) -> bool:
    """Whether a planned run passes."""
    last = last_of(run)
    return (
        (wanted.schedule is None or fnmatchcase(run.schedule, wanted.schedule))
        and wanted.minion in (None, minion) and wanted.verdict in (None, run.verdict)
        and (wanted.since is None or last >= wanted.since) and (wanted.until is None or last < wanted.until)
    )


def corrects(known: Occurrence, run: Occurrence) -> bool:
    """Whether what is known corrects this word on the same run, which comes once more: the run failed to start."""
    return known.verdict == "failed_to_start" != run.verdict and known.jid == run.jid


def last_of(run: Occurrence) -> float:
    """Its planned time; of a stretch that of its last run."""
    return run.planned if run.last is None else run.last


def digits(at: float) -> str:
    """The first 20 digits of a jid minted at `at` (epoch seconds), or a bound below or above all jids."""
    try:
        return (_EPOCH + timedelta(microseconds=round(at * 1_000_000))).strftime("%Y%m%d%H%M%S%f").rjust(20, "0")
    except (OverflowError, ValueError):  # no such year, infinite, or no number: nothing is before it, or everything
        return _FIRST if at < 0 else _AFTER_ALL


def window(wanted: Filter) -> tuple[str, str]:
    """The least text a jid may have, and the text that it must be below."""
    return (_FIRST if wanted.since is None else digits(wanted.since),
            _AFTER_ALL if wanted.until is None else digits(wanted.until))


def count(pairs: Iterable[Pair]) -> dict[State, int]:
    """How many pairs are in which state."""
    return dict(Counter(pair.state for pair in pairs))


def present(counts: Mapping[State, int]) -> dict[State, int]:
    """The counts without states that nothing is in."""
    return {state: number for state, number in counts.items() if number}
