"""What is foretold comes true: the engine, under a driven clock, begins what the forecast said, when it said so."""

from __future__ import annotations

from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from common.schedule.ahead.forecast import forecast, outlook
from common.schedule.ahead.simulate import Durations, Member, simulate
from common.schedule.engine.splay import offset
from common.schedule.model import Entry
from common.schedule.times.periods import Period
from tests.lib.driven import DAY, HOUR, Host, at, entry

BERLIN = ZoneInfo("Europe/Berlin")
PERIODS = {"night": Period({"monday - sunday": "22:00-06:00"}, BERLIN),
           "lunch": Period({"monday - sunday": "12:00-13:10"}, BERLIN)}
SPRING, AUTUMN = at("2026-03-28T00:00:00+01:00"), at("2026-10-24T00:00:00+02:00")


@pytest.mark.parametrize("begin", [SPRING, AUTUMN])
@pytest.mark.parametrize(("one", "takes"), [
    (entry(cron="30 2 * * *"), 0.0), (entry(cron="*/20 * * * *", during=("night",)), 0.0),
    (entry(at=("02:00", "02:30", "12:30"), excepting=("lunch",)), 0.0),
    (entry(calendar={"hour": "1-3", "minute": "*/30"}), 0.0), (entry(every=HOUR, during=("night",)), 0.0),
    (entry(every=HOUR, base="grid", during=("night",), excepting=("lunch",)), 0.0),
    (entry(every=HOUR, base="end"), 600.0), (entry(continuous=True), 1200.0), (entry(every=7 * HOUR, max_runs=3), 0.0),
    (entry(once="2026-03-29T02:30:00"), 0.0), (entry(every=HOUR, base="start", end="2026-03-29T00:00:00"), 0.0),
], ids=str)
def test_the_engine_begins_what_was_foretold(one: Entry, takes: float, begin: float) -> None:  # B07, R-B32
    host = Host(one, wall=begin, zone=BERLIN, periods=PERIODS, job_seconds=takes)
    host.pass_time(2 * DAY)
    foretold = forecast(outlook(one, BERLIN, PERIODS, usual=takes), begin, begin + 2 * DAY)
    begins = [run.begins for run in foretold if run.begins is not None]
    begun = [run.planned for run in host.begun]
    assert begun == pytest.approx(begins, abs=0.01)
    skipped = sum(run.count for run in host.journal if run.verdict == "skipped_window")
    if one.every is None or one.base == "grid":
        assert skipped == len(foretold) - len(begins)


@pytest.mark.parametrize(("rules", "takes"), [
    ({"every": 300.0}, 400.0), ({"every": 300.0}, 299.0), ({"every": 300.0}, 1000.0), ({"cron": "*/5 * * * *"}, 700.0),
    ({"every": 300.0, "overlap": "allow", "allow": 2}, 700.0),
    ({"every": 300.0, "overlap": "allow", "allow": 3}, 700.0),
])
def test_the_engine_skips_as_many_as_were_foretold(rules: dict[str, Any], takes: float) -> None:  # B07
    one = entry(**rules)
    host = Host(one, wall=SPRING, zone=BERLIN, job_seconds=takes)
    host.pass_time(HOUR * 6)
    verdicts = Counter(run.verdict for run in host.journal)
    told = simulate([Member("web1", {"e": one}, {}, BERLIN)], SPRING, SPRING + HOUR * 6,
                    {"e": Durations(9, takes, takes, takes)}, offset, BERLIN)
    (problem,) = told["problems"] or [""]
    count = verdicts["skipped_overlap"]
    assert (f"so {count} of {told['entries'][0]['runs']} are skipped" in problem) == bool(count)
    assert bool(problem) == bool(count)
