"""What every store promises, held against each of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Raw, structs

from common.codec import pack
from common.ids import Jid, MinionId, mint
from common.link import Key
from common.messages import NO_SECRETS, Evidence, JobFields, Process
from common.states import OPEN, State
from master.records import (
    AddJob,
    AddStop,
    AddToken,
    Change,
    DropMinion,
    DropStop,
    DropToken,
    Job,
    Minion,
    MovePair,
    Outcome,
    Pair,
    PutMinion,
    SetDone,
    Stop,
)
from master.shell import READERS
from master.store.base import Filter, Store, StoreError, UnknownJobError
from master.store.memory import MemoryStore
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, job, over, pair, published, returned, word

FOREVER = math.inf


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "jr.db")
    yield made
    made.close()


def listed(store: Store, wanted: Filter, limit: int = 1000) -> list[Jid]:
    """The jids of all pages of a list, newest first."""
    found: list[Jid] = []
    before: Jid | None = None
    while True:
        page = store.page(wanted, limit, before)
        found += [one.job.jid for one in page.jobs]
        if page.next is None:
            return found
        before = page.next


def counts(store: Store, name: Jid) -> dict[State, int]:
    """What a list says of one job's states."""
    return next(one.counts for one in store.page(Filter(), 1000).jobs if one.job.jid == name)


def expire_all(store: Store, values_before: float, pairs_before: float, batch: int = 100) -> int:
    """Steps of retention until nothing is left to do; how many there were."""
    for steps in range(10_000):
        if not store.expire(values_before, pairs_before, batch):
            return steps
    raise AssertionError("retention never comes to its end")


def stop(name: str, minion: str = "a", number: int = 1) -> Stop:
    return Stop(stop=name, jid=jid(number), minion=MinionId(minion), how="term", signal=15, grace=10.0, by="root@host",
                at=NOON)


def minion(name: str, key: str, start: int = 1) -> Minion:
    return Minion(id=MinionId(name), key=Key(key), state="accepted", filed=NOON, version="0.1.0", last_seen=NOON + 5,
                  start=start, connection=2, facts=Raw(pack({"os": "Linux"})), boot_id="3f", highest=7, strange=True,
                  reason="two hosts")


class TestEmpty:
    def test_snapshot_of_a_new_store(self, store: Store) -> None:
        snapshot = store.snapshot()
        assert (snapshot.last_jid, snapshot.latest) == (None, 0.0)
        assert (snapshot.jobs, snapshot.pairs, snapshot.stops) == ([], [], [])
        assert (snapshot.minions, snapshot.tokens) == ([], [])

    def test_lists_and_lookups(self, store: Store) -> None:
        assert store.page(Filter(), 50).jobs == []
        assert list(store.pairs(jid(1))) == []
        assert store.expire(0, 0, 100) == 0
        with pytest.raises(UnknownJobError, match=f"cannot find job {jid(1)}"):  # S09
            store.job(jid(1))


class TestJobs:
    def test_comes_back_as_it_was(self, store: Store) -> None:
        fields = JobFields(function="cmd.run", args=Raw(pack(["echo ä", 1])), kwargs=Raw(pack({"cwd": "/"})),
                           user="joe", schedule="nightly", timeout=2.5, grace=0.0, typed=True,
                           left_behind="kill")
        full = Job(jid=jid(1), fields=fields, target="web*,db", target_type="list", published=NOON + 0.1, queue=True,
                   start_by=NOON + 7200.7, metadata={"ticket": "42", "": "ü\0"})
        plain = job(2)
        store.apply([published(full), published(plain)], NOON)
        assert store.job(full.jid) == full
        assert store.job(plain.jid) == plain
        assert store.snapshot().jobs == [full, plain]

    @pytest.mark.parametrize("digits", ["0" * 20, "9" * 20, "20260102030405123456"])
    @pytest.mark.parametrize("suffix", ["", "-0123456789abcdef", "-0000000000000000", "-ffffffffffffffff"])
    def test_any_jid(self, store: Store, digits: str, suffix: str) -> None:
        one = structs.replace(job(1), jid=Jid(digits + suffix))
        store.apply([published(one)], NOON)
        assert store.job(one.jid) == one
        assert [found.jid for found in store.pairs(one.jid)] == [one.jid]

    def test_a_jid_that_is_stored_is_refused_with_its_whole_batch(self, store: Store) -> None:
        store.apply([published(job(1), ["a"])], NOON)
        with pytest.raises(StoreError, match=f"cannot save: job {jid(1)} is stored already"):
            store.apply([published(job(2)), AddStop(stop("s")), published(job(1), ["b"])], NOON + 50)
        snapshot = store.snapshot()
        assert [one.jid for one in snapshot.jobs] == [jid(1)]
        assert [one.minion for one in snapshot.pairs] == ["a"]
        assert (snapshot.last_jid, snapshot.stops, snapshot.latest) == (jid(1), [], NOON)

    def test_twice_in_one_batch_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.apply([published(job(1)), published(job(1))], NOON)
        assert store.snapshot().jobs == []

    def test_a_store_goes_on_after_a_refusal(self, store: Store) -> None:
        store.apply([published(job(1))], NOON)
        with pytest.raises(StoreError):
            store.apply([published(job(1))], NOON)
        store.apply([published(job(2))], NOON)
        assert [one.jid for one in store.snapshot().jobs] == [jid(1), jid(2)]

    def test_a_job_that_comes_done(self, store: Store) -> None:
        one = job(1, minion="a", done=NOON + 9)
        store.apply([AddJob(one, [returned(one.jid, "a", State.FAILED)], False)], NOON)
        assert store.job(one.jid).done == NOON + 9
        assert counts(store, one.jid) == {State.FAILED: 1}
        assert store.snapshot().jobs == []

    def test_a_job_without_pairs(self, store: Store) -> None:
        store.apply([published(job(1), [])], NOON)
        assert list(store.pairs(jid(1))) == []
        assert counts(store, jid(1)) == {}


class TestMinted:
    def test_the_last_jid_is_kept(self, store: Store) -> None:
        store.apply([published(job(1)), published(job(2))], NOON)
        assert store.snapshot().last_jid == jid(2)

    def test_a_minions_jid_does_not_count(self, store: Store) -> None:
        store.apply([published(job(1)), published(job(5, minion="a"), minted=False)], NOON)
        assert store.snapshot().last_jid == jid(1)

    def test_it_never_goes_back(self, store: Store) -> None:
        store.apply([published(job(9))], NOON)
        store.apply([published(job(2))], NOON)
        assert store.snapshot().last_jid == jid(9)

    def test_it_outlives_its_job(self, store: Store) -> None:
        store.apply(over(job(1)), NOON)
        expire_all(store, 0, 0)
        assert store.snapshot().last_jid == jid(1)


class TestLatest:
    def test_the_floor_of_the_clock(self, store: Store) -> None:
        store.apply([], NOON + 10)
        store.apply([], NOON + 5)
        assert store.snapshot().latest == NOON + 10


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


class TestSecrets:  # R-A23
    SECRET = Raw(pack({"password": "canary-7Hq3"}))

    def test_only_a_snapshot_has_them_and_only_while_the_job_is_open(self, store: Store) -> None:
        one, other = structs.replace(job(1), secrets=self.SECRET), job(2)
        store.apply([published(one), published(other)], NOON)
        assert store.snapshot().jobs == [one, other]
        assert store.job(one.jid) == job(1)
        assert [found.job for found in store.page(Filter(), 10).jobs] == [other, job(1)]
        store.apply([MovePair(returned(one.jid, "a")), SetDone(one.jid, NOON + 2, {State.SUCCEEDED: 1})], NOON)
        assert store.snapshot().jobs == [other]
        assert store.wipe()

    def test_of_a_job_that_is_done_in_the_batch_it_came_in(self, store: Store) -> None:
        one = structs.replace(job(1), secrets=self.SECRET)
        store.apply([published(one), SetDone(one.jid, NOON + 2, {State.SUCCEEDED: 1})], NOON)
        assert store.job(one.jid).secrets == NO_SECRETS
        assert store.snapshot().jobs == []

    def test_a_closed_store_wipes_nothing(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreError, match="the store is closed"):
            store.wipe()


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


class TestThreads:
    def test_reads_beside_writes_see_whole_batches(self, store: Store) -> None:
        """P1, P4: a job is never seen without its whole list of pairs, nor done with an open one."""
        names = [f"m{number}" for number in range(20)]
        wrong: list[str] = []
        ended = threading.Event()

        def read() -> None:
            while not ended.is_set():
                for one in store.page(Filter(), 3).jobs:
                    if sum(one.counts.values()) != len(names):
                        wrong.append(f"{one.job.jid}: {one.counts}")
                    if one.job.done is not None and OPEN & one.counts.keys():
                        wrong.append(f"{one.job.jid}: done with open pairs")
                snapshot = store.snapshot()
                if len(snapshot.pairs) != len(names) * len(snapshot.jobs):
                    wrong.append("a snapshot with a part of a job")

        # As many as read at once in a master. More would compete for the readers, and nobody says in which order.
        readers = [threading.Thread(target=read) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        try:
            for number in range(60):
                store.apply([published(job(number), names)], NOON)
                store.apply(over(job(number), names)[1:], NOON)
        finally:
            ended.set()
            for reader in readers:
                reader.join()
        assert wrong == []
        assert len(listed(store, Filter())) == 60


class TestClose:
    def test_safe_to_repeat_and_final(self, store: Store) -> None:
        store.apply([published(job(1))], NOON)
        store.close()
        store.close()
        for verb in (store.snapshot, lambda: store.apply([], NOON), lambda: store.job(jid(1)),
                     lambda: store.age(1, NOON), lambda: store.page(Filter(), 1),
                     lambda: list(store.pairs(jid(1))), lambda: store.expire(1, 1, 1)):
            with pytest.raises(StoreError, match="the store is closed"):
                verb()


def test_jids_sort_as_text_everywhere(store: Store) -> None:
    """Two minions may mint at the same microsecond; the order of a list is still one and the same."""
    names = [mint(NOON, None), *(mint(NOON, None, MinionId(f"m{number}")) for number in range(50))]
    store.apply([published(structs.replace(job(1), jid=name), minted=False) for name in names], NOON)
    assert listed(store, Filter(), 7) == sorted(names, reverse=True)
