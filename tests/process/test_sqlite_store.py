"""What only a store on a disk must do: survive its process, a full and a failing disk, and stay small and quick."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.ids import MinionId
from common.states import State
from master.records import Change, MovePair, Outcome, SetDone
from master.store import listing, reads
from master.store.base import Filter, StoreError
from master.store.expiry import STEP_BYTES
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, jid, job, over, pair, published, returned
from tests.lib.wait import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jr.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


WRITER = """
import sys
from pathlib import Path
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, job, over, published

store = SqliteStore(Path(sys.argv[1]))
names = [f"m{number:03d}" for number in range(100)]
for number in range(int(sys.argv[2]), 100_000):
    store.apply([published(job(number), names)], NOON)
    print("published", number, flush=True)
    store.apply(over(job(number), names)[1:], NOON)
    print("done", number, flush=True)
    if number % 5 == 0:
        store.age(1, NOON)
        store.expire(3, 6, 250)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE)


class TestKilled:  # R-A3
    def test_what_was_told_is_there_and_nothing_is_there_by_half(self, path: Path) -> None:
        """P1, P3: a writer is killed at random, over and over; each time the file opens and all of it is true."""
        chance = random.Random(20)
        told: dict[str, int] = {"published": -1, "done": -1}
        for _ in range(8):
            writer = start(WRITER, str(path), str(told["published"] + 2))
            assert writer.stdout is not None
            for _ in range(chance.randrange(4, 60)):
                event, number = writer.stdout.readline().split()
                told[event] = int(number)
            writer.send_signal(signal.SIGKILL)
            rest = writer.communicate()[0]
            for line in rest.splitlines():
                told[line.split()[0]] = int(line.split()[1])
            self.check(path, told)

    def check(self, path: Path, told: dict[str, int]) -> None:
        store = SqliteStore(path)
        newest = store.job(jid(told["published"]))
        if told["done"] == told["published"]:
            assert newest.done is not None
        last = store.snapshot().last_jid
        assert last is not None
        assert last >= newest.jid
        for listed in store.page(Filter(), 40).jobs:
            assert sum(listed.counts.values()) == 100
            pairs = list(store.pairs(listed.job.jid, values=False))
            assert len(pairs) == 100
            assert {one.state for one in pairs} == {State.SENT if listed.job.done is None else State.SUCCEEDED}
        with contextlib.closing(sqlite3.connect(path)) as plain:
            assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()

    def test_killed_while_the_file_is_made(self, path: Path) -> None:
        def begun() -> bool:
            return any(path.parent.iterdir())

        for seen in (begun, begun, begun, path.exists, path.exists):
            maker = start(WRITER, str(path), "0")
            until(seen, what="the first file")
            maker.kill()
            maker.communicate()
            store = SqliteStore(path)
            assert store.snapshot().tokens == []
            store.close()
            for left in path.parent.iterdir():
                left.unlink()


FULL = """
import sys
from pathlib import Path
from master.store.base import BrokenStoreError, Filter, StoreError
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, job, over

store = SqliteStore(Path(sys.argv[1]))
stored = 0
try:
    for number in range(100_000):
        store.apply(over(job(number), [f"m{n}" for n in range(50)]), NOON)
        stored += 1
except BrokenStoreError:
    raise
except StoreError as error:
    print(error)
assert stored > 5, stored
fill = open(Path(sys.argv[1]).parent / "fill", "wb", buffering=0)
try:
    while True:
        fill.write(b"x" * 512)
except OSError:
    pass
for _ in range(3):
    try:
        store.apply(over(job(200_000), ["a"]), NOON)
        print("it went into what was free")
        break
    except BrokenStoreError:
        raise
    except StoreError:
        pass
assert len(store.page(Filter(), 100_000).jobs) >= stored
store.age(100, NOON)
while store.expire(1, 1, 200):
    pass
assert store.page(Filter(), 10).jobs == []
store.apply(over(job(300_000), ["a"]), NOON)
assert len(store.page(Filter(), 10).jobs) == 1
store.close()
print("recovered")
"""


@pytest.mark.skipif(subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False,
                                   capture_output=True).returncode != 0 if shutil.which("unshare") else True,
                    reason="needs a user namespace to mount a small disk in")
def test_a_full_disk_refuses_clearly_and_a_purge_frees_it(tmp_path: Path) -> None:  # R-A20
    inside = f'mount -t tmpfs -o size=2m none "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}/jr.db"'
    ran = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, FULL], cwd=ROOT,
                         capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cannot save: " in ran.stdout
    assert "the disk is full" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "recovered"


FAILING = """
import resource, signal, sys
from pathlib import Path
from master.store.base import BrokenStoreError, Filter
from master.store.sqlite import SqliteStore
from tests.lib.stored import NOON, job, over, published

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(Path(sys.argv[1]))
store.apply([published(job(1))], NOON)
# No file may grow from here on: every further write fails as on a broken disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for number in (2, 3):
    try:
        store.apply([published(job(number), [f"m{n}" for n in range(2000)])], NOON)
    except BrokenStoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert [one.job.jid for one in store.page(Filter(), 10).jobs] == [job(1).jid]
"""


def test_a_failing_disk_ends_all_saving(path: Path) -> None:  # R-B33
    """After one failed write nothing is acknowledged any more, not even when the disk seems well again."""
    ran = subprocess.run([sys.executable, "-c", FAILING, str(path)], cwd=ROOT, capture_output=True, text=True,
                         check=False)
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.startswith("cannot save: ")
    assert "the disk failed" in first
    assert "an earlier attempt failed for good" in second
    store = SqliteStore(path)
    assert [one.jid for one in store.snapshot().jobs] == [jid(1)]
    store.close()


class TestLocked:
    def test_a_lock_held_too_long_is_an_error_that_passes(self, path: Path) -> None:
        store = SqliteStore(path, patience=0.05)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another process has locked it"):
                store.apply([published(job(1))], NOON)
            assert store.page(Filter(), 10).jobs == []
        store.apply([published(job(1))], NOON)
        store.close()

    def test_readers_are_bounded(self, path: Path) -> None:
        store = SqliteStore(path, readers=2, patience=0.05)
        with store._readers.moment(), store._readers.moment():
            with pytest.raises(StoreError, match="every reader has been busy"):
                store.snapshot()
        assert store.snapshot().jobs == []
        store.close()

    def test_a_reader_out_while_it_is_closed_is_closed_as_it_comes_back(self, path: Path) -> None:
        store = SqliteStore(path)
        with store._readers.moment() as connection:
            store.close()
        with pytest.raises(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")

    def test_many_threads_share_few_readers(self, path: Path) -> None:
        store = SqliteStore(path, readers=2, patience=30)
        store.apply(over(job(1), [f"m{number}" for number in range(50)]), NOON)
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.append(sum(1 for _ in store.pairs(jid(1))))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [50] * 20
        store.close()


class TestSize:  # DESIGN 12
    def test_disk_for_each_one_word_return(self, store: SqliteStore, path: Path) -> None:
        """400 bytes at most, also when every job has but one minion."""
        names = [f"web-{number:04d}.example.net" for number in range(1000)]
        for start_at in range(0, 5000, 500):
            store.apply([change for number in range(start_at, start_at + 500)
                         for change in over(job(number), [names[number * 7 % 1000]])], NOON)
        store.close()
        assert path.stat().st_size / 5000 <= 400

    def test_disk_is_given_back(self, store: SqliteStore, path: Path) -> None:  # S11
        big = Outcome(value=b"v" * 20_000, stdout=b"o" * 20_000)
        for number in range(10):
            store.apply(over(job(number), [f"m{n}" for n in range(30)], outcome=big), NOON)
        full = store.size()
        assert full > 10_000_000
        while store.expire(0, float("inf"), 100):
            pass
        assert len(store.page(Filter(), 100).jobs) == 10
        store.close()
        assert path.stat().st_size < full / 5

    def test_size_is_what_lies_on_the_disk(self, store: SqliteStore, path: Path) -> None:
        store.apply([published(job(1))], NOON)
        there = sum(file.stat().st_size for file in path.parent.iterdir() if file.name.startswith("jr.db")
                    and not file.name.endswith("ballast"))
        assert store.size() == there


class TestSteps:  # S11
    def test_a_step_ends_after_so_many_bytes(self, store: SqliteStore) -> None:
        """Or 500 returns of half a megabyte would hold the writer for seconds."""
        big = Outcome(value=b"v" * (STEP_BYTES // 8))
        store.apply(over(job(1), [f"m{n:02d}" for n in range(40)], outcome=big), NOON)
        assert store.expire(0, float("inf"), 500) == 8
        assert store.expire(float("inf"), 0, 500) < 40

    def test_one_larger_than_a_step_still_goes(self, store: SqliteStore) -> None:
        big = Outcome(value=b"v" * (STEP_BYTES + 1))
        store.apply(over(job(1), ["a", "b"], outcome=big), NOON)
        steps = 0
        while store.expire(0, float("inf"), 500):
            steps += 1
            assert steps < 100
        assert [one.expired for one in store.pairs(jid(1))] == [True, True]

    def test_publishing_goes_on_beside_retention(self, store: SqliteStore) -> None:
        for number in range(40):
            store.apply(over(job(number), [f"m{n:03d}" for n in range(250)]), NOON)
        at_work = threading.Event()

        def expire() -> None:
            while store.expire(0, 0, 100):
                at_work.set()

        purger = threading.Thread(target=expire)
        purger.start()
        at_work.wait(60)
        meanwhile = 0
        while purger.is_alive():
            store.apply([published(job(1000 + meanwhile), ["a"])], NOON)
            meanwhile += 1
        purger.join()
        assert meanwhile > 0
        assert [one.job.jid for one in store.page(Filter(), 10_000).jobs] == [
            jid(1000 + number) for number in reversed(range(meanwhile))]


class TestPaging:
    def test_a_hundred_thousand_returns(self, store: SqliteStore) -> None:
        names = [f"m{number:06d}" for number in range(100_000)]
        one = job(1)
        store.apply([published(one, names)], NOON)
        for begin in range(0, len(names), 10_000):
            store.apply([MovePair(returned(one.jid, name)) for name in names[begin:begin + 10_000]], NOON)
        store.apply([SetDone(one.jid, NOON, {State.SUCCEEDED: len(names)})], NOON)
        seen = 0
        for found, name in zip(store.pairs(one.jid), names, strict=True):
            assert found.minion == name
            seen += 1
        assert seen == 100_000
        assert len(list(store.pairs(one.jid, [MinionId("m099999"), MinionId("m000000")]))) == 2

    def test_a_page_of_large_returns_is_short(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Few megabytes are held at once, however much a job returned."""
        big = Outcome(value=b"v" * (reads.PAGE_BYTES // 4))
        store.apply(over(job(1), [f"m{n:02d}" for n in range(20)], outcome=big), NOON)
        sizes: list[int] = []
        page = reads._page

        def watched(found: Iterator[tuple[object, ...]]) -> tuple[list[object], bool]:
            pairs, more = page(found)
            sizes.append(len(pairs))
            return list(pairs), more

        monkeypatch.setattr(reads, "_page", watched)
        assert sum(1 for _ in store.pairs(jid(1))) == 20
        assert sizes == [4, 4, 4, 4, 4, 0]

    def test_a_list_that_seldom_matches_comes_in_bites(self, store: SqliteStore,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "BITE", 100)
        changes: list[Change] = []
        for number in range(450):
            changes += over(job(number, target="rare" if number == 7 else "*"), ["a"])
        store.apply(changes, NOON)
        pages = 0
        found = []
        before = None
        while True:
            page = store.page(Filter(target="rare"), 50, before)
            pages += 1
            found += [one.job.jid for one in page.jobs]
            if page.next is None:
                break
            assert before is None or page.next < before
            before = page.next
        assert found == [jid(7)]
        assert pages == 5

    def test_the_sparser_index_leads(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A common function and a rare user: found without looking at each job of the function."""
        monkeypatch.setattr(listing, "BITE", 20)
        monkeypatch.setattr(listing, "_TASTE", 10)
        changes: list[Change] = []
        for number in range(300):
            changes += over(job(number, user="joe" if number == 3 else "root"), ["b" if number == 5 else "a"])
        store.apply(changes, NOON)
        assert store.page(Filter(function="test.*", user="joe", minion=MinionId("a")), 50).next is None
        page = store.page(Filter(function="test.ping", minion=MinionId("b")), 5)
        assert [one.job.jid for one in page.jobs] == [jid(5)]

    def test_a_glob_over_too_many_functions_falls_back_to_all_jobs(self, store: SqliteStore,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "_FUNCTIONS", 3)
        store.apply([published(job(number, function=f"mod.f{number}")) for number in range(10)], NOON)
        wanted = store.page(Filter(function="mod.f[2-4]"), 50)
        assert [one.job.jid for one in wanted.jobs] == [jid(4), jid(3), jid(2)]


def test_an_error_of_the_caller_changes_nothing(store: SqliteStore) -> None:
    """Text that cannot be written: the batch is refused whole, and the store goes on."""
    bad = job(2, user="\udcff")
    with pytest.raises(StoreError, match="cannot save: "):
        store.apply([published(job(1)), published(bad)], NOON)
    assert store.snapshot().jobs == []
    store.apply([published(job(1))], NOON)
    assert store.snapshot().pairs == [pair(jid(1), "a")]


def test_it_leaves_no_descriptor_behind(path: Path) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = count()
    for _ in range(5):
        store = SqliteStore(path)
        store.snapshot()
        store.close()
    assert count() == before
