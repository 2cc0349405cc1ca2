"""What a `periods:` mapping may say, and how it is refused. # I20 # I21 # S24"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.schedule.entries.calendars import PARTS_LIMIT, PERIODS_LIMIT, parse_period, read_periods
from common.schedule.times.periods import Period
from common.text import is_safe

BERLIN = ZoneInfo("Europe/Berlin")

PERIODS: dict[str, Any] = {
    "night": {"monday - friday": "22:00-06:00", "timezone": "Asia/Tokyo", "excludes": "holidays"},
    "office": {"monday - friday": ["09:00-12:00", "13:00-17:00"], "includes": ["extra"], "excludes": ["holidays"],
               "prefer_includes": False},
    "holidays": {date(2026, 12, 24): "00:00-24:00", "january 1": "00:00-24:00"},
    "extra": {"2026-12-24": "09:00-10:00", "2026-12-26": "09:00-10:00"},
    "none": {},
}


def made(periods: Any, zone: Any = UTC) -> dict[str, Period]:
    found, problems = read_periods(periods, zone)
    assert problems == {}
    return found


def at(text: str, zone: Any = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_periods_by_name_whatever_the_order() -> None:
    periods = made(PERIODS, BERLIN)
    assert list(periods) == list(PERIODS)
    office = periods["office"]
    assert office.is_inside(at("2026-12-23T10:00"))
    assert not office.is_inside(at("2026-12-23T12:30"))
    assert not office.is_inside(at("2026-12-24T09:30"))  # included and excluded, and excludes are preferred
    assert office.is_inside(at("2026-12-26T09:30"))
    assert periods["none"].next_opening(at("2026-12-26T09:30")) is None


def test_a_period_acts_in_its_own_zone() -> None:  # I21
    night = made(PERIODS, BERLIN)["night"]
    assert night.is_inside(at("2026-12-21T22:30", ZoneInfo("Asia/Tokyo")))
    assert not night.is_inside(at("2026-12-21T22:30"))


def test_no_periods() -> None:
    assert made(None) == {}
    assert made({}) == {}


@pytest.mark.parametrize(("fields", "reason"), [
    (None, "it must be a mapping of days to times"),
    ("monday", "it must be a mapping of days to times"),
    ({"timezon": "UTC"}, """'timezon' is no day, such as 2026-12-24, monday"""),
    ({"timezon": "UTC"}, """; did you mean "timezone"?"""),
    ({"Monday": "09:00-10:00"}, """; did you mean "monday"?"""),
    ({5: "09:00-10:00"}, "'5' is no day"),
    ({"monday": "9-10"}, "monday: '9-10' is no time range, such as 09:00-17:00"),
    ({"monday": 540}, "monday needs times in quotes"),
    ({"monday": []}, "monday needs times in quotes"),
    ({"february 30 x": "09:00-10:00"}, "after 'february' comes one number"),
    ({"2026-02-30": "09:00-10:00"}, "the calendar has no 2026-02-30"),
    ({"timezone": "Europe/Berlim"}, """'Europe/Berlim': no such time zone; did you mean "Europe/Berlin"?"""),
    ({"includes": 5}, "includes: it must be the name of a period, or a list of names"),
    ({"excludes": ["offic"]}, """excludes names 'offic', and there is no such period; did you mean "office"?"""),
    ({"prefer_includes": "no"}, "prefer_includes is 'no': it must be true or false"),
    ({"includes": "night"}, "includes leads back to where it began: night > night"),
    ({"includes": "round"}, "excludes leads back to where it began: night > round > night"),
])
def test_what_a_period_may_not_say(fields: Any, reason: str) -> None:
    others = {"office": {"monday": "09:00-10:00"}, "round": {"excludes": "night"}}
    found, problems = read_periods({"night": fields, **others}, UTC)
    assert reason in problems["night"] or reason in problems["round"]
    assert problems["night"].startswith("cannot use the period 'night': ")
    assert "\n" not in problems["night"]
    assert "office" in found
    assert "office" not in problems


def test_who_needs_a_bad_one_is_bad_as_well() -> None:
    found, problems = read_periods({"a": {"includes": "b"}, "b": {"moonday": "09:00-10:00"}, "c": {}}, UTC)
    assert list(found) == ["c"]
    assert "includes names 'b', which cannot be used itself" in problems["a"]


@pytest.mark.parametrize("name", ["", "../x", "a b", 5, "x" * 101])
def test_a_name_that_is_none(name: Any) -> None:
    found, problems = read_periods({name: {}}, UTC)
    assert found == {}
    assert "a name takes letters" in problems[str(name)]


def test_limits() -> None:
    with pytest.raises(UsageError, match="must be a mapping of names"):
        read_periods([], UTC)
    with pytest.raises(UsageError, match="1001"):
        read_periods({f"n{number}": {} for number in range(PERIODS_LIMIT + 1)}, UTC)
    # Each twice what the last one is: without a limit this would cost 2**100 steps to ask.
    doubled = {f"n{number}": {"includes": f"n{number + 1}", "excludes": f"n{number + 1}"} for number in range(90)}
    _, problems = read_periods({**doubled, "n90": {}}, UTC)
    assert f"periods, and {PARTS_LIMIT} are allowed" in str(problems)
    chain = {f"n{number}": {"includes": f"n{number + 1}"} for number in range(900)}
    _, problems = read_periods({**chain, "n900": {}}, UTC)
    assert "more than 100 periods deep" in str(problems)


def test_one_period_by_itself() -> None:
    known = made(PERIODS, BERLIN)
    period = parse_period({"monday - friday": "09:00-17:00", "excludes": ["holidays"]}, known, BERLIN)
    assert period.is_inside(at("2026-12-23T10:00"))
    assert not period.is_inside(at("2026-12-24T10:00"))
    with pytest.raises(UsageError, match=r"cannot use the period 'given': excludes names 'holiday'.*holidays"):
        parse_period({"excludes": ["holiday"]}, known, BERLIN)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.dates() | st.sampled_from(
    ["a", "b", "09:00-17:00", "22:00-06:00", "UTC"])
DAYS = st.sampled_from(["monday", "day -1", "july 4 - july 10", "2026-12-24", "timezone", "includes", "excludes",
                        "prefer_includes"])


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]) | SCALARS, SCALARS | st.dictionaries(
    DAYS | SCALARS, SCALARS | st.lists(SCALARS, max_size=2), max_size=3), max_size=4))
def test_whatever_a_file_says_is_a_period_or_one_clear_line(periods: dict[Any, Any]) -> None:  # P8
    found, problems = read_periods(periods, BERLIN)
    assert {*found, *problems} == {str(name) for name in periods}
    for problem in problems.values():
        assert problem.startswith("cannot use the period '")
        assert is_safe(problem)
    for period in found.values():
        period.segments(at("2026-01-01"), at("2026-01-03"))
