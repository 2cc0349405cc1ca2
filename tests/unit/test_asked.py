"""What people who write entries and periods ask, by name or as it would be written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common.errors import JrError, UsageError
from common.schedule.ahead.asked import asked_entry, asked_time, coming, explained, segments, written
from common.schedule.ahead.known import Known
from common.schedule.entries.calendars import read_periods
from common.schedule.entries.entries import parse_entry

BERLIN = ZoneInfo("Europe/Berlin")
PERIODS = {"night": {"monday - sunday": "22:00-06:00", "timezone": "Europe/Berlin"},
           "holidays": {date(2026, 12, 24): "00:00-24:00"}}
ENTRIES = {"nightly": {"function": "a.b", "at": "02:30", "timezone": "Europe/Berlin"},
           "lost": {"function": "a.b", "every": "1h", "during": "nope"}}
KNOWN = Known({name: parse_entry(name, fields) for name, fields in ENTRIES.items()},
              read_periods(PERIODS, UTC)[0], UTC, PERIODS)


def test_a_period_by_name_and_as_it_is_written() -> None:  # I20, I21
    found = segments("night", "2026-03-28T12:00", "2026-03-29", KNOWN)
    assert found == [{"begin": "2026-03-28T22:00:00+01:00", "end": "2026-03-29T00:00:00+01:00",
                      "begin_epoch": 1774731600.0, "end_epoch": 1774738800.0}]
    assert found == segments(dict(PERIODS["night"]), "2026-03-28T11:00Z", "2026-03-28T23:00+00:00", KNOWN)
    both = segments({"december 24": "12:00-13:00", "includes": "night"}, "2026-12-24", "2026-12-25", KNOWN)
    assert [(row["begin"], row["end"]) for row in both] == [  # the zone of the one that is asked for is the host's
        ("2026-12-24T00:00:00+00:00", "2026-12-24T05:00:00+00:00"),
        ("2026-12-24T12:00:00+00:00", "2026-12-24T13:00:00+00:00"),
        ("2026-12-24T21:00:00+00:00", "2026-12-25T00:00:00+00:00")]


def test_the_next_runs_by_name_mapping_and_expression() -> None:  # B07
    assert coming("nightly", "2026-03-28", 2, KNOWN) == [
        {"time": "2026-03-28T02:30:00+01:00", "epoch": 1774661400.0},
        {"time": "2026-03-29T03:00:00+02:00", "epoch": 1774746000.0}]
    assert [row["time"] for row in coming({"every": "1h", "during": "night"}, "2026-06-01T03:30", 3, KNOWN)] \
        == ["2026-06-01T20:00:00+00:00", "2026-06-01T21:00:00+00:00", "2026-06-01T22:00:00+00:00"]
    assert [row["epoch"] for row in coming("30 2 * * *", "2026-01-01", 1, KNOWN)] == [1767234600.0]
    assert coming({"once": "2020-01-01T00:00"}, "2026-01-01", 5, KNOWN) == []
    assert asked_entry({"every": 5, "target": "web*"}, KNOWN).target == "web*"


def test_in_words() -> None:  # B07
    told = explained("nightly", "2026-01-01", 1, KNOWN)
    assert (told["explained"][0], told["next"]) == ("at 02:30 every day (Europe/Berlin)", ["2026-01-01T02:30:00+01:00"])
    told = explained("lost", "2026-01-01", 1, KNOWN)
    assert told["explained"][-1] == "when that is cannot be told here, where there is no period nope"
    assert told["next"] == []
    odd, _ = read_periods({"odd": {"monday": "09:00-09:00"}, "no": {"day 32": "9:00-10:00"}}, UTC)
    known = KNOWN._replace(periods=odd, broken={"bad": "cannot use FILE line 3: schedule 'bad': it has no key 'evry'"})
    assert explained({"at": "10:00", "during": "odd"}, "2026-01-01", 1, known)["explained"][-1] == (
        "period 'odd': monday: '09:00-09:00' is 24 hours, as in Icinga 2; if so, write 09:00-33:00")
    told = explained({"at": "10:00", "during": "no"}, "2026-01-01", 1, known)
    assert told["explained"][-3:] == ["it never runs: the period 'no' never opens",
                                      "period 'no': 'day 32' never comes: no month has a day 32",
                                      "period 'no': it never opens"]
    with pytest.raises(UsageError, match="FILE line 3"):
        explained("bad", "2026-01-01", 1, known)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: segments("nigt", "2026-01-01", "2026-01-02", KNOWN), 'did you mean "night"'),
    (lambda: segments({"mnday": "00:00-24:00"}, "2026-01-01", "2026-01-02", KNOWN), "cannot use the period 'given'"),
    (lambda: segments("night", "2026-01-02", "2026-01-01", KNOWN), "the end must be later than the begin"),
    (lambda: segments("night", "2026-01-01", "2036-01-01", KNOWN), "1000 are allowed; ask for less time"),
    (lambda: segments({f"day {day}": "00:00-24:00" for day in range(1, 1001)}, "2026-01-01", "2027-01-01", KNOWN),
     "100 days are allowed"),
    (lambda: segments("night", "today", "2027-01-01", KNOWN), "cannot read the time 'today'"),
    (lambda: coming("nightli", "2026-01-01", 1, KNOWN), 'did you mean "nightly"'),
    (lambda: coming("61 * * * *", "2026-01-01", 1, KNOWN), "cannot read the cron expression"),
    (lambda: coming({"evry": "5m"}, "2026-01-01", 1, KNOWN), "did you mean \"every\""),
    (lambda: coming("lost", "2026-01-01", 1, KNOWN), "there is no period 'nope'"),
    (lambda: coming("nightly", "2026-01-01", 0, KNOWN), "from 1 to 1000 are allowed"),
    (lambda: coming("nightly", "2026-01-01", 1001, KNOWN), "from 1 to 1000 are allowed"),
    (lambda: coming("nightly", "0001-01-01", 5, KNOWN), "from 1970 to 8999"),
    (lambda: segments("night", "9999-12-01", "9999-12-31", KNOWN), "from 1970 to 8999"),
])
def test_what_cannot_be_asked(call: Any, said: str) -> None:  # B07
    with pytest.raises(JrError) as caught:
        call()
    assert said in str(caught.value)


def test_times_without_an_offset_are_those_of_the_zone() -> None:  # I21
    assert asked_time("2026-03-29T02:30", BERLIN) == datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()
    assert asked_time("2026-06-01", BERLIN) == datetime(2026, 5, 31, 22, tzinfo=UTC).timestamp()


def test_the_periods_as_they_are_written() -> None:
    assert written(KNOWN) == {"periods": {"night": {"monday - sunday": "22:00-06:00", "timezone": "Europe/Berlin"},
                                          "holidays": {"2026-12-24": "00:00-24:00"}}, "timezone": "UTC"}
    assert written(KNOWN._replace(zone=BERLIN, written={})) == {"periods": {}, "timezone": "Europe/Berlin"}


def test_absurd_periods_end_soon() -> None:  # I19
    times = ",".join(f"{hour:02}:{minute:02}-{hour:02}:{minute + 7:02}" for hour in range(24)
                     for minute in (0, 15, 30, 45))
    nested: dict[str, Any] = {f"p{number}": {"monday - sunday": times, "includes": [f"p{number - 1}"]}
                              for number in range(1, 41)}
    found, problems = read_periods({"p0": {"monday - sunday": times}, **nested}, UTC)
    assert len(found) == 20
    assert "it has 2037 days and times, with those that it includes and excludes, and 2000" in problems["p20"]
    with pytest.raises(UsageError, match="too many days and times"):
        coming({"at": "12:10", "during": ["p19"]}, "2026-01-01", 5, Known({}, found, UTC))


def test_nicknames_of_crontab_stand_for_expressions() -> None:  # F03
    assert asked_entry("@daily", KNOWN).cron == asked_entry("@midnight", KNOWN).cron == "0 0 * * *"
    assert parse_entry("a", {"function": "a.b", "cron": "@yearly"}).cron == "0 0 1 1 *"
    assert explained("@weekly", "2026-01-01", 1, KNOWN)["next"] == ["2026-01-04T00:00:00+00:00"]
