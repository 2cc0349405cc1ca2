"""The runners `jobs.*`: what runs, what ran, how it ended; waiting for a job and stopping it.

A docstring's first line is what `jr-run --list` shows, all of it is `jr-run -d`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from common import clock
from common.choices import How
from common.errors import Exit, NotFoundError, UsageError
from common.evidence import names
from common.exits import exit_code
from common.signals import signal_number
from common.states import State
from runners.api import Ids, Master, Report, Seconds
from runners.document import Document, goes_on, interruptible, is_open, read
from runners.filters import parse_filters

_STOP_SECONDS = 15.0
"""What a stop may take beyond its grace: to the minion, the sweep of what is left, and back."""


def active(master: Master, minion: str | None = None) -> Report:
    """List the jobs that are open: who runs them, who has returned, who is waited for.

    jr-run jobs.active
    jr-run jobs.active minion=web1
    """
    jobs = master.active(minion)
    where = "" if minion is None else f" on {minion}"
    return Report("active", jobs, empty="" if jobs else f"no job is open{where}")


def lookup_jid(master: Master, jid: str) -> Report:
    """Show one job with all its returns: the document that `jr -o json` printed.

    jr-run jobs.lookup_jid 20260102030405123456
    """
    return Report("job", read(master.watch(jid, follow=False)).as_dict())


def list_job(master: Master, jid: str) -> Report:
    """Show one job with all its returns, like jobs.lookup_jid.

    jr-run jobs.list_job 20260102030405123456
    """
    return lookup_jid(master, jid)


def print_job(master: Master, jid: str) -> Report:
    """Show one job with all its returns, under its jid: {JID: document}.

    jr-run jobs.print_job 20260102030405123456 -o json
    """
    return Report("job", {jid: lookup_jid(master, jid).value})


def list_jobs(master: Master, limit: int = 50, cursor: str | None = None, **filters: str) -> Report:
    """List jobs, newest first, a page at a time. Filters must all fit.

    Filters: function=GLOB target=GLOB minion=ID user=NAME state=STATE schedule=NAME metadata.KEY=VALUE since=TIME
    until=TIME. A time is epoch seconds, an ISO time such as 2026-01-02T03:04 (local unless it says otherwise), or how
    long ago, such as 2h. `cursor` is the `next` of the page before.

    jr-run jobs.list_jobs function='cmd.*' state=failed since=1d
    jr-run jobs.list_jobs minion=web1 limit=10 -o json
    """
    if limit < 1:
        raise UsageError(f"cannot list {limit} jobs: limit must be 1 or more")
    page = master.jobs(limit=limit, cursor=cursor, filters=parse_filters(filters, clock.wall()))
    note = f"there are more: cursor={page['next']}" if page["next"] is not None else ""
    empty = "no more jobs" if cursor else "no job fits these filters" if filters else "no job is stored"
    return Report("jobs", {"jobs": page["jobs"], "next": page["next"]}, note=note,
                  empty="" if page["jobs"] else empty)


def last_run(master: Master, **filters: str) -> Report:
    """Show the newest job that fits the filters of jobs.list_jobs, with all its returns.

    jr-run jobs.last_run function=backup.run minion=db1
    """
    page = master.jobs(limit=1, cursor=None, filters=parse_filters(filters, clock.wall()))
    if not page["jobs"]:
        raise NotFoundError("cannot show the last run: no job fits these filters")
    return lookup_jid(master, page["jobs"][0]["jid"])


def exit_success(master: Master, jid: str) -> Report:
    """Tell for each minion whether the job succeeded there; the exit code is the job's own.

    jr-run jobs.exit_success 20260102030405123456
    """
    document = read(master.watch(jid, follow=False))
    value = {minion: pair["state"] == State.SUCCEEDED for minion, pair in sorted(document.pairs.items())}
    return Report("value", value, document.exit())


def wait(master: Master, jid: str, wait: Seconds | None = None) -> Report:
    """Wait until a job has ended everywhere, show it, and exit as `jr` would have.

    jr-run jobs.wait 20260102030405123456
    jr-run --wait 60 jobs.wait 20260102030405123456
    """
    document = Document()
    try:
        with interruptible(goes_on(jid)):
            for frame in master.watch(jid, follow=True, until=None if wait is None else clock.boottime() + wait):
                document.add(frame)
    except TimeoutError:
        document = read(master.watch(jid, follow=False))
        return Report("job", document.as_dict(), Exit.WAITED, f"{jid} goes on: the wait of {wait:g} s is over")
    return Report("job", document.as_dict(), document.exit())


def kill(master: Master, jid: str, minions: Ids | None = None, wait: Seconds | None = None) -> Report:
    """Kill a job now, with all it started, and wait until it is dead; everywhere, or where `minions` says.

    jr-run jobs.kill 20260102030405123456
    jr-run jobs.kill 20260102030405123456 minions=web1,web2
    """
    return _stop(master, jid, "kill", minions, None, wait)


def term(
    master: Master, jid: str, minions: Ids | None = None, grace: Seconds | None = None, wait: Seconds | None = None
) -> Report:
    """Ask a job to end, kill what is left of it after the grace, and wait for its end.

    Without `grace` it is what the master's settings say.

    jr-run jobs.term 20260102030405123456
    jr-run jobs.term 20260102030405123456 grace=1m
    """
    return _stop(master, jid, "term", minions, grace, wait)


def signal(master: Master, jid: str, signal: str, minions: Ids | None = None) -> Report:
    """Send a signal, by name or number, to the process group of a job, and nothing more.

    jr-run jobs.signal 20260102030405123456 HUP
    jr-run jobs.signal 20260102030405123456 10 minions=web1
    """
    try:
        number = signal_number(signal)
    except ValueError as error:
        raise UsageError(f"cannot signal a job: {error}") from error
    answer = master.stop(jid, "signal", signal=number, grace=None, minions=minions)
    outcomes: dict[str, str] = answer["minions"]
    failed = any(outcome.startswith("failed") for outcome in outcomes.values())
    note = f"{jid} was over already: nothing was signalled" if all(map(_was_over, outcomes.values())) else ""
    return Report("signals", {"jid": jid, "stop": answer["stop"], "minions": outcomes},
                  Exit.FAILED if failed else Exit.OK, note)


def _stop(
    master: Master, jid: str, how: How, minions: Sequence[str] | None, grace: float | None, wait: float | None
) -> Report:
    """Ask for the stop, then show the pairs it was for: all of them ended by it, or the exit code says what not."""
    asked = clock.boottime()
    with interruptible(f"interrupted before the master had answered; jr-run jobs.lookup_jid {jid} tells if it took it"):
        answer = master.stop(jid, how, signal=None, grace=grace, minions=minions)
    until = asked + (answer["grace"] + _STOP_SECONDS if wait is None else wait)
    outcomes: dict[str, str] = answer["minions"]
    stopped = {minion for minion, outcome in outcomes.items() if not _was_over(outcome)}
    if not stopped:
        pairs = read(master.watch(jid, follow=False)).pairs
        return Report("pairs", {minion: pairs[minion] for minion in sorted(outcomes) if minion in pairs},
                      note=f"{jid} was over already: there was nothing to stop")
    # A minion that is away may come in days; who wants to wait for it says how long.
    kept = {minion for minion in stopped if wait is None and outcomes[minion] == "kept"}
    with interruptible(f"interrupted; the stop of {jid} stands, jr-run jobs.wait {jid} waits for its end"):
        pairs = _until_stopped(master, jid, stopped - kept, until)
    if kept:
        pairs = read(master.watch(jid, follow=False)).pairs
    shown = {minion: pairs[minion] for minion in sorted(stopped) if minion in pairs}
    late = [minion for minion, pair in shown.items() if is_open(pair)]
    return Report("pairs", shown, _stop_exit(pair["state"] for pair in shown.values()), _pending(jid, late, outcomes))


def _pending(jid: str, late: list[str], outcomes: dict[str, str]) -> str:
    """What is still to be waited for, as a line for the operator."""
    if not late:
        return ""
    absent = [minion for minion in late if outcomes[minion] == "kept"]
    away = f"; not connected: {names(absent)}" if absent else ""
    return f"{jid} is not yet over on {names(late)}: the stop stands, jr-run jobs.wait {jid} waits{away}"


def _until_stopped(master: Master, jid: str, stopped: set[str], until: float) -> dict[str, dict[str, Any]]:
    """The job's pairs, once all in `stopped` have ended or the boottime `until` has passed."""
    document = Document()
    waited_for = set(stopped)
    if not waited_for:
        return {}
    try:
        for minion in document.feed(master.watch(jid, follow=True, until=until)):
            waited_for.discard(minion)
            if not waited_for:
                break
    except TimeoutError:
        return read(master.watch(jid, follow=False)).pairs
    return document.pairs


def _stop_exit(states: Iterable[str]) -> Exit:
    """0 when every pair ended by the stop; else what a waiting command would say, but never 0."""
    seen = list(states)
    if all(state == State.KILLED for state in seen):
        return Exit.OK
    return max(exit_code(state for state in seen if state != State.KILLED), Exit.FAILED)


def _was_over(outcome: str) -> bool:
    """True for the answers `terminal:STATE` of the master and `ended` of a minion: the stop came too late."""
    return outcome.startswith(("terminal:", "ended"))
