"""The runners `schedule.*`: what became of planned runs, what will become of those to come."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, get_args

from common import clock
from common.errors import Exit, UsageError
from common.schedule.model import Verdict
from common.text import nearest
from common.typed import guess
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


def simulate(master: Master, **options: str) -> Report:
    """Look ahead: the runs of all entries, changes of the clock, runs that must overlap, the load of the fleet.

    The entries are those of the minions that are connected, or of `file`: a settings file, a file of schedule.d, or a
    folder of them; then no master is needed. The exit code is 1 when an entry cannot be used, can never run, or has
    runs that must overlap: they usually take longer than there is between them, by the last 20 runs in the ledger.

    Options: from=TIME (an ISO time, now by default), days=7, name=GLOB of entries, minion=GLOB, file=PATH,
    took.ENTRY=DURATION, which says how long a run takes in the place of the past.

    jr-run schedule.simulate days=14 name='backup*'
    jr-run schedule.simulate file=schedule.d from=2026-03-28 days=2 took.nightly=40m
    """
    from runners.foresight import ahead  # slow to load, and of no use to the others
    from runners.foresight import options as read

    found = ahead(master, read(options, clock.wall()))
    problems = found["problems"]
    note = "" if problems else f"no problems in {sum(len(entry['members']) for entry in found['entries'])} entries"
    return Report("simulation", found, Exit.FAILED if problems else Exit.OK, note)


def explain(master: Master, entry: str, count: int = 5, file: str | None = None) -> Report:
    """Say in words when an entry runs and by which rules, with its next runs. It needs no master.

    `entry` is a cron expression, a mapping as in a settings file, or a name in `file`, which also has its periods.

    jr-run schedule.explain '*/5 9-17 * * 1-5'
    jr-run schedule.explain '{every: 5m, base: end}'
    jr-run schedule.explain reindex file=schedule.d/search.yaml
    """
    from common.schedule.asked import explained
    from runners.foresight import known

    try:
        given = guess(entry)
    except ValueError as error:
        raise UsageError(f"cannot explain it: {error}") from error
    names = known(file)
    now = datetime.fromtimestamp(clock.wall(), names.zone).isoformat()
    return Report("explanation", explained(given, now, count, names))


def _verdict(given: str | None) -> str | None:
    known: tuple[str, ...] = get_args(Verdict)
    if given is not None and given not in known:
        raise UsageError(f"cannot list runs by verdict={given}: the verdicts are {', '.join(known)}"
                         f"{nearest(given, known)}")
    return given
