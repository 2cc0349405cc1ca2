"""The stores against each other: whatever is done to both, both tell the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from common.ids import Jid, MinionId
from common.schedule.model import Occurrence
from common.states import State
from master.records import AddJob, Change, Keep, MovePair, Outcome, PutOccurrences, SetDone
from master.store.base import Filter, Listed, Mark, Run, RunFilter, Store, StoreError
from master.store.memory import MemoryStore
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, job, pair, returned

NUMBERS = some.integers(0, 5)
MINIONS = some.sampled_from(["a", "b", "web1"])
STATES = some.sampled_from([State.SENT, State.SUCCEEDED, State.FAILED, State.LOST])
OUTCOMES = some.sampled_from([Outcome(), Outcome(value=b"\xc0"), Outcome(stdout=b"x", pid=3), Outcome(ended=NOON)])
GLOBS = some.sampled_from(["*", "cmd.*", "cmd.run", "[ct]*", "zzz", "?md.run"])


@some.composite
def added(draw: some.DrawFn) -> Change:
    names = draw(some.lists(MINIONS, unique=True))
    one = job(
        draw(NUMBERS), draw(some.sampled_from(["cmd.run", "test.ping"])), draw(some.sampled_from(["root", "joe"])),
        draw(some.sampled_from(["*", "web1"])), draw(some.sampled_from([None, "nightly"])),
        draw(some.sampled_from([None, "a"])), draw(some.sampled_from([{}, {"k": "v"}, {"k": "v", "l": "w"}])),
        draw(some.sampled_from([None, NOON])))
    return AddJob(one, [pair(one.jid, name, draw(STATES)) for name in names], draw(some.booleans()))


NAMES = some.builds(jid, NUMBERS, some.sampled_from([None, "a"]))
PLANNED = some.integers(0, 4).map(lambda number: NOON + number)
SCHEDULES = some.sampled_from(["tidy", "back*", "t?dy"])
VERDICTS: Any = some.sampled_from(["ran", "missed", "failed_to_start"])
RUNS = some.builds(Occurrence, schedule=SCHEDULES, planned=PLANNED, attempt=some.integers(0, 1), verdict=VERDICTS,
                   at=PLANNED, jid=some.none() | NAMES, by=some.sampled_from(["", "ann"]), count=some.integers(1, 3),
                   last=some.none() | some.just(NOON + 9), reason=some.sampled_from(["", "why"]))
CHANGES = some.one_of(
    some.builds(PutOccurrences, MINIONS.map(MinionId), some.lists(RUNS, max_size=4)),
    some.builds(Keep, some.sampled_from(["standing", "change"]), SCHEDULES, some.none() | some.binary(max_size=3)),
    added(),
    some.builds(MovePair, some.builds(returned, NAMES, MINIONS, STATES, OUTCOMES)),
    some.builds(MovePair, some.builds(pair, NAMES, MINIONS, STATES)),
    some.builds(SetDone, NAMES, some.just(NOON), some.dictionaries(STATES, some.integers(0, 3))),
)
AGES = some.sampled_from([0.0, 5.0, 10.0, math.inf])
VERBS = some.one_of(
    some.tuples(some.just("apply"), some.lists(CHANGES, max_size=6)),
    some.tuples(some.just("age"), some.sampled_from([1.0, 5.0])),
    some.tuples(some.just("expire"), some.tuples(AGES, AGES, some.integers(1, 4))),
)
FILTERS = some.builds(
    Filter, function=some.none() | GLOBS, target=some.sampled_from([None, None, "*", "web*"]),
    minion=some.none() | MINIONS.map(MinionId), user=some.sampled_from([None, None, "joe"]), state=some.none() | STATES,
    schedule=some.sampled_from([None, None, "nightly"]), metadata=some.sampled_from([{}, {}, {"k": "v"}, {"l": "w"}]),
    since=some.sampled_from([None, None, NOON + 1]), until=some.sampled_from([None, None, NOON + 4]),
)


RUN_FILTERS = some.builds(
    RunFilter, schedule=some.none() | some.sampled_from(["tidy", "t*", "[t]?dy", "zzz"]),
    verdict=some.none() | VERDICTS,
    minion=some.none() | MINIONS.map(MinionId), since=some.none() | PLANNED, until=some.none() | PLANNED)


def do(store: Store, verb: str, what: Any) -> str:
    """Do it; what was refused, if it was."""
    try:
        if verb == "apply":
            store.apply(what, NOON)
        elif verb == "age":
            store.age(what, NOON)
        else:
            values, pairs, batch = what
            while store.expire(values, pairs, batch):
                pass
    except StoreError as error:
        return str(error).split("(")[0].strip()
    return ""


def pages(store: Store, wanted: Filter, limit: int) -> list[Listed]:
    found: list[Listed] = []
    before: Jid | None = None
    while True:
        page = store.page(wanted, limit, before)
        assert len(page.jobs) <= limit
        found += page.jobs
        if page.next is None:
            return found
        before = page.next


def run_pages(store: Store, wanted: RunFilter, limit: int) -> list[Run]:
    found: list[Run] = []
    before: Mark | None = None
    while True:
        page = store.runs(wanted, limit, before)
        assert len(page.runs) <= limit
        found += page.runs
        if page.next is None:
            return found
        before = page.next


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(verbs=some.lists(VERBS, max_size=12), wanted=some.lists(FILTERS, min_size=1, max_size=4),
       runs=some.lists(RUN_FILTERS, min_size=1, max_size=4), limit=some.integers(1, 4))
def test_both_tell_the_same(tmp_path_factory: pytest.TempPathFactory, verbs: list[tuple[str, Any]],
                            wanted: list[Filter], runs: list[RunFilter], limit: int) -> None:
    path = tmp_path_factory.mktemp("store") / "jr.db"
    memory, sqlite = MemoryStore(), SqliteStore(path)
    try:
        for verb, what in verbs:
            assert do(memory, verb, what) == do(sqlite, verb, what)
        assert memory.snapshot() == sqlite.snapshot()
        for one in wanted:
            assert pages(memory, one, limit) == pages(sqlite, one, limit)
        for some_runs in runs:
            assert run_pages(memory, some_runs, limit) == run_pages(sqlite, some_runs, limit)
        for kind in ("standing", "change", "hold"):
            assert memory.kept(kind) == sqlite.kept(kind)
        for listed in pages(memory, Filter(), 100):
            name = listed.job.jid
            assert memory.job(name) == sqlite.job(name)
            assert list(memory.pairs(name)) == list(sqlite.pairs(name))
            assert list(memory.pairs(name, values=False)) == list(sqlite.pairs(name, values=False))
    finally:
        sqlite.close()
