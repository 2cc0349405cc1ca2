"""What every store promises of lists of jobs: pages, cursors, filters."""

from __future__ import annotations

import math

import pytest

from common.ids import MinionId
from common.states import OPEN, State
from master.records import (
    AddJob,
    Job,
    SetDone,
)
from master.store.base import Filter, Store
from tests.lib.stored import NOON, jid, job, over, published, returned
from tests.lib.stores import listed


class TestPages:  # S10
    def test_newest_first_whatever_came_first(self, store: Store) -> None:
        order = [job(3), job(1, minion="b"), job(2), job(1), job(1, minion="a"), job(4, minion="a")]
        store.apply([published(one, minted=False) for one in order], NOON)
        assert listed(store, Filter()) == sorted((one.jid for one in order), reverse=True)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 50])
    def test_a_cursor_shows_each_once(self, store: Store, limit: int) -> None:
        store.apply([published(job(number)) for number in range(7)], NOON)
        assert listed(store, Filter(), limit) == [jid(number) for number in reversed(range(7))]
        page = store.page(Filter(), limit)
        assert len(page.jobs) == min(limit, 7)
        assert (page.next is None) == (limit >= 7)

    def test_a_cursor_that_is_not_stored(self, store: Store) -> None:
        store.apply([published(job(number)) for number in (1, 2, 8, 9)], NOON)
        assert [one.job.jid for one in store.page(Filter(), 50, jid(5)).jobs] == [jid(2), jid(1)]
        assert store.page(Filter(), 50, jid(1)).jobs == []

    def test_jobs_that_come_between_pages_do_not_shift_them(self, store: Store) -> None:
        store.apply([published(job(number)) for number in (1, 2, 3, 4)], NOON)
        first = store.page(Filter(), 2)
        store.apply([published(job(5))], NOON)
        second = store.page(Filter(), 2, first.next)
        assert [one.job.jid for one in first.jobs + second.jobs] == [jid(4), jid(3), jid(2), jid(1)]

    def test_a_listed_job_is_the_job(self, store: Store) -> None:
        store.apply(over(job(1, metadata={"k": "v"})), NOON)
        [one] = store.page(Filter(), 50).jobs
        assert one.job == store.job(jid(1)) == job(1, metadata={"k": "v"}, done=NOON + 2)


JOBS: list[tuple[Job, dict[str, State]]] = [
    (job(1, "test.ping", "root", "*"), {"a": State.SUCCEEDED, "b": State.FAILED}),
    (job(2, "cmd.run", "joe", "web*", metadata={"ticket": "42", "env": "prod"}), {"a": State.SUCCEEDED}),
    (job(3, "cmd.run", "root", "a,b", schedule="nightly"), {"a": State.LOST, "b": State.SUCCEEDED}),
    (job(4, "cmd.script", "joe", "db1", metadata={"ticket": "43"}), {"db1": State.KILLED}),
    (job(5, "test.ping", "root", "web[12]"), {"b": State.RUNNING}),
    (job(6, "pkg.install", "joe", "*", schedule="weekly"),
     {"a": State.SENT, "b": State.FAILED, "db1": State.SUCCEEDED}),
    (job(7, "cmd.run", "b", "b", minion="b", schedule="nightly"), {"b": State.SUCCEEDED}),
]
"""Of these 5 and 6 are open."""


def fill(store: Store) -> None:
    for one, states in JOBS:
        pairs = [returned(one.jid, name, state) for name, state in states.items()]
        store.apply([AddJob(one, pairs, minted=False)], NOON)
        if not OPEN & set(states.values()):
            ended = list(states.values())
            store.apply([SetDone(one.jid, NOON + 60, {state: ended.count(state) for state in ended})], NOON)


class TestFilters:  # S10
    @pytest.mark.parametrize(("wanted", "numbers"), [
        (Filter(), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(function="cmd.run"), [7, 3, 2]),
        (Filter(function="cmd.*"), [7, 4, 3, 2]),
        (Filter(function="*"), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(function="*.ping"), [5, 1]),
        (Filter(function="[cp]*"), [7, 6, 4, 3, 2]),
        (Filter(function="[!c]*"), [6, 5, 1]),
        (Filter(function="cmd.ru?"), [7, 3, 2]),
        (Filter(function="CMD.RUN"), []),
        (Filter(function="cmd"), []),
        (Filter(target="web*"), [5, 2]),
        (Filter(target="*"), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(target="[*]"), [6, 1]),
        (Filter(target="a,b"), [3]),
        (Filter(minion=MinionId("db1")), [6, 4]),
        (Filter(minion=MinionId("b")), [7, 6, 5, 3, 1]),
        (Filter(minion=MinionId("zz")), []),
        (Filter(user="joe"), [6, 4, 2]),
        (Filter(user="jo*"), []),
        (Filter(state=State.SUCCEEDED), [7, 6, 3, 2, 1]),
        (Filter(state=State.FAILED), [6, 1]),
        (Filter(state=State.LOST), [3]),
        (Filter(state=State.RUNNING), [5]),
        (Filter(state=State.QUEUED), []),
        (Filter(schedule="nightly"), [7, 3]),
        (Filter(schedule="night*"), []),
        (Filter(metadata={"ticket": "42"}), [2]),
        (Filter(metadata={"ticket": "42", "env": "prod"}), [2]),
        (Filter(metadata={"ticket": "42", "env": "test"}), []),
        (Filter(metadata={"env": "42"}), []),
        (Filter(since=NOON + 5), [7, 6, 5]),
        (Filter(until=NOON + 5), [4, 3, 2, 1]),
        (Filter(since=NOON + 2.5, until=NOON + 5.5), [5, 4, 3]),
        (Filter(since=NOON + 5, until=NOON + 5), []),
        (Filter(since=-math.inf, until=math.inf), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(since=math.inf), []),
        (Filter(until=-math.inf), []),
        (Filter(since=-1e18), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(until=1e18), [7, 6, 5, 4, 3, 2, 1]),
        # Filters AND together.
        (Filter(function="cmd.run", minion=MinionId("a"), state=State.SUCCEEDED), [2]),  # of 3 it is b that succeeded
        (Filter(function="cmd.*", user="joe"), [4, 2]),
        (Filter(schedule="nightly", minion=MinionId("a"), user="root", target="a,?", since=NOON, until=NOON + 9), [3]),
        (Filter(state=State.FAILED, user="joe", minion=MinionId("b")), [6]),
        (Filter(state=State.FAILED, user="joe", minion=MinionId("db1")), []),
        (Filter(user="joe", state=State.LOST), []),
    ])
    @pytest.mark.parametrize("limit", [1, 50])
    def test_each_and_together(self, store: Store, wanted: Filter, numbers: list[int], limit: int) -> None:
        fill(store)
        assert listed(store, wanted, limit) == [JOBS[number - 1][0].jid for number in numbers]

    def test_a_pattern_is_not_a_query(self, store: Store) -> None:
        fill(store)
        for text in ("'", "%", "_", "cmd.run' OR '1'='1", "*\0", "\\*", "[", "]"):
            assert listed(store, Filter(function=text)) == []
            assert listed(store, Filter(user=text)) == []
            assert listed(store, Filter(metadata={text: text})) == []
