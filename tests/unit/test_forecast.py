"""Looking ahead: planned times in their windows, what the changes of the clock do, and what never comes."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common.schedule.ahead.forecast import Outlook, changes, finished, following, forecast, never, oddities, outlook
from common.schedule.model import Entry
from common.schedule.times.periods import Period

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")
DAY = 86_400.0
PERIODS = {
    "night": Period({"monday - sunday": "22:00-06:00"}, BERLIN),
    "weekend": Period({"saturday": "00:00-24:00", "sunday": "00:00-24:00"}, BERLIN),
    "past": Period({"2020-01-01": "00:00-24:00"}, BERLIN),
}


def at(text: str, zone: tzinfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def look(zone: tzinfo = BERLIN, runs: int = 0, usual: float = 0.0, **fields: Any) -> Outlook:
    return outlook(Entry(name="one", function="test.ping", **fields), zone, PERIODS, runs, usual)


def shown(times: list[float], zone: tzinfo = BERLIN) -> list[str]:
    return [datetime.fromtimestamp(time, UTC).astimezone(zone).strftime("%d %H:%M") for time in times]


def begins(ahead: Outlook, begin: str, days: float = 1) -> list[str]:
    runs = forecast(ahead, at(begin), at(begin) + days * DAY)
    return shown([run.begins for run in runs if run.begins is not None])


def test_times_of_the_wall_clock_outside_their_window_are_skipped() -> None:  # B07, I19
    runs = forecast(look(at=("05:00", "12:00"), during=("night",)), at("2026-06-01"), at("2026-06-03"))
    assert [run.begins == run.planned for run in runs] == [True, False, True, False]
    assert begins(look(at=("12:00",), excepting=("weekend",)), "2026-06-05", 4) == ["05 12:00", "08 12:00"]


def test_an_interval_outside_its_window_waits_for_the_next_opening() -> None:  # B07, I19
    found = begins(look(every=3600.0, during=("night",)), "2026-06-01T04:30")
    assert found == ["01 05:30", "01 22:00", "01 23:00", "02 00:00", "02 01:00", "02 02:00", "02 03:00", "02 04:00"]


def test_what_counts_from_the_end_needs_the_usual_length() -> None:  # B07
    ahead = look(every=3600.0, base="end", usual=1800.0)
    assert begins(ahead, "2026-06-01", 0.2) == ["01 01:00", "01 02:30", "01 04:00"]
    assert begins(look(continuous=True, usual=7200.0), "2026-06-01", 0.2) == ["01 00:00", "01 02:00", "01 04:00"]
    assert shown(following(look(continuous=True, usual=60.0), at("2026-06-01"), 2)) == ["01 00:01", "01 00:02"]


def test_bounds_and_counts_end_a_row() -> None:  # B07
    assert begins(look(every=3600.0, base="start", start="2026-06-01T05:00", end="2026-06-01T07:00"), "2026-06-01") \
        == ["01 05:00", "01 06:00", "01 07:00"]
    assert begins(look(at=("03:00",), max_runs=3, runs=1), "2026-06-01", 9) == ["01 03:00", "02 03:00"]
    assert begins(look(at=("03:00",), enabled=False), "2026-06-01", 9) == []
    assert begins(look(), "2026-06-01", 9) == []
    assert len(forecast(look(cron="* * * * * *"), at("2026-06-01"), at("2026-06-04"), 500)) == 500


def test_the_next_runs_lie_in_the_window() -> None:  # B07
    ahead = look(cron="30 * * * *", during=("night",), excepting=("weekend",))
    assert shown(following(ahead, at("2026-06-05T21:00"), 4)) == ["05 22:30", "05 23:30", "08 00:30", "08 01:30"]
    ahead = look(every=3600.0, base="end", usual=600.0)
    assert shown(following(ahead, at("2026-06-01"), 2)) == ["01 01:00", "01 02:10"]
    assert following(look(once="2026-06-01T00:00"), at("2026-06-01"), 5) == []
    assert following(look(), at("2026-06-01"), 5) == []


@pytest.mark.parametrize(("fields", "why"), [
    ({"calendar": {"year": "2025"}}, "none of its times is still to come"),
    ({"at": ("12:00",), "during": ("night",)}, "none of its times lies in its window"),
    ({"every": 60.0, "during": ("past",)}, "the period 'past' never opens"),
    ({"every": 60.0, "during": ("past", "night"), "excepting": ("night",)}, "none of its times lies in its window"),
    ({"every": 60.0, "during": ("nope",)}, "there is no period nope"),
    ({"every": 60.0, "base": "start", "end": "2026-01-01T00:00"}, "it ended 2026-01-01T00:00"),
    ({"at": ("mon 12:00",), "excepting": ("weekend",)}, ""),
    ({"cron": "0 0 29 2 *", "during": ("weekend",)}, ""),  # 2032-02-29 is a Sunday
    ({"once": "2020-01-01T00:00", "enabled": False}, ""),
    ({}, ""),
])
def test_what_can_never_run(fields: dict[str, Any], why: str) -> None:  # B07
    assert never(look(**fields), at("2026-06-01")) == why


@pytest.mark.parametrize(("fields", "why"), [
    ({"once": "2020-01-01T00:00"}, "its time was 2020-01-01T00:00"),
    ({"at": ("12:00",), "max_runs": 2, "runs": 2}, "it had its 2 runs"),
    ({"at": ("12:00",), "max_runs": 2, "runs": 1}, ""),
    ({"once": "2027-01-01T00:00"}, ""),
    ({"calendar": {"year": "2025"}}, ""),
])
def test_what_is_finished_is_no_fault(fields: dict[str, Any], why: str) -> None:  # B07
    assert finished(look(**fields), at("2026-06-01")) == why
    assert not why or never(look(**fields), at("2026-06-01")) == ""


@pytest.mark.parametrize(("fields", "told"), [
    ({"cron": "30 2 * * *"}, "2026-03-29: 02:30 does not exist, it runs at 03:00 +02:00"),
    ({"at": ("02:00", "02:30")}, "2026-03-29: 02:00 and 02:30 do not exist, one run at 03:00 +02:00"),
    ({"cron": "0 1,2,3 * * *"}, "2026-03-29: 02:00 does not exist, the run at 03:00 +02:00 stands for it"),
    ({"calendar": {"hour": "2", "minute": "*/10"}}, "2026-03-29: 02:00 to 02:50 do not exist, one run at 03:00 +02:00"),
    ({"once": "2026-03-29T02:30"}, "2026-03-29: 02:30 does not exist, it runs at 03:00 +02:00"),
    ({"cron": "0 */2 * * *"}, "2026-03-29: 02:00 does not exist, no run"),  # by elapsed time, as cron does
    ({"cron": "*/30 * * * *"}, ""), ({"cron": "0 * * * *"}, ""), ({"cron": "30 3 * * *"}, ""),
    ({"every": 60.0, "base": "grid"}, ""), ({"once": "2026-03-29T02:30:00+00:00"}, ""),
])
def test_a_skipped_hour(fields: dict[str, Any], told: str) -> None:  # B07, R-B32
    found = oddities(look(**fields), at("2026-03-01"), at("2026-05-01"))
    assert [oddity.text for oddity in found] == [told] * bool(told)


@pytest.mark.parametrize(("fields", "told"), [
    ({"cron": "30 2 * * *"}, "2026-10-25: 02:30 comes twice, runs the first time only, at 02:30 +02:00"),
    ({"cron": "0 */2 * * *"}, "2026-10-25: 02:00 comes twice, runs both times"),
    ({"at": ("02:30",), "end": "2026-10-01T00:00"}, ""),
    ({"cron": "*/5 * * * *"}, ""),
])
def test_a_doubled_hour(fields: dict[str, Any], told: str) -> None:  # B07, R-B32
    found = oddities(look(**fields), at("2026-10-01"), at("2026-12-01"))
    assert [oddity.text for oddity in found] == [told] * bool(told)


def test_a_midnight_that_does_not_exist() -> None:  # B07, R-B32
    (found,) = oddities(look(CAIRO, at=("00:00",)), at("2026-04-01"), at("2026-05-01"))
    assert found.text == "2026-04-24: 00:00 does not exist, it runs at 01:00 +03:00"
    assert found.at == at("2026-04-24T01:00", CAIRO)


def test_the_changes_of_a_zone() -> None:
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert [change.at for change in changes(BERLIN, begin, end)] \
        == [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
    assert list(changes(UTC, begin, end)) == []
