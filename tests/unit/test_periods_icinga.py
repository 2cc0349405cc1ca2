"""Every case of the time-period file: what Icinga 2 does, and where that is a fault, what is desired."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common.schedule.times.days import parse_days
from common.schedule.times.periods import Period, Segment, parse_times, union

CASES = json.loads((Path(__file__).parents[1] / "data/timeperiods.json").read_text("utf-8"))["cases"]
Case = dict[str, Any]


def of(op: str) -> Any:
    chosen = [case for case in CASES if case["op"] == op]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def local(seconds: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone)


def period(case: Case, ranges: dict[str, str] | None = None) -> Period:
    zone, given = ZoneInfo(case["tz"]), case["input"]
    return Period(given["ranges"] if ranges is None else ranges, zone,
                  includes=[Period(each, zone) for each in given.get("includes", [])],
                  excludes=[Period(each, zone) for each in given.get("excludes", [])],
                  prefer_includes=given.get("prefer_includes", True))


def test_the_file_is_whole() -> None:  # I20
    assert len(CASES) == 199


@of("validate")
def test_grammar(case: Case) -> None:  # I20
    given, expect, zone = case["input"], case["expect"], ZoneInfo(case["tz"])
    if expect.get("error"):
        with pytest.raises(ValueError, match=r"."):
            Period({given["day"]: given["times"]}, zone)
        return
    days, day = parse_days(given["day"]), local(given["ref"], zone).date()
    if "day_begin" in expect:
        assert days.first.begin(day) == local(expect["day_begin"], zone).date()
        last = days.last.begin(day)
        assert last is not None
        assert last.toordinal() + 1 == local(expect["day_end"], zone).date().toordinal()
    if "stride" in expect:
        assert days.stride == max(1, expect["stride"])
    if "segments" in expect:
        alone = Period({day.isoformat(): given["times"]}, zone)
        assert alone.segments(given["ref"] - 90_000, given["ref"] + 90_000 * 3) == _segments(expect["segments"])
        assert parse_times(given["times"])


@of("segments")
def test_segments(case: Case) -> None:  # I20, I21
    given, expect, desired = case["input"], case["expect"], case.get("desired", {})
    tested = period(case)
    inside = desired.get("inside", desired.get("inside_if_union", expect.get("inside", [])))
    assert [tested.is_inside(time) for time in given["check"]] == inside
    found = tested.segments(given["begin"], given["end"])
    if not desired and "segments" in expect:
        window = Segment(given["begin"], given["end"])
        assert found == union(_cut(segment, window) for segment in _segments(expect["segments"]))
    if "segments_local_start" in desired:
        starts = [local(segment.begin, ZoneInfo(case["tz"])).date().isoformat() for segment in found]
        assert starts == [start[:10] for start in desired["segments_local_start"]]


@of("running")
def test_running(case: Case) -> None:  # I20
    ref, expect = case["input"]["ref"], case["expect"]["segment"]
    found = period(case, {case["input"]["day"]: case["input"]["times"]}).segments(ref - 86_400, ref + 86_400)
    running = [segment for segment in found if segment.begin < ref <= segment.end]
    assert running == ([] if expect is None else [tuple(expect)])


@of("next")
def test_next(case: Case) -> None:  # I20
    ref, expect = case["input"]["ref"], case["expect"]["segment"]
    found = period(case, {case["input"]["day"]: case["input"]["times"]}).segments(ref - 86_400, ref + 86_400)
    following = [segment for segment in found if segment.begin >= ref]
    assert following[:1] == ([] if expect is None else [tuple(expect)])


@of("in_range")
def test_in_range(case: Case) -> None:  # I20: half open, and every n-th day
    given = case["input"]
    begin, end = datetime.fromtimestamp(given["begin"], UTC), datetime.fromtimestamp(given["end"], UTC)
    ref = datetime.fromtimestamp(given["ref"], UTC)
    days = parse_days(f"{begin.date()} - {end.date()} / {given['stride']}")
    inside = given["begin"] <= given["ref"] < given["end"] and days.covers(ref.date())
    assert inside == case["expect"]["inside"]


def _segments(pairs: list[list[float]]) -> list[Segment]:
    return [Segment(*pair) for pair in pairs]


def _cut(segment: Segment, window: Segment) -> Segment:
    return Segment(max(segment.begin, window.begin), min(segment.end, window.end))


