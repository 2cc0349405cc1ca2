"""An entry in words: when it runs, and by which rules. Pure.

Told is what the triggers do, read from what they made of an expression; so no way of writing it is explained wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any

from cronsim import CronSim

from common.schedule.ahead import words
from common.schedule.ahead.daywords import LAST, MonthDays, Nth, WeekDays, days, months, stepped, weeks
from common.schedule.ahead.words import each, length, listed
from common.schedule.model import Entry, Follow
from common.schedule.times.daytimes import read_at
from common.schedule.times.triggers import GRID_ANCHOR, base_of

_LAST_WEEKDAY = -1001
"""What cronsim writes for LW."""
_POSITIONS = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: LAST}
"""What APScheduler counts as which weekday of a month."""


def explain_cron(expression: str) -> str:
    """`every 5 minutes from 09:00 to 17:55, on Monday to Friday`. Raises CronSimError for what is no expression."""
    # UTC: the words are about what the wall clock shows.
    cron = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    times, round_the_clock = words.times_of_day(cron.hours, cron.minutes, cron.seconds)
    of_month = MonthDays(frozenset(day for day in cron.days if day > 0), CronSim.LAST in cron.days,
                         _LAST_WEEKDAY in cron.days)
    chosen = days(of_month, _cron_weekdays(cron), both=cron.day_and)
    return _sentence(times, round_the_clock, chosen, months(cron.months))


def explain_calendar(fields: Mapping[str, str]) -> str:
    """The same for calendar fields. Raises ValueError for what they do not take."""
    # Slow to load, and few entries have them.
    from apscheduler.triggers.cron import CronTrigger

    given = CronTrigger(timezone=UTC, **fields)
    values = {field.name: field.expressions for field in given.fields}
    hours, minutes, seconds = (_values(values[name], last) for name, last in
                               (("hour", 23), ("minute", 59), ("second", 59)))
    times, round_the_clock = words.times_of_day(hours, minutes, seconds)
    of_week = WeekDays(frozenset(_values(values["day_of_week"], 6)))
    return _sentence(times, round_the_clock, days(_month_days(values["day"]), of_week),
                     weeks(_values(values["week"], 53, 1)), months(_values(values["month"], 12, 1)),
                     _years(values["year"]))


def explain_trigger(entry: Entry) -> str:
    """When the entry is due, in words; its bounds and windows are not in it."""
    if entry.every is not None:
        return f"{each(entry.every)}, {_counted(entry)}"
    if entry.cron is not None:
        return explain_cron(entry.cron)
    if entry.calendar is not None:
        return explain_calendar(entry.calendar)
    if entry.at:
        return _at(entry.at)
    if entry.once is not None:
        return f"once, at {entry.once}"
    if entry.continuous:
        return "over and over: again as soon as the last run is over, and a second after its start at the earliest"
    return "by hand, and after entries that name it; it has no times of its own"


def explain(entry: Entry, zone: str = "the host's own time zone") -> list[str]:
    """The entry in sentences without a full stop, the first one with its trigger; `zone` is that of times which name
    none. Never raises for a checked entry.
    """
    first = explain_trigger(entry)
    by_wall = entry.cron is not None or entry.calendar is not None or entry.at or entry.once
    first = f"{first} ({entry.timezone or zone})" if by_wall else first
    return [first, *_bounds(entry), *_windows(entry), *_policies(entry)]


def _sentence(times: str, round_the_clock: bool, chosen: str, *more: str) -> str:
    if not chosen and not round_the_clock and not any(more):
        return f"{times} every day"
    return ", ".join(part for part in (times, chosen, *more) if part)


def _cron_weekdays(cron: CronSim) -> WeekDays:
    """Its 0 and 7 are Sunday."""
    numbers: set[int] = set()
    nth: set[Nth] = set()
    for item in cron.weekdays:
        if isinstance(item, tuple):
            nth.add(Nth((item[0] - 1) % 7, LAST if item[1] == CronSim.LAST else item[1]))
        else:
            numbers.add((item - 1) % 7)
    return WeekDays(frozenset(numbers), frozenset(each for each in nth if each.weekday not in numbers))


def _values(expressions: Iterable[Any], last: int, first: int = 0) -> set[int]:
    """All values that one of APScheduler's expressions takes, from `first` to `last`."""
    found: set[int] = set()
    for expression in expressions:
        begin = getattr(expression, "first", first)
        end = getattr(expression, "last", None)
        found.update(range(begin, (last if end is None else end) + 1, expression.step or 1))
    return found


def _month_days(expressions: Iterable[Any]) -> MonthDays:
    numbers: list[Any] = []
    nth: set[Nth] = set()
    last = False
    for expression in expressions:
        if hasattr(expression, "option_num"):
            nth.add(Nth(expression.weekday, _POSITIONS[expression.option_num]))
        elif type(expression).__name__ == "LastDayOfMonthExpression":
            last = True
        else:
            numbers.append(expression)
    return MonthDays(frozenset(_values(numbers, 31, 1)), last, False, frozenset(nth))


def _years(expressions: Iterable[Any]) -> str:
    """`in 2026 to 2028`, `every 2nd year from 2026 on`; empty for every year."""
    parts = []
    for expression in expressions:
        first, last, step = getattr(expression, "first", None), getattr(expression, "last", None), expression.step or 1
        if first is None and step == 1:
            return ""
        begin = 1970 if first is None else first
        if last is None:
            parts.append(f"{stepped(step, 'year')} from {begin} on")
        elif step == 1:
            parts.append(f"in {words.ranged(range(begin, last + 1))}" if last - begin < 2 else f"in {begin} to {last}")
        else:
            parts.append(f"{stepped(step, 'year')} from {begin} to {last}")
    return listed(parts)


def _counted(entry: Entry) -> str:
    """What an interval counts from."""
    base = base_of(entry)
    if base == "grid":
        return f"on the grid that begins {entry.anchor or entry.start or GRID_ANCHOR}"
    return "counted from the end of the last run" if base == "end" else "counted from the start of the last run"


def _at(times: Iterable[str]) -> str:
    """`at 03:00 and 12:00 every day and at 10:00 on Monday`: the days with the same times together."""
    by_time: dict[time, set[int]] = {}
    for text in times:
        chosen, moment = read_at(text)
        by_time.setdefault(moment, set()).update(chosen)
    groups: dict[frozenset[int], list[time]] = {}
    for moment in sorted(by_time):
        groups.setdefault(frozenset(by_time[moment]), []).append(moment)
    return listed([f"at {listed(list(map(_clock, group)))} {days(MonthDays(), WeekDays(of_week)) or 'every day'}"
                   for of_week, group in groups.items()])


def _clock(moment: time) -> str:
    return words.clock(moment.hour * 3_600 + moment.minute * 60 + moment.second)


def _bounds(entry: Entry) -> Iterable[str]:
    if entry.start:
        yield f"not before {entry.start}"
    if entry.end:
        yield f"not after {entry.end}"
    if entry.max_runs is not None:
        yield f"{entry.max_runs} run{'' if entry.max_runs == 1 else 's'} in all, then never again"
    if entry.run_on_start:
        yield "also each time the daemon starts"


def _windows(entry: Entry) -> Iterable[str]:
    if entry.during:
        yield f"only inside the period{'' if len(entry.during) == 1 else 's'} {listed(entry.during, 'or')}"
    if entry.excepting:
        yield f"never inside the period{'' if len(entry.excepting) == 1 else 's'} {listed(entry.excepting, 'or')}"
    if entry.during or entry.excepting:
        waits = entry.continuous or (entry.every is not None and base_of(entry) != "grid")
        yield ("a run that is due outside waits for the next opening" if waits
               else "a run that is planned outside is skipped")


def _policies(entry: Entry) -> Iterable[str]:
    yield _overlap(entry)
    yield _catch_up(entry)
    if entry.start_deadline is not None:
        yield f"a run that could not start within {length(entry.start_deadline)} is missed"
    if entry.splay:
        yield f"each minion starts it up to {length(entry.splay)} later, always by the same"
    if entry.timeout is not None:
        yield f"a run is ended after {length(entry.timeout)}"
    if entry.should_run is not None:
        yield f"before each run {entry.should_run.function} is asked, and its no skips the run"
    if entry.retries:
        yield _retries(entry)
    yield from _follows(entry.then, "after a success")
    yield from _follows(entry.on_failure, "after a failure")
    if entry.pause_after_failures is not None:
        yield f"paused after {entry.pause_after_failures} failure{_s(entry.pause_after_failures)} in a row"
    if not entry.enabled:
        yield "disabled: it does not run now"


def _overlap(entry: Entry) -> str:
    if entry.overlap == "allow":
        return f"up to {entry.allow} run{_s(entry.allow)} at once, more are skipped"
    return {"skip": "a run that is due while the last one goes on is skipped",
            "queue": "a run that is due while the last one goes on starts when that is over",
            "kill": "a run that is due while the last one goes on takes its place, and that one is killed"}[
                entry.overlap]


def _catch_up(entry: Entry) -> str:
    window = length(entry.catch_up_window)
    return {"none": "runs that nobody was there for are missed",
            "last": f"of the runs that nobody was there for, the last one of {window} is made up for",
            "all": f"of the runs that nobody was there for, all of {window} are made up for"}[entry.catch_up]


def _retries(entry: Entry) -> str:
    growing = f", each time {entry.retry_backoff:g} times as long" if entry.retry_backoff != 1 else ""
    wait = f"{length(entry.retry_delay)} after its end{growing}" if entry.retry_delay else "at once"
    return f"a run that failed is tried {entry.retries} time{_s(entry.retries)} more, {wait}"


def _follows(follows: Iterable[Follow], when: str) -> Iterable[str]:
    named = [follow.entry + (f" ({length(follow.delay)} later)" if follow.delay else "") for follow in follows]
    if named:
        yield f"{when} comes {listed(named)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
