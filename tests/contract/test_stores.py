"""What every store promises of jobs, secrets and its own life, held against each store."""

from __future__ import annotations

import threading

import pytest
from msgspec import Raw, structs

from common.codec import pack
from common.ids import Jid, MinionId, mint
from common.messages import NO_SECRETS, JobFields
from common.states import OPEN, State
from master.records import (
    AddJob,
    AddStop,
    Job,
    MovePair,
    SetDone,
)
from master.shell import READERS
from master.store.base import Filter, Store, StoreError, UnknownJobError
from tests.lib.stored import NOON, jid, job, over, published, returned
from tests.lib.stores import counts, expire_all, listed, stop


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
