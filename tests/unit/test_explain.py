"""Schedules in words: each sentence says what the trigger does, and nothing that a trigger takes is too odd for it."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from cronsim import CronSimError
from hypothesis import given
from hypothesis import strategies as some

from common.schedule.ahead.explain import explain, explain_calendar, explain_cron, explain_trigger
from common.schedule.ahead.words import length, listed, ordinal, times_of_day
from common.schedule.entries.entries import parse_entry
from common.schedule.model import Check, Entry, Follow
from common.schedule.times.calendar import Calendar


def entry(**fields: Any) -> Entry:
    return Entry(name="nightly", function="test.ping", **fields)


@pytest.mark.parametrize(("expression", "told"), [
    ("*/5 9-17 * * 1-5", "every 5 minutes from 09:00 to 17:55, on Monday to Friday"),
    ("* * * * *", "every minute"),
    ("0 3 * * *", "at 03:00 every day"),
    ("30 * * * *", "every hour at minute 30"),
    ("0 */5 * * *", "every 5 hours from 00:00 to 20:00 every day"),  # 20:00, then 00:00: no even interval
    ("*/7 * * * *", "at every 7th minute from 0 to 56 of every hour"),
    ("5-59/20 * * * *", "every 20 minutes from 00:05 to 23:45"),
    ("* 22-23,0-6 * * *", "every minute from 00:00 to 06:59 and from 22:00 to 23:59 every day"),
    ("0,15,50 9-12,14 * * 6,7", "at the minutes 0, 15 and 50 of the hours 9 to 12 and 14, on Saturday and Sunday"),
    ("0 0 1 * *", "at 00:00, on day 1 of the month"),
    ("59 23 31 12 *", "at 23:59, on day 31 of months that have it, in December"),
    ("0 0 L * *", "at 00:00, on the last day of the month"),
    ("0 0 LW 2 *", "at 00:00, on the last Monday to Friday of the month, in February"),
    ("0 4 * * 5L", "at 04:00, on the last Friday of the month"),
    ("0 4 * jun-aug 1#2,0", "at 04:00, on Sunday and the second Monday of the month, in June to August"),
    # cron's rule: days of the month and of the week add up, unless one of them begins with a star
    ("0 0 13 * 5", "at 00:00, on day 13 of the month and also on Friday"),
    ("0 0 */2 * 5", "at 00:00, on every 2nd day from 1 to 31 of the month when that is a Friday"),
    ("0 0 1-31 * 5", "at 00:00 every day"),
    ("0 0 13 * */7", "at 00:00, on day 13 of the month when that is a Sunday"),
    # six fields begin with seconds
    ("*/10 * * * * *", "every 10 seconds"),
    ("30 15 3 * * *", "at 03:15:30 every day"),
    ("5,7,11 3 * * * *", "at the seconds 5, 7 and 11 of minute 3 of every hour"),
    ("30 0 * * * *", "every hour at minute 0 and 30 seconds"),
])
def test_cron(expression: str, told: str) -> None:  # B07
    assert explain_cron(expression) == told


@pytest.mark.parametrize(("fields", "told"), [
    ({"day_of_week": "mon, wed, fri", "hour": "03", "minute": "25"}, "at 03:25, on Monday, Wednesday and Friday"),
    ({"day": "last"}, "at 00:00, on the last day of the month"),
    ({"day": "2nd tue, last fri"}, "at 00:00, on the second Tuesday and the last Friday of the month"),
    ({"day": "13", "day_of_week": "fri"}, "at 00:00, on day 13 of the month when that is a Friday"),
    ({"month": "1-6, 9-12", "day": "1", "hour": "3"},
     "at 03:00, on day 1 of the month, in January to June and September to December"),
    ({"week": "53"}, "at 00:00, in week 53 of the year"),
    ({"minute": "5/20"}, "every 20 minutes from 00:05 to 23:45"),
    ({"year": "2026-2030/2"}, "at 00:00, on day 1 of the month, in January, every 2nd year from 2026 to 2030"),
    ({"year": "2026,2028-2031", "day_of_week": "sun"}, "at 00:00, on Sunday, in 2026 and in 2028 to 2031"),
    ({"year": "*/4", "month": "2", "day": "29"},
     "at 00:00, on day 29 of months that have it, in February, every 4th year from 1970 on"),
])
def test_calendar(fields: dict[str, str], told: str) -> None:  # F05, B07
    assert explain_calendar(fields) == told


@pytest.mark.parametrize(("fields", "told"), [
    ({"every": 300.0}, "every 5 minutes, counted from the start of the last run"),
    ({"every": 5400.0, "base": "end"}, "every 1 hour 30 minutes, counted from the end of the last run"),
    ({"every": 60.0, "anchor": "2026-01-01"}, "every minute, on the grid that begins 2026-01-01"),
    ({"at": ("12:30", "03:00", "tue 10:00", "mon 10:00")},
     "at 03:00 and 12:30 every day and at 10:00 on Monday and Tuesday"),
    ({"once": "2026-01-01T03:00"}, "once, at 2026-01-01T03:00"),
    ({"calendar": {"hour": "3"}}, "at 03:00 every day"),
    ({"cron": "0 3 * * *"}, "at 03:00 every day"),
    ({"continuous": True},
     "over and over: again as soon as the last run is over, and a second after its start at the earliest"),
    ({}, "by hand, and after entries that name it; it has no times of its own"),
])
def test_triggers(fields: dict[str, Any], told: str) -> None:  # B07
    assert explain_trigger(entry(**fields)) == told


def test_bounds_windows_and_policies_in_words() -> None:  # B07
    told = explain(entry(
        cron="0 3 * * *", timezone="Europe/Berlin", start="2026-01-01", end="2026-06-30", max_runs=3, run_on_start=True,
        during=("night", "weekend"), excepting=("holidays",), overlap="queue", catch_up="all", catch_up_window=7200.0,
        start_deadline=600.0, splay=300.0, timeout=60.0, should_run=Check(function="cmd.run"), retries=2,
        retry_backoff=2.0, then=(Follow(entry="tidy"), Follow(entry="report", delay=60.0)),
        on_failure=(Follow(entry="alarm"),), pause_after_failures=5, enabled=False))
    assert told == [
        "at 03:00 every day (Europe/Berlin)", "not before 2026-01-01", "not after 2026-06-30",
        "3 runs in all, then never again", "also each time the daemon starts",
        "only inside the periods night or weekend", "never inside the period holidays",
        "a run that is planned outside is skipped",
        "a run that is due while the last one goes on starts when that is over",
        "of the runs that nobody was there for, all of 2 hours are made up for",
        "a run that could not start within 10 minutes is missed",
        "each minion starts it up to 5 minutes later, always by the same", "a run is ended after 1 minute",
        "before each run cmd.run is asked, and its no skips the run",
        "a run that failed is tried 2 times more, 1 minute after its end, each time 2 times as long",
        "after a success comes tidy and report (1 minute later)", "after a failure comes alarm",
        "paused after 5 failures in a row", "disabled: it does not run now",
    ]


@pytest.mark.parametrize(("fields", "waits"), [
    ({"every": 60.0}, True), ({"every": 60.0, "base": "end"}, True), ({"continuous": True}, True),
    ({"every": 60.0, "base": "grid"}, False), ({"every": 60.0, "start": "2026-01-01"}, False),
    ({"at": ("03:00",)}, False),
])
def test_what_is_due_outside_its_windows_waits_or_is_skipped(fields: dict[str, Any], waits: bool) -> None:
    told = " ".join(explain(entry(during=("night",), **fields)))
    assert ("waits for the next opening" in told, "outside is skipped" in told) == (waits, not waits)


def test_numbers_and_lists() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 22, 112)] == \
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "112th"]
    assert [length(seconds) for seconds in (0.5, 1, 90, 86_400 * 10, 86_400 * 14, 0)] == \
        ["0.5 seconds", "1 second", "1 minute 30 seconds", "10 days", "2 weeks", "0 seconds"]
    assert listed(["a", "b", "c"], "or") == "a, b or c"


FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
ODD = {"day": ["L", "LW", "L/2"], "month": ["jan", "MAR-may"], "weekday": ["sun", "mon-fri", "5L", "3#5", "7#1", "0L"]}


@some.composite
def field(draw: some.DrawFn, name: str) -> str:
    low, high = FIELDS[name]
    parts = []
    for _ in range(draw(some.integers(1, 3))):
        begin = draw(some.integers(low, high))
        end = draw(some.integers(begin, high))
        step = draw(some.integers(1, 70))
        parts.append(draw(some.sampled_from([
            "*", f"*/{step}", str(begin), f"{begin}/{step}", f"{begin}-{end}", f"{begin}-{end}/{step}",
            *ODD.get(name, [])])))
    return ",".join(parts)


@given(some.one_of(some.just([]), some.lists(field("minute"), min_size=1, max_size=1)),
       some.tuples(*(field(name) for name in FIELDS)))
def test_no_cron_expression_is_too_odd_for_words(seconds: list[str], fields: tuple[str, ...]) -> None:  # B07
    expression = " ".join([*seconds, *fields])
    try:
        told = explain_cron(expression)
    except CronSimError:
        return  # no trigger takes it either
    assert told.startswith(("at ", "every "))
    assert "\n" not in told


@given(some.dictionaries(some.sampled_from(["month", "day", "week", "day_of_week", "hour", "minute", "second", "year"]),
                         some.sampled_from(["*", "*/2", "1", "2-5", "1-6/2", "3/2", "1, 3,5-6", "last", "1st mon",
                                            "5th sun, last", "jan-mar", "tue-thu", "2026", "1970-2030/3"]),
                         min_size=1))
def test_no_calendar_is_too_odd_for_words(fields: dict[str, str]) -> None:  # B07
    try:
        Calendar(fields, UTC)
    except ValueError:
        return
    assert explain_calendar(fields).startswith(("at ", "every "))


LENGTHS = some.sampled_from(["1s", "90s", "5m", "1h 30m", "2w", "10d", "1.5s", 7])
TRIGGERS = some.one_of(
    some.fixed_dictionaries({"every": LENGTHS}, optional={"base": some.sampled_from(["start", "end", "grid"])}),
    some.fixed_dictionaries({"at": some.lists(some.sampled_from(
        ["03:00", "3:05:07", "mon 10:00", "sat,sun 00:00", "fri-mon 23:59:59", "monday-friday 12:00"]), min_size=1)}),
    some.fixed_dictionaries({"once": some.sampled_from(["2026-01-01T00:00", "2026-01-01 00:00:00+02:00"])}),
    some.just({"continuous": True}), some.just({"cron": "*/7 3,5-9 L * 1#2"}),
    some.just({"calendar": {"day": "last fri"}}), some.just({}))
RULES = some.fixed_dictionaries({}, optional={
    "timezone": some.sampled_from(["UTC", "Asia/Kathmandu"]), "during": some.lists(some.just("night"), min_size=1),
    "except": some.just("holidays"), "overlap": some.sampled_from(["skip", "queue", "kill", {"allow": 3}]),
    "catch_up": some.sampled_from(["none", "last", "all", {"runs": "all", "window": "2d"}]), "splay": LENGTHS,
    "start_deadline": some.just("10w"), "timeout": LENGTHS,
    "retries": some.sampled_from([0, 1, 3, {"count": 2, "delay": 0}]),
    "should_run": some.just("true"), "then": some.sampled_from(["b", ["b", {"entry": "c", "delay": "1m"}]]),
    "on_failure": some.just("b"), "max_runs": some.integers(1, 5), "pause_after_failures": some.integers(1, 5),
    "run_on_start": some.booleans(), "enabled": some.booleans()})


@given(TRIGGERS, RULES)
def test_no_entry_is_too_odd_for_words(trigger: dict[str, Any], rules: dict[str, Any]) -> None:  # B07
    told = explain(parse_entry("a", {"function": "test.ping", **trigger, **rules}))
    assert all(line and "\n" not in line and "  " not in line for line in told)
    assert len({*told}) == len(told)


SAID: dict[str, tuple[set[int], ...]] = {}


@some.composite
def row(draw: some.DrawFn, count: int) -> set[int]:
    """Some of the numbers below `count`, as schedules have them: a few, a range, or every n-th."""
    begin = draw(some.integers(0, count - 1))
    end, step = draw(some.integers(begin, count - 1)), draw(some.integers(1, 20))
    return {*range(begin, end + 1, step), *draw(some.sets(some.integers(0, count - 1), max_size=2))}


@given(row(24), row(60), some.one_of(some.just({0}), row(60)))
def test_what_is_different_is_said_differently(hours: set[int], minutes: set[int], seconds: set[int]) -> None:  # B07
    told, _ = times_of_day(hours, minutes, seconds)
    assert SAID.setdefault(told, (hours, minutes, seconds)) == (hours, minutes, seconds)
