"""The runners `schedule.*`: what became of planned runs."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from common import clock
from common.errors import UsageError
from common.schedule.model import Verdict
from common.text import nearest
from runners.api import Master, Report
from runners.filters import parse_time

_PAGE = 1000
"""Planned runs asked for at once."""


def audit(
    master: Master, name: str | None = None, minion: str | None = None, since: str | None = None,
    until: str | None = None, verdict: str | None = None, limit: int = 100, cursor: str | None = None,
) -> Report:
    """Show each planned run with its verdict, the latest first: which began, late or not, and why others did not.

    `name` is an entry or a glob of entries; the minion `master` is the master's own schedule. Verdicts: ran, late,
    caught_up, skipped_overlap, skipped_window, skipped_should_run, skipped_paused, missed, failed_to_start. `since`
    and `until` bound the planned time; they are written as for jobs.list_jobs.

    jr-run schedule.audit
    jr-run schedule.audit name=backup since=7d
    jr-run schedule.audit minion=web1 verdict=missed -o json
    """
    if limit < 1:
        raise UsageError(f"cannot list {limit} runs: limit must be 1 or more")
    now = clock.wall()
    filters = {"schedule": name, "minion": minion, "verdict": _verdict(verdict),
               "since": since and parse_time("since", since, now), "until": until and parse_time("until", until, now)}
    runs: list[dict[str, Any]] = []
    while True:
        page = master.runs(limit=min(_PAGE, limit - len(runs)), cursor=cursor,
                           filters={key: value for key, value in filters.items() if value is not None})
        runs += page["runs"]
        cursor = page["next"]
        if cursor is None or len(runs) >= limit:
            break
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run["verdict"]] += run["count"]
    told = ", ".join(f"{counts[one]} {one}" for one in get_args(Verdict) if counts[one]) or "no planned runs"
    return Report("runs", {"runs": runs, "counts": dict(counts), "next": cursor},
                  note=told if cursor is None else f"{told}; there are more: cursor={cursor}")


def _verdict(given: str | None) -> str | None:
    known: tuple[str, ...] = get_args(Verdict)
    if given is not None and given not in known:
        raise UsageError(f"cannot list runs by verdict={given}: the verdicts are {', '.join(known)}"
                         f"{nearest(given, known)}")
    return given
