"""What every store promises of what grows old."""

from __future__ import annotations

import pytest
from msgspec import structs

from common.ids import MinionId
from common.messages import Evidence
from common.states import State
from master.records import (
    AddStop,
    MovePair,
    Outcome,
    SetDone,
)
from master.store.base import Filter, Store, UnknownJobError
from tests.lib.stored import NOON, jid, job, over, pair, published, returned, word
from tests.lib.stores import FOREVER, counts, expire_all, listed, stop


class TestRetention:  # S11
    def test_values_go_and_states_stay(self, store: Store) -> None:
        out = Outcome(retcode=2, stdout=b"out", stderr=b"err", ended=NOON, evidence=Evidence(exit_code=2))
        store.apply([*over(job(1)), *over(job(2), outcome=out, state=State.FAILED)], NOON)
        store.age(100, NOON)
        expire_all(store, 100, FOREVER)
        [first], [second] = store.pairs(jid(1)), store.pairs(jid(2))
        emptied = structs.replace(word(), value=None)
        assert first == structs.replace(returned(jid(1), "a"), expired=True, outcome=emptied)
        assert second.outcome == structs.replace(out, stdout=b"", stderr=b"")
        assert (second.expired, second.state) == (True, State.FAILED)
        assert counts(store, jid(2)) == {State.FAILED: 1}

    def test_one_that_had_nothing_is_not_called_expired(self, store: Store) -> None:
        never = Outcome(ended=NOON, evidence=Evidence(reason="not connected"))
        store.apply([published(job(1), ["a", "b"]), MovePair(returned(jid(1), "a", State.UNDELIVERED, never)),
                     MovePair(pair(jid(1), "b", State.KILLED)),
                     SetDone(jid(1), NOON, {State.UNDELIVERED: 1, State.KILLED: 1})], NOON)
        before = list(store.pairs(jid(1)))
        expire_all(store, 0, FOREVER)
        assert list(store.pairs(jid(1))) == before

    def test_jobs_go_with_all_that_is_theirs(self, store: Store) -> None:
        store.apply([*over(job(1, metadata={"k": "v"}, schedule="s"), ["a", "b"]), *over(job(2)),
                     AddStop(stop("mine", number=1)), AddStop(stop("other", number=3)), published(job(3))], NOON)
        expire_all(store, FOREVER, 0)
        with pytest.raises(UnknownJobError):
            store.job(jid(1))
        assert list(store.pairs(jid(1))) == []
        for wanted in (Filter(), Filter(minion=MinionId("a")), Filter(function="test.*")):
            assert listed(store, wanted) == [jid(3)]
        for wanted in (Filter(state=State.SUCCEEDED), Filter(metadata={"k": "v"}), Filter(schedule="s")):
            assert listed(store, wanted) == []
        assert [one.stop for one in store.snapshot().stops] == ["other"]

    def test_open_jobs_stay(self, store: Store) -> None:
        store.apply([published(job(1), ["a", "b"]), MovePair(returned(jid(1), "a"))], NOON)
        store.age(1e9, NOON)
        assert store.expire(0, 0, 100) == 0
        assert list(store.pairs(jid(1))) == [returned(jid(1), "a"), pair(jid(1), "b")]

    def test_age_is_running_time_since_done(self, store: Store) -> None:  # R-B31
        store.age(1000, NOON)
        # Whatever the wall clock says, ten years on: nothing has run meanwhile.
        store.apply(over(job(1)), NOON + 10 * 365 * 86400)
        store.age(59, NOON)
        assert store.expire(60, 60, 100) == 0
        store.age(0.5, NOON)
        store.apply(over(job(2)), NOON)
        store.age(0.5, NOON)
        expire_all(store, 60, 60)
        assert listed(store, Filter()) == [jid(2)]

    def test_an_idle_master_is_seen_too(self, store: Store) -> None:  # after a restart, LATELY counts from there
        store.apply([], NOON)
        store.age(60, NOON + 60)
        assert store.snapshot().latest == NOON + 60
        store.age(60, NOON + 30)
        assert store.snapshot().latest == NOON + 60

    def test_infinity_keeps_for_ever(self, store: Store) -> None:
        store.apply(over(job(1)), NOON)
        store.age(1e12, NOON)
        assert store.expire(FOREVER, FOREVER, 100) == 0
        assert list(store.pairs(jid(1))) == [returned(jid(1), "a")]

    def test_jobs_may_go_before_their_values(self, store: Store) -> None:
        store.apply([*over(job(1)), *over(job(2))], NOON)
        expire_all(store, FOREVER, 0)
        assert listed(store, Filter()) == []

    def test_values_then_jobs(self, store: Store) -> None:
        store.apply(over(job(1)), NOON)
        store.age(10, NOON)
        store.apply(over(job(2)), NOON)
        store.age(10, NOON)
        expire_all(store, 10, 20)
        assert listed(store, Filter()) == [jid(2)]
        assert [one.expired for one in store.pairs(jid(2))] == [True]

    def test_a_correction_begins_the_age_anew(self, store: Store) -> None:
        store.apply(over(job(1), ["a", "b"], State.LOST), NOON)
        store.age(100, NOON)
        expire_all(store, 50, FOREVER)
        late = returned(jid(1), "a")
        store.apply([MovePair(late), SetDone(jid(1), NOON, {State.LOST: 1, State.SUCCEEDED: 1})], NOON)
        store.age(49, NOON)
        expire_all(store, 50, 149)
        assert next(store.pairs(jid(1))) == late
        store.age(1, NOON)
        expire_all(store, 50, 149)
        assert [one.expired for one in store.pairs(jid(1))] == [True, True]

    def test_it_goes_by_small_steps_to_its_end(self, store: Store) -> None:
        names = [f"m{number:02d}" for number in range(25)]
        store.apply([*over(job(1), names), *over(job(2), names), *over(job(3), [])], NOON)
        assert 0 < store.expire(0, FOREVER, 10) <= 10
        dropped = [one.expired for number in (1, 2) for one in store.pairs(jid(number))]
        assert sum(dropped) <= 10
        assert expire_all(store, 0, FOREVER, 10) >= 4
        assert all(one.expired for number in (1, 2) for one in store.pairs(jid(number)))
        expire_all(store, 0, 0, 10)
        assert listed(store, Filter()) == []

    def test_a_job_is_gone_whole(self, store: Store) -> None:
        names = [f"m{number:02d}" for number in range(25)]
        store.apply(over(job(1), names), NOON)
        while store.expire(FOREVER, 0, 3):
            assert list(store.pairs(jid(1))) == []
            assert listed(store, Filter()) == []
            with pytest.raises(UnknownJobError):
                store.job(jid(1))

    def test_a_jid_that_comes_again_starts_clean(self, store: Store) -> None:
        store.apply(over(job(1), [f"m{number:02d}" for number in range(25)]), NOON)
        store.expire(FOREVER, 0, 3)
        again = job(1, metadata={"late": "yes"})
        store.apply(over(again, ["m07"]), NOON)
        assert [one.minion for one in store.pairs(jid(1))] == ["m07"]
        expire_all(store, FOREVER, FOREVER)
        assert [one.minion for one in store.pairs(jid(1))] == ["m07"]

    def test_a_late_return_after_all_is_gone_does_no_harm(self, store: Store) -> None:
        store.apply(over(job(1)), NOON)
        expire_all(store, 0, 0)
        store.apply([MovePair(returned(jid(1), "a")), SetDone(jid(1), NOON, {State.SUCCEEDED: 1})], NOON)
        expire_all(store, FOREVER, FOREVER)
        assert listed(store, Filter()) == []
        assert list(store.pairs(jid(1))) == []
