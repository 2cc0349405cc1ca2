"""The rules by which runs are judged: what is in time, what is made up for, what is tried again. Pure functions."""

from __future__ import annotations

from common.schedule.model import LATE, Entry, Verdict
from common.states import State

ABSENT = 60.0
"""Seconds after which a run was not begun late: nobody was there. The engine is asked every 60 s at the least."""
QUEUE_LIMIT = 100
"""Runs of one entry that may wait: for another one to end, for their retry, for the end of a hold."""
FORGETS = 2 * 86_400.0
"""Seconds that the clock must be set back for planned times to come again. Up to two days are waited out, since all
runs of that time have their verdict; beyond that the clock was plainly wrong before."""
LONGEST_DELAY = 7 * 86_400.0
"""Seconds that a retry waits at the most, however its delay grows."""
SHORTEST = 1.0
"""Seconds between two starts of a continuous entry, or of one that follows others, at the least."""
NOT_FAILED = frozenset({State.SUCCEEDED, State.KILLED})
"""Ends after which nothing is retried: it did what it should, or somebody did not want it to."""


def there_from(now: float, born: float) -> float:
    """Due times from here on have somebody who is there to begin them; for those before, `catch_up` decides.

    `born` is when the scheduler started: what was due before it is late for a few seconds, and then made up for.
    """
    return min(now - LATE, max(now - ABSENT, born - LATE))


def verdict(due: float, now: float, *, caught_up: bool) -> Verdict:
    """The verdict of a run that begins now."""
    if now - due <= LATE:
        return "ran"
    return "caught_up" if caught_up else "late"


def reaches_back(entry: Entry, now: float, there: float) -> float:
    """The earliest due time that may still begin now."""
    earliest = there if entry.catch_up == "none" else min(there, now - entry.catch_up_window)
    return earliest if entry.start_deadline is None else max(earliest, now - entry.start_deadline)


def made_up_at_once(entry: Entry) -> int:
    """How many of the runs that are due together begin."""
    return QUEUE_LIMIT if entry.catch_up == "all" else 1


def at_once(entry: Entry) -> int:
    """How many runs of the entry may go on beside each other."""
    return entry.allow if entry.overlap == "allow" else 1


def retry_after(entry: Entry, attempt: int) -> float:
    """Seconds from the end of this attempt (0 is the first) to the next one."""
    try:
        return min(entry.retry_delay * entry.retry_backoff**attempt, LONGEST_DELAY)
    except OverflowError:
        return LONGEST_DELAY


def is_over(due: float, entry: Entry, now: float) -> bool:
    """Whether its start deadline has passed."""
    return entry.start_deadline is not None and now > due + entry.start_deadline
