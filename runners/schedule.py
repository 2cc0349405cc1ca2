"""The runners `schedule.*`: what became of planned runs, what will become of them, and the master's own schedule.

Those about entries are about the master's own; the functions `schedule.*` are the same of a minion's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from common import clock
from common.errors import Exit, UsageError
from common.exits import exit_code
from common.schedule.model import BEGUN, Verdict
from common.text import nearest
from common.typed import guess
from runners.api import Master, Report, Seconds
from runners.document import Document, goes_on, interruptible
from runners.entries import between, parse_fields
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
    # A page is cut at the last of its planned times, since a row may stand for many.
    runs.sort(key=lambda run: run["planned"], reverse=True)
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run["verdict"]] += run["count"]
    told = ", ".join(f"{counts[one]} {one}" for one in get_args(Verdict) if counts[one]) or "no planned runs"
    return Report("runs", {"runs": runs, "counts": dict(counts), "next": cursor},
                  note=told if cursor is None else f"{told}; there are more: cursor={cursor}")


def list_(master: Master) -> Report:
    """List the entries of the master's own schedule: status, next run, how the last one went, where each comes from.

    jr-run schedule.list
    """
    held = master.schedule("held")
    note = f"all schedules are held, by {held['by']}; jr-run schedule.release lets them go on" if held["held"] else ""
    return Report("schedules", master.schedule("list"), note=note)


def show(master: Master, name: str) -> Report:
    """Show one entry with all its fields, where it stands, and where it comes from.

    jr-run schedule.show backup
    """
    return Report("schedule", master.schedule("show", name=name))


def job_status(master: Master, name: str) -> Report:
    """Show where one entry stands, like schedule.show.

    jr-run schedule.job_status backup
    """
    return Report("schedule", master.schedule("job_status", name=name))


def show_next_fire_time(master: Master, name: str, count: int = 1) -> Report:
    """Show the next planned times of an entry.

    jr-run schedule.show_next_fire_time backup count=5
    """
    return Report("schedule", master.schedule("show_next_fire_time", name=name, count=count))


def add(master: Master, name: str, function: str, **fields: str) -> Report:
    """Add an entry. With a target its runs are jobs of those minions, without one `function` is a custom runner.

    The fields are those of a file; lists and maps are written as in YAML. What is added so is kept until it is deleted.

    jr-run schedule.add tidy cmd.run args='[tidy --all]' target='web*' every=30m
    jr-run schedule.add report site.report cron='0 6 * * *' retries=3
    """
    given = {"function": function, **parse_fields(fields)}
    return Report("schedule", master.schedule("add", name=name, fields=given), note=f"added {name}")


def modify(master: Master, name: str, **fields: str) -> Report:
    """Change only the fields that are named; `null` gives back what the file says.

    jr-run schedule.modify tidy every=1h
    """
    answer = master.schedule("modify", name=name, fields=parse_fields(fields))
    return Report("schedule", answer, note=_changed(name, answer))


def delete(master: Master, name: str) -> Report:
    """Delete an entry, also one of a file. Its runs that go on are not stopped.

    jr-run schedule.delete tidy
    """
    return Report("schedule", master.schedule("delete", name=name))


def enable(master: Master, name: str) -> Report:
    """Plan runs of an entry again.

    jr-run schedule.enable tidy
    """
    answer = master.schedule("enable", name=name)
    return Report("schedule", answer, note=_changed(name, answer))


def disable(master: Master, name: str) -> Report:
    """Plan no runs of an entry; those that go on are not stopped.

    jr-run schedule.disable tidy
    """
    answer = master.schedule("disable", name=name)
    return Report("schedule", answer, note=_changed(name, answer))


def copy(master: Master, name: str, new_name: str | None = None, source: str | None = None,
         target: str | None = None) -> Report:
    """Copy an entry: of the master's own under another name, or from one minion to others.

    jr-run schedule.copy tidy tidy_more
    jr-run schedule.copy tidy source=m1 target='web*'
    """
    if source is None and target is None:
        return Report("schedule", master.schedule("copy", name=name, new_name=_new(new_name)))
    return between(master, name, new_name, source, target, keep=True)


def move(master: Master, name: str, new_name: str | None = None, source: str | None = None,
         target: str | None = None) -> Report:
    """Move an entry: of the master's own to another name, or from one minion to others.

    jr-run schedule.move tidy tidy_more
    jr-run schedule.move tidy source=m1 target=m2
    """
    if source is None and target is None:
        return Report("schedule", master.schedule("move", name=name, new_name=_new(new_name)))
    return between(master, name, new_name, source, target, keep=False)


def save(master: Master) -> Report:
    """Write what was changed at run time into saved.yaml in the folder of the schedule: /etc/jr/master-schedule.d.

    jr-run schedule.save
    """
    return Report("schedule", master.schedule("save"))


def reload(master: Master, forget: bool = False) -> Report:
    """Read the files now; `forget=true` gives up what was changed at run time since the last save.

    jr-run schedule.reload
    """
    answer = master.schedule("reload", forget=forget)
    return Report("schedule", answer, Exit.FAILED if answer["problems"] else Exit.OK)


def run_job(master: Master, name: str, force: bool = False, wait: Seconds | None = None) -> Report:
    """Run an entry now, whatever its trigger says; it answers at once with the jid. With `wait` exit as the job does.

    A disabled, paused or held entry is refused; `force=true` runs it all the same.

    jr-run schedule.run_job backup
    jr-run --wait 10m schedule.run_job backup
    """
    answer = master.schedule("run_job", name=name, force=force)
    if answer["verdict"] not in BEGUN:
        held_up = answer["verdict"] is None
        return Report("schedule", answer, Exit.OK if held_up and wait is None else Exit.FAILED,
                      answer.get("reason", ""))
    if wait is None:
        return Report("schedule", answer)
    return _waited(master, [answer], clock.boottime() + wait)


def run_pending(master: Master, wait: Seconds = 3600.0) -> Report:
    """While all is held: run each entry that came due, once, wait for the jobs, and say whether all succeeded.

    What is not due is left alone, and the hold goes on. Exit code 0: all succeeded, or nothing was due.

    jr-run schedule.run_pending
    """
    return _waited(master, master.schedule("run_pending")["runs"], clock.boottime() + wait)


def postpone_job(master: Master, name: str, to: str, planned: str | None = None) -> Report:
    """Run at another time what is planned next, or at that planned time.

    jr-run schedule.postpone_job backup 2h
    jr-run schedule.postpone_job backup 2026-01-02T06:00 planned=2026-01-02T03:00
    """
    return Report("schedule", master.schedule("postpone_job", name=name, to=to, planned=planned))


def skip_job(master: Master, name: str, planned: str | None = None) -> Report:
    """Do not run what is planned next, or at that planned time.

    jr-run schedule.skip_job backup
    """
    return Report("schedule", master.schedule("skip_job", name=name, planned=planned))


def hold(master: Master) -> Report:
    """Hold the master's whole schedule: nothing of it begins until schedule.release. Runs that go on are not stopped.

    jr-run schedule.hold
    """
    return Report("schedule", master.schedule("hold"))


def release(master: Master, pending: str = "run") -> Report:
    """Let all go on. What came due meanwhile is run now; with pending=drop it counts as if it had just run.

    jr-run schedule.release
    jr-run schedule.release pending=drop
    """
    return Report("schedule", master.schedule("release", pending=pending))


def resume(master: Master, name: str) -> Report:
    """Let an entry go on that paused itself after failures, or that ran as often as it may.

    jr-run schedule.resume backup
    """
    return Report("schedule", master.schedule("resume", name=name))


def _waited(master: Master, runs: list[dict[str, Any]], until: float) -> Report:
    """The runs with how their jobs ended, waited for until that boottime; the exit code is that of the worst."""
    shown: list[dict[str, Any]] = []
    exit, open_ones = Exit.OK, 0
    for run in runs:
        if run["verdict"] not in BEGUN:
            shown.append(run)
            if not str(run["verdict"]).startswith("skipped_"):
                exit = max(exit, Exit.FAILED)
            continue
        document, over = _watched(master, run["jid"], until, _begun(runs))
        open_ones += not over
        states = [pair["state"] for pair in document.pairs.values()]
        shown.append({**run, "states": dict(Counter(map(str, states)))})
        exit = max(exit, exit_code(states))
    if open_ones:
        return Report("schedule", shown, Exit.WAITED, f"{open_ones} of {len(runs)} go on: the wait is over")
    return Report("schedule", shown, exit, empty="" if runs else "nothing was due")


def _watched(master: Master, jid: str, until: float, told: str) -> tuple[Document, bool]:
    """A job, and whether it was over by that boottime; `told` is said to somebody who does not wait any longer."""
    document = Document()
    try:
        with interruptible(told):
            for frame in master.watch(jid, follow=True, until=until):
                document.add(frame)
    except TimeoutError:
        return document, False
    return document, True


def _begun(runs: list[dict[str, Any]]) -> str:
    """What is said to somebody who does not wait for these runs any longer."""
    return goes_on(*(run["jid"] for run in runs if run["verdict"] in BEGUN))


def _new(new_name: str | None) -> str:
    if new_name is None:
        raise UsageError("cannot copy the entry: name the new one, or say source= and target= for minions")
    return new_name


def _changed(name: str, answer: dict[str, Any]) -> str:
    return f"{name} is changed" if answer["done"] else f"{name} was so already"


def simulate(master: Master, **options: str) -> Report:
    """Look ahead: the runs of all entries, changes of the clock, runs that must overlap, the load of the fleet.

    The entries are those of the minions that are connected, or of `file`: a settings file, a file of schedule.d, or a
    folder of them; then no master is needed. The exit code is 1 when an entry cannot be used, can never run, names an
    entry to follow that is not there, or has runs that must overlap: they usually take longer than there is between
    them, by the last 20 runs in the ledger.

    Options: from=TIME (an ISO time, now by default), days=7, name=GLOB of entries, minion=GLOB, file=PATH,
    took.ENTRY=DURATION, which says how long a run takes in the place of the past.

    jr-run schedule.simulate days=14 name='backup*'
    jr-run schedule.simulate file=schedule.d from=2026-03-28 days=2 took.nightly=40m
    """
    from runners import foresight  # slow to load, and of no use to the others

    found = foresight.ahead(master, foresight.options(options, clock.wall()))
    problems = found["problems"]
    count = sum(len(entry["members"]) for entry in found["entries"])
    note = "" if problems else f"no problems in {count} {'entry' if count == 1 else 'entries'}"
    return Report("simulation", found, Exit.FAILED if problems else Exit.OK, note)


def explain(master: Master, entry: str, count: int = 5, file: str | None = None) -> Report:
    """Say in words when an entry runs and by which rules, with its next runs. It needs no master.

    `entry` is a cron expression, a mapping as in a settings file, or a name in `file`, which also has its periods.

    jr-run schedule.explain '*/5 9-17 * * 1-5'
    jr-run schedule.explain '{every: 5m, base: end}'
    jr-run schedule.explain reindex file=schedule.d/search.yaml
    """
    from runners import foresight  # slow to load, and of no use to the others

    try:
        given = guess(entry)
    except ValueError as error:
        raise UsageError(f"cannot explain it: {error}") from error
    return Report("explanation", foresight.explanation(given, count, file))


def _verdict(given: str | None) -> str | None:
    known: tuple[str, ...] = get_args(Verdict)
    if given is not None and given not in known:
        raise UsageError(f"cannot list runs by verdict={given}: the verdicts are {', '.join(known)}"
                         f"{nearest(given, known)}")
    return given
