"""What the master does with the verdicts that minions file. # R-B05, R-S25, P8"""

from __future__ import annotations

from typing import Any

from common.messages import Occurrences
from common.schedule.model import Occurrence
from tests.lib.cores import Ruled
from tests.lib.stored import NOON, jid


def run(verdict: Any = "ran", **more: Any) -> Occurrence:
    return Occurrence(schedule="tidy", planned=NOON, verdict=verdict, at=NOON, **more)


def test_they_are_saved_before_they_are_noted() -> None:
    master = Ruled("m1")
    master.meet(1, "m1")
    page = Occurrences(n=7, items=[run(jid=jid(1, "m1")), run("missed", count=40, last=NOON + 400)])
    for _ in range(2):  # said again, as its answer was lost
        assert master.say(1, "m1", page) == ["save runs of m1: tidy=ran tidy=missed", "to 1: noted 7"]


def test_a_page_of_nothing_is_noted() -> None:
    master = Ruled("m1")
    master.meet(1, "m1")
    assert master.say(1, "m1", Occurrences(n=0, items=[])) == ["to 1: noted 0"]


def test_a_verdict_on_the_job_of_another_is_not_kept_and_somebody_is_told() -> None:
    master = Ruled("m1", "m2")
    master.meet(1, "m1")
    page = Occurrences(n=3, items=[run(jid=jid(1, "m2")), run("missed"), run(jid=jid(1))])
    assert master.say(1, "m1", page) == [
        "save runs of m1: tidy=missed", "alarm m1 1@: it filed a verdict on a job that is not its own", "to 1: noted 3"]


def test_whoever_has_not_said_hello_files_nothing() -> None:
    master = Ruled("m1")
    assert master.say(1, "m1", Occurrences(n=1, items=[run()])) == []
