"""What a `schedule:` mapping may say, and how it is refused. # S24"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from common.errors import UsageError
from common.schedule.entries import ENTRIES_LIMIT, parse_entries, parse_entry, to_fields
from common.schedule.model import Check, Entry, Follow


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


def test_entries_keep_their_order() -> None:
    fields = {"function": "test.ping", "every": 5}
    assert list(parse_entries({"z": fields, "a": fields, "m": fields})) == ["z", "a", "m"]


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_schedule_is_an_empty_one(nothing: Any) -> None:
    assert parse_entries(nothing) == {}


@pytest.mark.parametrize(("changes", "reason"), [
    ({"evry": "5s"}, """it has no key 'evry'; did you mean "every"?"""),
    ({1: 2}, "it has no key '1'"),
    ({"x\x1b": 2}, "it has no key 'x\\x1b'"),
    ({"function": None}, "function is None: it must be a function such as test.ping"),
    ({"function": "ping"}, "function is 'ping': it must be a function such as test.ping"),
    ({"function": "test.__class__.x y"}, "it must be a function such as test.ping"),
    ({"function": "a." + "b" * 300}, "function is wrong: it must be a function such as test.ping"),
    ({"cron": "* * * * *"}, "it has 2 triggers, every and cron; one is allowed"),
    ({"every": "soon"}, "every is 'soon': a length of time such as"),
    ({"every": 0.5}, "every is 0.5: it must be 1s at least"),
    ({"every": None}, "every is None: a length of time such as"),
    ({"args": "one"}, "args is 'one': it must be a list"),
    ({"args": [date(2026, 1, 2)]}, "the value[0], a date: only plain data can be sent; put it in quotes"),
    ({"args": ["x" * 200_000]}, "args is wrong: it has 200006 bytes, and 131072 are allowed"),
    ({"kwargs": ["a"]}, "kwargs is wrong: it must be a mapping with names as keys"),
    ({"kwargs": {1: 2}}, "kwargs is wrong: it must be a mapping with names as keys"),
    ({"timeout": 0}, "timeout is 0: it must be more than 0; leave it out for no limit"),
    ({"timeout": "x"}, "timeout is 'x': a length of time such as"),
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


def test_a_schedule_is_a_mapping_of_some_size() -> None:
    with pytest.raises(UsageError, match="must be a mapping of names to entries"):
        parse_entries([1])
    with pytest.raises(UsageError, match="1001 entries"):
        parse_entries({f"n{number}": {} for number in range(ENTRIES_LIMIT + 1)})


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
