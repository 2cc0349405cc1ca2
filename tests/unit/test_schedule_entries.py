"""What a `schedule:` mapping may say, and how it is refused. # S24"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.schedule.entries.entries import changed, check_ahead, flat, parse_entry, to_fields
from common.schedule.entries.fields import READERS
from common.schedule.model import Check, Entry, Follow
from common.schedule.times.triggers import trigger_of
from common.text import is_safe

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_an_entry_with_everything() -> None:
    entry = parse_entry("tidy-up.1", {
        "function": "cmd.run", "args": ["tidy --all", 3], "kwargs": {"cwd": "/tmp"}, "cron": "*/5 * * * *",
        "timezone": "Europe/Berlin", "timeout": "10m", "enabled": False, "metadata": {"team": "storage"},
    })
    assert entry == Entry(
        name="tidy-up.1", function="cmd.run", args=["tidy --all", 3], kwargs={"cwd": "/tmp"}, cron="*/5 * * * *",
        timezone="Europe/Berlin", timeout=600.0, enabled=False, metadata={"team": "storage"},
    )


def test_an_entry_with_the_least() -> None:
    entry = parse_entry("a", {"function": "test.ping", "every": "30s"})
    assert entry == Entry(name="a", function="test.ping", every=30.0)
    assert (entry.args, entry.kwargs, entry.enabled, entry.timeout) == ([], {}, True, None)


@pytest.mark.parametrize(("changes", "reason"), [
    ({"evry": "5s"}, """it has no key 'evry'; did you mean "every"?"""),
    ({1: 2}, "it has no key '1'"),
    ({"x\x1b": 2}, "it has no key 'x\\x1b'"),
    ({"function": None}, "function is empty: it must be a function such as test.ping"),
    ({"function": "ping"}, "function is 'ping': it must be a function such as test.ping"),
    ({"function": "test.__class__.x y"}, "it must be a function such as test.ping"),
    ({"function": "a." + "b" * 300}, "function is wrong: it must be a function such as test.ping"),
    ({"cron": "* * * * *"}, "it has 2 triggers, every and cron; one is allowed"),
    ({"every": "soon"}, "every is 'soon': it must be a length of time such as"),
    ({"every": 0.5}, "every is 0.5: it must be 1s at least"),
    ({"every": None}, "every is empty: it must be a length of time such as"),
    ({"args": "one"}, "args is 'one': it must be a list"),
    ({"args": [date(2026, 1, 2)]}, "the value[0], a date: only plain data can be sent; put it in quotes"),
    ({"args": ["x" * 200_000]}, "args is wrong: it has 200006 bytes, and 131072 are allowed"),
    ({"kwargs": ["a"]}, "kwargs is wrong: it must be a mapping with names as keys"),
    ({"kwargs": {1: 2}}, "kwargs is wrong: it must be a mapping with names as keys"),
    ({"timeout": 0}, "timeout is 0: it must be more than 0; leave it out for no limit"),
    ({"timeout": "x"}, "timeout is 'x': it must be a length of time such as"),
    ({"enabled": "yes"}, "enabled is 'yes': it must be true or false"),
    ({"enabled": 1}, "enabled is 1: it must be true or false"),
    ({"metadata": {"n": 1}}, "metadata is {'n': 1}: it must be a mapping of text to text, 200 characters at most"),
    ({"metadata": []}, "metadata is []: it must be a mapping of text to text"),
    ({"metadata": {"n": "x" * 201}}, "it must be a mapping of text to text, 200 characters at most"),
])
def test_what_an_entry_may_not_say(changes: dict[Any, Any], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_entry("tidy", {"function": "test.ping", "every": "30s"} | changes)
    assert str(caught.value).startswith("cannot use the schedule 'tidy': ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("fields", "reason"), [
    ({"every": 5}, 'it needs a "function"'),
    ({"function": "a.b", "cron": "61 * * * *"}, "cron is '61 * * * *': bad minute"),
    ({"function": "a.b", "cron": 5}, "cron is 5: it must be text, in quotes"),
    ({"function": "a.b", "cron": "0 0 * * *", "timezone": "Europe/Berlim"}, 'zone; did you mean "Europe/Berlin"?'),
    ({"function": "a.b", "cron": "0 0 * * *", "timezone": "../../etc/passwd"}, "no such time zone"),
    ({"function": "a.b", "cron": "0 0 * * *", "timezone": "Europe"}, "no such time zone"),
    ({"function": "a.b", "cron": "0 0 * * *", "timezone": ""}, "no such time zone"),
    ({"function": "a.b", "cron": "0 0 * * *", "timezone": 1}, "it must be the name of a time zone"),
    ([], "it must be a mapping, for example"),
    (None, "it must be a mapping, for example"),
])
def test_an_entry_that_is_not_whole(fields: Any, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_entry("tidy", fields)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["", "../x", "a b", ".a", "a/b", "x" * 101, 5, None, "a\nb", "ä"])
def test_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(UsageError, match="a name takes letters, digits, dot, underscore and dash") as caught:
        parse_entry(name, {"function": "a.b", "every": 5})
    assert "\n" not in str(caught.value)


WHOLE = {
    "function": "cmd.run", "args": ["tidy"], "kwargs": {"cwd": "/tmp"}, "metadata": {"team": "storage"},
    "timeout": "10m", "left_behind": "kill", "every": "1h", "base": "grid", "anchor": "2026-01-01T00:00:00",
    "start": "2026-01-01T00:00:00", "end": "2036-01-01T00:00:00Z", "timezone": "Europe/Berlin", "during": ["night"],
    "except": ["holidays"], "overlap": "allow", "allow": 3, "catch_up": "all", "catch_up_window": "2d",
    "start_deadline": "5m", "splay": "90s", "retries": 3, "retry_delay": "30s", "retry_backoff": 2.0,
    "should_run": "test -f /srv/ready", "then": ["next", {"entry": "later", "delay": "1m"}], "on_failure": ["page"],
    "max_runs": 5, "pause_after_failures": 3, "run_on_start": True, "enabled": False,
}


def test_all_keys_there_and_back() -> None:
    entry = parse_entry("a", WHOLE)
    assert to_fields(entry) == WHOLE
    assert entry.excepting == ("holidays",)
    assert entry.should_run == Check(function="cmd.run", args=["test -f /srv/ready"])
    assert entry.then == (Follow(entry="next"), Follow(entry="later", delay=60.0))


def test_short_and_long_forms_are_one() -> None:
    short = {"function": "a.b", "at": "3:00", "during": "night", "then": "next", "overlap": {"allow": 3},
             "catch_up": {"runs": "all", "window": "2d"}, "retries": {"count": 3, "delay": "5s", "backoff": 2}}
    assert to_fields(parse_entry("a", short)) == {
        "function": "a.b", "at": ["03:00"], "during": ["night"], "then": ["next"], "overlap": "allow", "allow": 3,
        "catch_up": "all", "catch_up_window": "2d", "retries": 3, "retry_delay": "5s", "retry_backoff": 2.0}
    assert parse_entry("a", {"function": "a.b", "allow": 3}).overlap == "allow"


def refused(fields: dict[str, Any], *, master: bool = False, after: datetime | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        parse_entry("tidy", {"function": "test.ping", **fields}, master=master, after=after)
    reason = str(caught.value).removeprefix("cannot use the schedule 'tidy': ")
    assert reason != str(caught.value)
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize(("fields", "reason"), [
    ({"every": "5  minutes"}, "every is '5  minutes': it must be a length of time such as 30s, 5m, 2h, 1d or 2w"),
    ({"calendar": {"day": "mon, wed, fri"}}, "calendar is {'day': 'mon, wed, fri'}: day 'mon, wed, fri': "),
    ({"calendar": {"hour": "24"}}, "hour '24': "),
    ({"calendar": {"minute": "*/0"}}, "minute '*/0': "),
    ({"calendar": {"day_of_week": "7"}}, "day_of_week '7': "),
    ({"calendar": {"day_of_week": "sun-mon"}}, "day_of_week 'sun-mon': "),
    ({"calendar": {"month": 2, "day": 30}}, "it never comes: month=2, day=30"),
    ({"calendar": {"week": 53, "month": 3}}, "it never comes: week=53, month=3"),
    ({"calendar": {"hours": 3}}, """it has no field 'hours'; there are year, month, day, week, day_of_week, hour,"""),
    ({"calendar": {"hour": 3.5}}, "hour must be text or a number, such as 9 or '9-17/2'"),
    ({"calendar": {}}, "calendar is {}: it must be a mapping such as {day_of_week: mon-fri, hour: 9}"),
    ({"calendar": "daily"}, "calendar is 'daily': it must be a mapping such as"),
    ({"calendar": {"year": 2030}, "end": "2029-12-31T23:59:59"},
     "calendar {year: 2030} never comes within end 2029-12-31T23:59:59"),
    ({"cron": "0 0 30 2 *"}, "cron is '0 0 30 2 *': it never comes: month 2 has no day 30"),
    ({"cron": "@dayly"}, "cron is '@dayly': wrong number of fields: it has 1"),
    ({"cron": "0 3 * * *", "start": "2026-01-01T04:00:00", "end": "2026-01-02T02:00:00"},
     "cron '0 3 * * *' never comes within start 2026-01-01T04:00:00 and end 2026-01-02T02:00:00"),
    ({"at": []}, "at is []: it must be a time of day, or a list of 1 to 100 of them"),
    ({"at": 600}, "at is 600: a time of day needs quotes; is it '10:00'?"),
    ({"at": [36_030]}, "a time of day needs quotes; is it '10:00:30'?"),
    ({"at": "25:00"}, "at is '25:00': '25:00' is no time of day, such as 03:00, 03:00:30 or mon 10:00"),
    ({"at": "mo 10:00"}, "'mo' is no day of the week; they are mon, tue, wed, thu, fri, sat, sun"),
    ({"at": "sat 10:00", "start": "2026-11-16T00:00:00", "end": "2026-11-20T00:00:00"},
     "at sat 10:00 never comes within"),
    ({"every": "1d", "anchor": "2026-01-01", "start": "2026-01-01T06:00:00", "end": "2026-01-01T07:00:00"},
     "every 1d never comes within start 2026-01-01T06:00:00 and end 2026-01-01T07:00:00"),
    ({"every": "1h", "start": "2026-01-02", "end": "2026-01-01T00:00:00"},
     "end is 2026-01-01T00:00:00: it is before start, which is 2026-01-02"),
    ({"once": "2026-01-01T00:00:00", "start": "2026-01-02"},
     "once is 2026-01-01T00:00:00: it is before start, which is 2026-01-02"),
    ({"once": "2026-01-01T00:00:00", "end": "2025-01-02T00:00:00"}, "once is 2026-01-01T00:00:00: it is after end"),
    ({"once": "2026-01-01"}, "+01:00 behind it; say the time of that day as well"),
    ({"once": "tomorrow"}, "once is 'tomorrow': it must be a time such as 2026-12-31T18:00:00"),
    ({"once": "2026-02-30T00:00:00"}, "once is '2026-02-30T00:00:00': no such time: day is out of range for month"),
    ({"once": "1969-12-31T00:00:00"}, "the year must be 1970 at least"),
    ({"every": "1h", "end": date(2026, 1, 1)}, "end is 2026-01-01: it must be a time such as 2026-12-31T18:00:00,"),
    ({"every": "1h", "start": 5}, "start is 5: it must be a time such as"),
    ({"start": "2026-01-01"}, "start goes with a trigger only: every, at, cron, calendar, once, continuous"),
    ({"every": "1h", "at": "03:00", "cron": "* * * * *"}, "it has 3 triggers, every and at and cron; one is allowed"),
    ({"at": "03:00", "base": "end"}, "base goes with every only"),
    ({"every": "1h", "base": "ende"}, """it must be one of start, end, grid; did you mean "end"?"""),
    ({"every": "1h", "base": "end", "anchor": "2026-01-01"}, "anchor goes with base grid only, and base is end"),
    ({"during": [True]}, "it must be the name of a period, or a list of names; yes, no, on and off need quotes"),
    ({"during": []}, "during is []: it must be the name of a period, or a list of names"),
    ({"during": "night", "except": ["night"]}, "except names 'night', as during does, so that it would never run"),
    ({"overlap": "que"}, """overlap is 'que': it must be one of skip, queue, kill, allow; did you mean "queue"?"""),
    ({"overlap": {"alow": 3}}, "overlap has no part 'alow'; it takes allow"),
    ({"overlap": "skip", "allow": 3}, "allow goes with overlap allow only, and overlap is skip"),
    ({"allow": 0}, "allow is 0: it must be a whole number from 1 to 1000"),
    ({"catch_up": {"runs": "all", "windows": "1h"}}, "catch_up has no part 'windows'; it takes runs, window"),
    ({"catch_up": "yes"}, "catch_up is 'yes': it must be one of none, last, all"),
    ({"catch_up": {"window": "1h"}, "catch_up_window": "2h"}, "catch_up_window is said twice"),
    ({"start_deadline": 0}, "start_deadline is 0: it must be more than 0; leave it out for no limit"),
    ({"splay": "-5s"}, "splay is '-5s': it must be a length of time"),
    ({"retries": -1}, "retries is -1: it must be a whole number from 0 to 1000"),
    ({"retries": True}, "retries is true: it must be a whole number"),
    ({"retries": {"count": 1, "backoff": 0.5}}, "retry_backoff is 0.5: it must be a number from 1 to 10"),
    ({"should_run": ""}, "should_run is wrong: it must be a command such as 'test -f /srv/ready', or a mapping"),
    ({"should_run": {"function": "a.b", "argz": []}}, """it has no key 'argz'; did you mean "args"?"""),
    ({"then": "tidy"}, "then names the entry itself; continuous or retries do that"),
    ({"then": {"name": "x"}}, "it must be the name of an entry, {entry: NAME, delay: 1m}, or a list of them"),
    ({"then": {"entry": "x", "dely": 1}}, """it has no key 'dely'; did you mean "delay"?"""),
    ({"on_failure": ["a b"]}, "the name of an entry takes letters, digits, dot"),
    ({"max_runs": 0}, "max_runs is 0: it must be a whole number from 1"),
    ({"left_behind": "stay"}, "left_behind is 'stay': it must be one of leave, kill"),
    ({"target": "web*"}, "target is for the master's own schedule: a minion's entries run on the minion"),
    ({"minutes": 5}, "it has no key 'minutes'; write every: 5m"),
    ({"maxrunning": 1}, "it has no key 'maxrunning'; write overlap: {allow: 3}"),
    ({"until": "x"}, "it has no key 'until'; write end: 2026-12-31T18:00:00"),
])
def test_what_contradicts_itself_or_never_comes(fields: dict[str, Any], reason: str) -> None:  # F03, F10, F12, P06
    assert reason in refused(fields)


@pytest.mark.parametrize(("fields", "reason"), [
    ({"target": "web*", "target_type": "globe"}, """it must be one of glob, list, regex; did you mean "glob"?"""),
    ({"target_type": "list"}, "target_type goes with a target only"),
    ({"target": "(a", "target_type": "regex"}, "target: cannot use the regular expression"),
    ({"target": ["a"]}, "target is ['a']: it must be text that names minions, such as 'web*'"),
])
def test_targets_of_the_masters_entries(fields: dict[str, Any], reason: str) -> None:
    assert reason in refused(fields, master=True)
    assert parse_entry("x", {"function": "a.b", "target": "a,b", "target_type": "list"}, master=True).target == "a,b"


@pytest.mark.parametrize(("fields", "reason"), [
    ({"calendar": {"year": 2025}}, "calendar {year: 2025} never comes again; the last time was 2025-01-01 00:00:00"),
    ({"every": "1h", "end": "2026-11-20T00:00:00"}, "end is 2026-11-20T00:00:00: it is past"),
    ({"continuous": True, "end": "2026-11-20T00:00:00"}, "end is 2026-11-20T00:00:00: it is past"),
    ({"cron": "0 3 * * *", "end": "2026-11-21T02:00:00", "timezone": "Asia/Tokyo"},
     "end is 2026-11-21T02:00:00: it is past"),
    ({"at": "03:00", "end": "2026-11-21T02:00:00"}, "at 03:00 never comes again; the last time was 2026-11-20 03:00"),
])
def test_what_never_comes_again(fields: dict[str, Any], reason: str) -> None:  # F03
    assert reason in refused(fields, after=NOW)
    # What a file says may be over: runs of it may still lack their verdict.
    entry = parse_entry("tidy", {"function": "test.ping", **fields})
    with pytest.raises(UsageError, match="cannot use the schedule 'tidy': "):
        check_ahead(entry, UTC, NOW)
    check_ahead(entry, UTC, NOW - timedelta(days=800))


def test_once_in_the_past_has_a_verdict_all_the_same() -> None:  # F06
    assert parse_entry("a", {"function": "a.b", "once": "2020-01-01T00:00:00"}, after=NOW).once == "2020-01-01T00:00:00"


def test_what_yaml_makes_of_times_without_quotes() -> None:  # F13
    entry = parse_entry("a", {"function": "a.b", "start": date(2026, 1, 1), "every": "1h",
                              "end": datetime(2036, 1, 1, 12, tzinfo=UTC)})
    assert (entry.start, entry.end) == ("2026-01-01", "2036-01-01T12:00:00+00:00")


def test_a_change_changes_only_what_it_names() -> None:  # F37
    assert changed(WHOLE, {"retries": {"delay": "1h"}, "timeout": None}) == \
        {key: value for key, value in WHOLE.items() if key != "timeout"} | {"retry_delay": "1h"}
    assert changed(WHOLE, {"overlap": "queue"}) == \
        {key: value for key, value in WHOLE.items() if key != "allow"} | {"overlap": "queue"}
    assert flat({"catch_up": {"runs": "all"}, "splay": 5}) == {"catch_up": "all", "splay": 5}


def test_secrets_are_written_only_for_those_who_may_see_them() -> None:
    fields = {"function": "a.b", "kwargs": {"token": "s3cret", "b": 1}, "secret": ["token"]}
    entry = parse_entry("a", fields)
    assert to_fields(entry) == fields
    assert to_fields(entry, shown=True)["kwargs"] == {"token": "***", "b": 1}
    assert "s3cret" not in repr(entry)


SECONDS = st.integers(1, 10**7).map(lambda seconds: f"{seconds}s")
LENGTHS = SECONDS | st.sampled_from(["1.5s", "90m", "36h", "1h 30m", 45])


@given(st.fixed_dictionaries({"function": st.just("a.b")}, optional={
    "every": LENGTHS, "base": st.sampled_from(["start", "end", "grid"]), "timeout": LENGTHS, "splay": LENGTHS,
    "start": st.sampled_from(["2026-01-01", "2026-01-01T10:00:00.5+02:00", "2026-01-01T10:00"]),
    "during": st.sampled_from(["a", ["a", "b"]]), "overlap": st.sampled_from(["queue", "kill", {"allow": 2}]),
    "catch_up": st.sampled_from(["none", {"runs": "all", "window": "1w"}, {"window": 5}]),
    "retries": st.sampled_from([0, 2, {"count": 1, "backoff": 1.5}]), "enabled": st.booleans(),
    "should_run": st.sampled_from([
        "true", {"function": "a.b", "kwargs": {"x": 1}}, {"function": "cmd.run", "args": [1]}]),
    "then": st.sampled_from(["b", ["b", {"entry": "c", "delay": "1500ms"}]]),
}))
def test_what_is_written_reads_the_same(fields: dict[str, Any]) -> None:
    if "every" not in fields:
        fields = {key: value for key, value in fields.items() if key not in ("base", "start")}
    entry = parse_entry("a", fields)
    assert parse_entry("a", to_fields(entry)) == entry


SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.dates() | st.datetimes()
           | st.binary(max_size=5)
           | st.sampled_from(["03:00", "1h", "9999-12-31T23:59:59-12:00", "Asia/Tokyo", "a.b", "\x00"]))
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["function", "entry", "delay", "allow", "runs", "window", "count", "hour", "year"]) | SCALARS,
    inner, max_size=3), max_leaves=6)


@given(st.dictionaries(st.sampled_from(sorted(READERS)), DATA, max_size=4), st.booleans())
def test_whatever_a_file_says_is_an_entry_or_one_clear_line(fields: dict[str, Any], master: bool) -> None:  # P8
    try:
        entry = parse_entry("a", {"function": "a.b", **fields}, master=master, zone=ZoneInfo("Asia/Tokyo"), after=NOW)
    except UsageError as error:
        refusal = str(error)
    else:
        trigger_of(entry, UTC)
        assert parse_entry("a", to_fields(entry), master=master) == entry
        return
    assert refusal.startswith("cannot use the schedule 'a': ")
    assert is_safe(refusal)


@pytest.mark.parametrize("key", ["args", "kwargs", "metadata", "calendar", "then", "should_run", "at", "during"])
def test_data_that_holds_itself_is_refused(key: str) -> None:  # P8
    ring: list[Any] = []
    ring.append(ring)
    for value in (ring, {"a": ring}, {"entry": "x", "delay": ring}):
        with pytest.raises(UsageError, match="cannot use the schedule 'a': "):
            parse_entry("a", {"function": "a.b", key: value})
