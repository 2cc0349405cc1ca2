"""The schedule of this minion: its entries, changes of them at run time, and runs beside the plan.

What is changed here is durable and survives restarts. It lies over what the files say, field by field.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from common import clock
from common.errors import JrError
from common.functions import Agent, Failed, Job, inline


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What the schedule refuses is told in its own words."""
    try:
        yield
    except JrError as error:
        raise Failed(str(error)) from error


@inline(reads=True, alone=False)
async def list_(*, agent: Agent) -> list[dict[str, Any]]:
    """The entries of this minion's schedule: where each comes from, its next run, how the last one went.

    An entry that cannot be used has `broken`, with the reason; the others go on without it.

    Example: jr '*' schedule.list
    """
    with _refusals():
        return await agent.schedule.looks.entries()


@inline(reads=True, alone=False)
def show(name: str, *, agent: Agent) -> dict[str, Any]:
    """One entry, as in schedule.list. `origin` is its file and line, and who changed what at run time.

    Example: jr web1 schedule.show nightly
    """
    with _refusals():
        return agent.schedule.looks.show(name)


@inline(reads=True, alone=False)
def job_status(name: str, *, agent: Agent) -> dict[str, Any]:
    """What an entry does: `status`, `running` jids, what waits, its next run, and the last one with its verdict and
    state.

    Example: jr web1 schedule.job_status nightly
    """
    with _refusals():
        return agent.schedule.looks.status(name)


@inline(reads=True, alone=False)
def show_next_fire_time(name: str, count: int = 1, *, agent: Agent) -> dict[str, Any]:
    """The next planned times of an entry, in epoch seconds, with its windows and its splay.

    Example: jr web1 schedule.show_next_fire_time nightly count=5
    """
    with _refusals():
        return agent.schedule.looks.upcoming(name, count)


@inline(reads=False, alone=False)
async def add(name: str, *, agent: Agent, job: Job, **fields: Any) -> dict[str, Any]:
    """Add an entry. Its fields are those of `schedule:` in minion.yaml.

    Example: jr web1 schedule.add tidy function=cmd.run args='["rm -rf /tmp/site"]' every=1h
    """
    with _refusals():
        return await agent.schedule.add(name, fields, job.user)


@inline(reads=False, alone=False)
async def modify(name: str, *, agent: Agent, job: Job, **fields: Any) -> dict[str, Any]:
    """Change only what is named; null gives a field back to what the file says, or to its default.

    A new trigger replaces the old one, and the next run is planned by it at once. The runs so far stay counted.

    Example: jr web1 schedule.modify tidy every=2h splay=5m
    """
    with _refusals():
        return await agent.schedule.modify(name, fields, job.user)


@inline(reads=False, alone=False)
async def delete(name: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Delete an entry, also one of a file, which stays hidden until it is added again. Its runs are left alone.

    Example: jr web1 schedule.delete tidy
    """
    with _refusals():
        return await agent.schedule.delete(name, job.user)


@inline(reads=False, alone=False)
async def enable(name: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Plan runs of an entry again, from now on.

    Example: jr web1 schedule.enable tidy
    """
    with _refusals():
        return await agent.schedule.enable(name, True, job.user)


@inline(reads=False, alone=False)
async def disable(name: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Plan no runs of an entry: it has no next run and no verdicts. A run that goes on is left alone.

    Example: jr web1 schedule.disable tidy
    """
    with _refusals():
        return await agent.schedule.enable(name, False, job.user)


@inline(reads=False, alone=False)
async def copy(name: str, new_name: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """The same entry under a second name, on this minion. `jr-run schedule.copy` copies between minions.

    Example: jr web1 schedule.copy tidy tidy-too
    """
    with _refusals():
        return await agent.schedule.copy(name, new_name, job.user)


@inline(reads=False, alone=False)
async def move(name: str, new_name: str, *, agent: Agent, job: Job) -> dict[str, Any]:
    """The same entry under another name, on this minion; it counts its runs anew.

    Example: jr web1 schedule.move tidy cleanup
    """
    with _refusals():
        return await agent.schedule.move(name, new_name, job.user)


@inline(reads=False, alone=False)
async def save(*, agent: Agent) -> dict[str, Any]:
    """Write what was changed at run time into schedule.d/saved.yaml, which counts as any file from then on.

    Example: jr web1 schedule.save
    """
    with _refusals():
        return await agent.schedule.save()


@inline(reads=False, alone=False)
async def reload(forget: bool = False, *, agent: Agent) -> dict[str, Any]:
    """Read the files now; the agent also does so by itself within a few seconds, and at SIGHUP.

    With `forget` what was changed at run time since the last save is given up. `problems` names file and line.

    Example: jr web1 schedule.reload
    """
    with _refusals():
        return await agent.schedule.reload(forget)


@inline(reads=False, alone=False)
async def run_job(name: str, force: bool = False, *, agent: Agent, job: Job) -> dict[str, Any]:
    """Run an entry now, whatever its trigger and its windows say; `jid` is that of the run.

    It is refused while the entry is disabled or paused, or all are held, unless `force`; `overlap` counts always.

    Example: jr web1 schedule.run_job tidy
    """
    with _refusals():
        return await agent.schedule.run(name, job.user, force)


@inline(reads=False, alone=False)
async def postpone_job(name: str, to: str, planned: str | None = None, *, agent: Agent) -> dict[str, Any]:
    """Run at `to` what is planned next, or at the time `planned`. Times are ISO, epoch seconds, or `2h` from now.

    Example: jr web1 schedule.postpone_job nightly 2026-01-02T05:00
    """
    with _refusals():
        return await agent.schedule.postpone(name, to, planned)


@inline(reads=False, alone=False)
async def skip_job(name: str, planned: str | None = None, *, agent: Agent) -> dict[str, Any]:
    """Do not run at the next planned time, or at the one named; its verdict is `skipped_paused`.

    Example: jr web1 schedule.skip_job nightly
    """
    with _refusals():
        return await agent.schedule.skip(name, planned)


@inline(reads=False, alone=False)
async def resume(name: str, *, agent: Agent) -> dict[str, Any]:
    """Let an entry go on that paused itself (`pause_after_failures`), or ran `max_runs` times.

    Example: jr web1 schedule.resume nightly
    """
    with _refusals():
        return await agent.schedule.resume(name)


@inline(reads=False, alone=False)
async def hold(*, agent: Agent, job: Job) -> dict[str, Any]:
    """Begin nothing of this minion's schedule until schedule.release; what runs goes on, and other jobs do.

    Example: jr '*' schedule.hold
    """
    with _refusals():
        return await agent.schedule.hold(job.user)


@inline(reads=False, alone=False)
async def release(pending: str = "run", *, agent: Agent) -> dict[str, Any]:
    """Let the schedule go on. What came due meanwhile runs now, the last run of each entry; with `pending=drop` never.

    Example: jr '*' schedule.release pending=drop
    """
    with _refusals():
        return await agent.schedule.release(pending)


# For those who write entries and periods; these work with no agent and no master. Each loads what it asks: the spawner
# loads this module too, and stays small.


@inline(reads=True)
def periods(*, agent: Agent) -> dict[str, Any]:
    """The periods of this minion as they are written, and the time zone of those that name none.

    Example: jr web1 schedule.periods
    """
    from common.schedule.ahead.asked import written

    return written(agent.known())


@inline(reads=True)
def segments(period: Any, begin: str, end: str, *, agent: Agent) -> list[dict[str, Any]]:
    """When a period is open between two times. `period` is a name, or a mapping as in the settings.

    Times are ISO, of the period's zone unless they name an offset, or `now`. It is open from `begin` on, not at `end`.

    Example: jr-call schedule.segments night 2026-03-27 2026-03-31
    Example: jr-call schedule.segments '{friday - monday: "22:00-06:00", timezone: Europe/Berlin}' 2026-03-27 2026-03-31
    """
    from common.schedule.ahead import asked

    with _refusals():
        return asked.segments(period, _time(begin), _time(end), agent.known())


@inline(reads=True)
def next_(entry: Any, begin: str = "now", count: int = 5, *, agent: Agent) -> list[dict[str, Any]]:
    """The next runs of an entry after a time: a name, a cron expression, or a mapping as in the settings.

    Times are ISO, of the entry's zone unless they name an offset, or `now`. Splay is left out; windows count.

    Example: jr-call schedule.next nightly 2026-03-27 3
    Example: jr-call schedule.next '{at: "02:30", timezone: Europe/Berlin}' 2026-03-27 3
    """
    from common.schedule.ahead import asked

    with _refusals():
        return asked.coming(entry, _time(begin), count, agent.known())


@inline(reads=True)
def explain(entry: Any, count: int = 5, *, agent: Agent) -> dict[str, Any]:
    """Say in words when an entry runs and by which rules, with its next runs: a name, a cron expression or a mapping.

    Example: jr-call schedule.explain '*/5 9-17 * * 1-5'
    """
    from common.schedule.ahead import asked

    with _refusals():
        return asked.explained(entry, _time("now"), count, agent.known())


def _time(text: str) -> str:
    """The ISO time that `now` means."""
    return datetime.fromtimestamp(round(clock.wall()), UTC).isoformat() if text == "now" else text


def simulate(file: str, **options: str) -> dict[str, Any]:
    """Look ahead at a file of entries, or a folder of them: an absolute path. It fails when something is wrong.

    Options: from=TIME, days=7, name=GLOB, took.ENTRY=DURATION; see jr-run schedule.simulate, which does the same.

    Example: jr-call schedule.simulate /etc/jr/schedule.d days=14
    """
    from runners import foresight

    with _refusals():
        found = foresight.of_file({**options, "file": file})
    if found["problems"]:
        raise Failed(f"{len(found['problems'])} problems: {'; '.join(found['problems'])[:2000]}", found)
    return found
