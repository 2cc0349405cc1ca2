"""What every store promises of pairs: their states, what a start reads of them, and the end of their job."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from common.ids import MinionId
from common.link import Key
from common.messages import Evidence, Process
from common.states import State
from master.records import (
    AddStop,
    AddToken,
    Change,
    DropMinion,
    DropStop,
    DropToken,
    Minion,
    MovePair,
    Outcome,
    Pair,
    PutMinion,
    SetDone,
)
from master.store.base import Filter, Store
from tests.lib.stored import NOON, jid, job, over, pair, published, returned
from tests.lib.stores import FOREVER, counts, expire_all, listed, minion, stop


class TestPairs:
    @pytest.mark.parametrize("state", list(State))
    def test_every_state(self, store: Store, state: State) -> None:
        store.apply([published(job(1), ["a"], state)], NOON)
        assert list(store.pairs(jid(1))) == [pair(jid(1), "a", state)]

    @pytest.mark.parametrize("outcome", [
        Outcome(),
        Outcome(ended=NOON, evidence=Evidence(reason="not connected")),
        Outcome(retcode=137, value=b"\xc0", stdout=b"\0out", stderr=b"err", truncated=True, started=NOON,
                ended=NOON + 1, duration=1.0, pid=7,
                evidence=Evidence(signal=9, by="joe@host", asked=NOON, asked_signal=15, signalled=3,
                                  survivors=[Process(pid=8, name="tail")], boot_id="x" * 36)),
        Outcome(value=b"", retcode=-1),
        # What a hostile minion may send, and what must come back without harm to anybody.
        Outcome(retcode=2**64 - 1, pid=2**64 - 1, started=math.inf, ended=-0.0, evidence=Evidence(exit_code=-2**63)),
    ])
    @pytest.mark.parametrize("seen", [(None, None), (7, NOON), (7, None), (None, 0.0), (2**64 - 1, -math.inf)])
    def test_comes_back_as_it_was(self, store: Store, outcome: Outcome,
                                  seen: tuple[int | None, float | None]) -> None:
        one = Pair(jid=jid(1), minion=MinionId("a"), state=State.FAILED, pid=seen[0], started=seen[1], outcome=outcome)
        store.apply([published(job(1)), MovePair(one)], NOON)
        assert list(store.pairs(jid(1))) == [one]
        assert list(store.pairs(jid(1), values=False)) == [structs.replace(one, outcome=None)]

    def test_no_number_harms_nobody(self, store: Store) -> None:
        odd = Outcome(started=math.nan, ended=math.nan, duration=math.nan)
        store.apply([published(job(1)), MovePair(returned(jid(1), "a", outcome=odd))], NOON)
        [one] = store.pairs(jid(1))
        assert one.outcome is not None
        assert one.outcome.ended is not None
        assert math.isnan(one.outcome.ended)

    def test_a_reason_without_end_can_be_read_again(self, store: Store) -> None:
        endless = Outcome(evidence=Evidence(reason="x" * 10_000))
        store.apply([published(job(1)), MovePair(returned(jid(1), "a", State.LOST, endless))], NOON)
        [one] = store.pairs(jid(1))
        assert one.outcome is not None
        assert (one.outcome.evidence.reason or "").startswith("x" * 4000)

    def test_a_large_return(self, store: Store) -> None:
        big = Outcome(value=b"\xc4" * 524_288, stdout=b"o" * 131_072, stderr=b"e" * 131_072)
        store.apply([published(job(1)), MovePair(returned(jid(1), "a", outcome=big))], NOON)
        assert [one.outcome for one in store.pairs(jid(1))] == [big]

    def test_a_move_replaces_all_of_the_row(self, store: Store) -> None:
        store.apply(over(job(1)), NOON)
        bare = structs.replace(pair(jid(1), "a", State.LOST), expired=True)
        store.apply([MovePair(bare)], NOON)
        assert list(store.pairs(jid(1))) == [bare]

    def test_a_move_of_a_pair_that_is_not_there_inserts_it(self, store: Store) -> None:
        store.apply([published(job(1), ["a"])], NOON)
        store.apply([MovePair(returned(jid(1), "b"))], NOON)
        assert [one.minion for one in store.pairs(jid(1))] == ["a", "b"]
        assert listed(store, Filter(minion=MinionId("b"))) == [jid(1)]

    def test_a_pair_without_a_job_is_not_kept(self, store: Store) -> None:
        store.apply([MovePair(returned(jid(1), "a")), SetDone(jid(1), NOON, {State.SUCCEEDED: 1})], NOON)
        assert list(store.pairs(jid(1))) == []
        assert list(store.pairs(jid(1), [MinionId("a")])) == []
        assert listed(store, Filter(state=State.SUCCEEDED)) == []
        assert listed(store, Filter(minion=MinionId("a"))) == []
        store.apply([published(job(1), ["b"])], NOON)
        assert [one.minion for one in store.pairs(jid(1))] == ["b"]
        expire_all(store, FOREVER, FOREVER)
        assert [one.minion for one in store.pairs(jid(1))] == ["b"]

    def test_words_before_the_job_in_one_batch_count_for_nothing(self, store: Store) -> None:
        store.apply([MovePair(returned(jid(1), "z")), SetDone(jid(1), NOON, {}), published(job(1), ["a"])], NOON)
        assert [one.minion for one in store.pairs(jid(1))] == ["a"]
        assert [one.jid for one in store.snapshot().jobs] == [jid(1)]

    def test_the_last_word_in_a_batch_holds(self, store: Store) -> None:
        steps: list[Change] = [MovePair(pair(jid(1), "a", state)) for state in (State.ACCEPTED, State.RUNNING)]
        store.apply([published(job(1), ["a", "b"]), *steps, MovePair(returned(jid(1), "a"))], NOON)
        assert list(store.pairs(jid(1))) == [returned(jid(1), "a"), pair(jid(1), "b")]

    def test_by_minion_id(self, store: Store) -> None:
        names = ["web-10", "a", "web-9", "web.1", "0", "web_1"]
        store.apply([published(job(1), names), published(job(2), ["zz"])], NOON)
        assert [one.minion for one in store.pairs(jid(1))] == sorted(names)

    def test_those_named(self, store: Store) -> None:
        store.apply([published(job(1), ["a", "b", "c"])], NOON)
        names = [MinionId(name) for name in ("c", "x", "a", "c")]
        assert [one.minion for one in store.pairs(jid(1), names)] == ["a", "c"]
        assert list(store.pairs(jid(1), [])) == []

    def test_more_than_a_page(self, store: Store) -> None:
        names = [f"m{number:04d}" for number in range(1203)]
        store.apply(over(job(1), names), NOON)
        assert [one.minion for one in store.pairs(jid(1))] == names
        assert [one.minion for one in store.pairs(jid(1), [MinionId(name) for name in names[:700]])] == names[:700]

    def test_a_slow_reader_holds_up_nobody(self, store: Store) -> None:
        store.apply(over(job(1), [f"m{number:04d}" for number in range(600)]), NOON)
        slow = [store.pairs(jid(1)) for _ in range(10)]
        assert [next(one).minion for one in slow] == ["m0000"] * 10
        store.apply([published(job(2))], NOON)
        assert store.job(jid(2)) == job(2)
        assert sum(1 for _ in slow[0]) == 599


class TestSnapshot:
    def test_open_jobs_and_all_their_pairs(self, store: Store) -> None:
        store.apply([published(job(2), ["b", "a"]), *over(job(1)), published(job(3, minion="c"), ["c"])], NOON)
        running = Pair(jid=jid(2), minion=MinionId("a"), state=State.RUNNING, pid=5, started=NOON)
        store.apply([MovePair(running), MovePair(returned(jid(2), "b"))], NOON)
        snapshot = store.snapshot()
        assert snapshot.jobs == [job(2), job(3, minion="c")]
        assert snapshot.pairs == [running, structs.replace(returned(jid(2), "b"), outcome=None),
                                  pair(jid(3, "c"), "c")]

    def test_stops(self, store: Store) -> None:
        store.apply([AddStop(stop("s2", "b")), AddStop(stop("s1", "b")), AddStop(stop("s1", "a"))], NOON)
        assert store.snapshot().stops == [stop("s1", "a"), stop("s1", "b"), stop("s2", "b")]
        store.apply([DropStop("s1", MinionId("a")), DropStop("s9", MinionId("a"))], NOON)
        assert store.snapshot().stops == [stop("s1", "b"), stop("s2", "b")]

    def test_minions(self, store: Store) -> None:
        plain = Minion(id=MinionId("b"), key=Key("k2"), state="pending", filed=NOON)
        store.apply([PutMinion(minion("a", "k1")), PutMinion(plain)], NOON)
        assert store.snapshot().minions == [minion("a", "k1"), plain]
        store.apply([PutMinion(minion("a", "k1", start=2)), DropMinion(Key("k2")), DropMinion(Key("k9"))], NOON)
        assert store.snapshot().minions == [minion("a", "k1", start=2)]

    def test_two_keys_of_one_id(self, store: Store) -> None:  # R-A14
        store.apply([PutMinion(minion("a", "k1")), PutMinion(minion("a", "k2"))], NOON)
        assert [one.key for one in store.snapshot().minions] == ["k1", "k2"]

    def test_a_hostile_start_number_harms_nobody(self, store: Store) -> None:
        store.apply([PutMinion(minion("a", "k1", start=2**64 - 1))], NOON)
        assert store.snapshot().minions[0].start >= 2**63 - 1

    def test_tokens(self, store: Store) -> None:
        tokens = [AddToken("d1", NOON + 60, None), AddToken("d2", NOON + 60, MinionId("a"))]
        store.apply(tokens, NOON)
        assert store.snapshot().tokens == tokens
        store.apply([DropToken("d1"), DropToken("d9"), AddToken("d2", NOON + 90, None)], NOON)
        assert store.snapshot().tokens == [AddToken("d2", NOON + 90, None)]

    def test_put_and_dropped_in_one_batch(self, store: Store) -> None:
        store.apply([AddStop(stop("s")), DropStop("s", MinionId("a")), AddToken("d", NOON, None), DropToken("d"),
                     PutMinion(minion("a", "k")), DropMinion(Key("k"))], NOON)
        store.apply([DropStop("t", MinionId("a")), AddStop(stop("t")), DropToken("e"), AddToken("e", NOON, None),
                     DropMinion(Key("l")), PutMinion(minion("a", "l"))], NOON)
        snapshot = store.snapshot()
        assert [one.stop for one in snapshot.stops] == ["t"]
        assert [one.digest for one in snapshot.tokens] == ["e"]
        assert [one.key for one in snapshot.minions] == ["l"]


class TestDone:
    def test_leaves_the_snapshot_and_keeps_its_counts(self, store: Store) -> None:
        store.apply(over(job(1), ["a", "b"]), NOON)
        assert store.snapshot().jobs == []
        assert store.job(jid(1)).done == NOON + 2
        assert counts(store, jid(1)) == {State.SUCCEEDED: 2}

    def test_counts_of_an_open_job_are_counted(self, store: Store) -> None:
        store.apply([published(job(1), ["a", "b", "c"]), MovePair(returned(jid(1), "b"))], NOON)
        assert counts(store, jid(1)) == {State.SENT: 2, State.SUCCEEDED: 1}

    def test_a_late_return_corrects_it(self, store: Store) -> None:
        store.apply(over(job(1), ["a", "b"], State.LOST), NOON)
        corrected = {State.LOST: 1, State.SUCCEEDED: 1, State.FAILED: 0}
        store.apply([MovePair(returned(jid(1), "a")), SetDone(jid(1), NOON + 2, corrected)], NOON + 99)
        assert counts(store, jid(1)) == {State.LOST: 1, State.SUCCEEDED: 1}
        assert listed(store, Filter(state=State.LOST)) == [jid(1)]
        assert listed(store, Filter(state=State.SUCCEEDED)) == [jid(1)]
        assert listed(store, Filter(state=State.FAILED)) == []
        store.apply([MovePair(returned(jid(1), "b")), SetDone(jid(1), NOON + 2, {State.SUCCEEDED: 2})], NOON + 99)
        assert listed(store, Filter(state=State.LOST)) == []
