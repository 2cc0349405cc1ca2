"""Filters of a list of jobs, from text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.errors import UsageError
from runners.filters import parse_filters, parse_time

NOW = 1_800_000_000.0


def test_every_filter() -> None:  # S10
    given = {"function": "cmd.*", "target": "web*", "minion": "web1", "user": "root", "state": "failed",
             "schedule": "nightly", "metadata.ticket": "7", "metadata.a.b": "c=d", "since": "2h", "until": "1700000000"}
    assert parse_filters(given, NOW) == {
        "function": "cmd.*", "target": "web*", "minion": "web1", "user": "root", "state": "failed",
        "schedule": "nightly", "metadata": {"ticket": "7", "a.b": "c=d"}, "since": NOW - 7200, "until": 1_700_000_000.0,
    }


def test_no_filter() -> None:
    assert parse_filters({}, NOW) == {}


@pytest.mark.parametrize("name", ["nope", "metadata", "metadata.", "State", ""])
def test_an_unknown_filter_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="the filters are function, target, minion"):
        parse_filters({name: "x"}, NOW)


def test_an_unknown_state_is_named() -> None:
    with pytest.raises(UsageError, match=r"state=done: the states are planned, sent, .*undelivered"):
        parse_filters({"state": "done"}, NOW)


@pytest.mark.parametrize(("text", "expected"), [
    ("1700000000", 1_700_000_000.0), ("1700000000.5", 1_700_000_000.5),
    ("2h", NOW - 7200), ("1d 2h", NOW - 93600), ("90s", NOW - 90), ("0s", NOW),
    ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()),
    ("2026-01-02T03:04+02:00", datetime(2026, 1, 2, 1, 4, tzinfo=UTC).timestamp()),
    ("2026-01-02T03:04", datetime(2026, 1, 2, 3, 4).astimezone().timestamp()),
    ("2026-01-02", datetime(2026, 1, 2).astimezone().timestamp()),
    ("20260102", datetime(2026, 1, 2).astimezone().timestamp()),
])
def test_times(text: str, expected: float) -> None:
    assert parse_time("since", text, NOW) == expected


@pytest.mark.parametrize("text", ["", "x", "90", "-5", "nan", "inf", "1e300", "yesterday", "2026-13-01", "5y", "-2h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read since=.*: a time is epoch seconds"):
        parse_time("since", text, NOW)
