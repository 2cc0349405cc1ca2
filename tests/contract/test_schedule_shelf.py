"""The shelf of a schedule: its files, changes at run time and the scheduler together."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from common import clock
from common.errors import JrError, UsageError
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import Change
from common.schedule.model import Entry
from common.schedule.times.periods import Period
from config import schedules, shelf
from config.shelf import Shelf, review, shelf_of
from tests.lib.schedule_files import EVERY, Files, entries
from tests.lib.wait import until


class Kept:
    """A journal and a scheduler that remember what they were told."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}
        self.applied: list[dict[str, Entry]] = []
        self.broken: Container[str] = ()
        self.full = False
        self.slow = asyncio.Event()
        """Told when the journal may answer: what it was told is durable before."""
        self.slow.set()
        self.stuck = 0

    async def keep(self, changes: Sequence[Change]) -> None:
        if self.full:
            raise JrError("cannot keep it: the disk is full")
        for change in changes:
            self.changes.pop(change.name, None)
            if not change.nothing:
                self.changes[change.name] = change
        await self.slow.wait()

    async def apply(self, entries: Mapping[str, Entry], periods: Mapping[str, Period], broken: Container[str]) -> None:
        if self.stuck:
            self.stuck -= 1
            raise JrError("cannot change the schedule: its journal cannot be written")
        self.applied.append(dict(entries))
        self.broken = broken


def with_shelf(files: Files, kept: Kept, story: Callable[[Shelf], Awaitable[None]]) -> None:
    """Play a story with a shelf that watches its files."""

    async def play() -> None:
        made = Shelf(files.again(), parse_entry, kept.changes.values())
        failures: list[str] = []
        watching = made.open(kept.keep, kept.apply, failures.append)
        try:
            await story(made)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        assert failures == []

    asyncio.run(play())


def add(made: Shelf, name: str, **fields: Any) -> Awaitable[list[Change]]:
    return made.change(lambda book: book.add(name, {"function": "test.ping", **fields}, "ann", 1.0))


def test_who_hangs_up_leaves_no_change_that_is_durable_and_does_not_hold(files: Files) -> None:  # P25 S24
    kept = Kept()
    kept.slow = asyncio.Event()

    async def story(made: Shelf) -> None:
        asked, waits = (asyncio.ensure_future(add(made, name, every="5s")) for name in ("new", "never"))
        await asyncio.sleep(0)  # both begin
        await asyncio.sleep(0)  # and the journal has the first one
        assert list(kept.changes) == ["new"]
        asked.cancel()
        waits.cancel()
        kept.slow.set()
        await add(made, "other", every="5s")
        assert set(made.entries) == set(kept.applied[-1]) == set(kept.changes) == {"new", "other"}

    with_shelf(files, kept, story)


def test_a_change_is_durable_before_it_holds(files: Files) -> None:  # P25 S24
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s")
        assert list(kept.applied[-1]) == list(kept.changes) == ["new"]
        kept.full = True
        with pytest.raises(JrError, match="the disk is full"):
            await made.change(lambda book: book.delete("new", "ann", 2.0))
        assert list(made.entries) == ["new"]

    with_shelf(files, kept, story)

    async def restarted(made: Shelf) -> None:
        assert list(made.entries) == ["new"]

    with_shelf(files, kept, restarted)


def test_save_moves_the_changes_into_a_file_that_only_this_user_reads(files: Files) -> None:  # S24
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\nold: {EVERY % '5s'}\n")
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s", kwargs={"text": "s3cret"}, secret=["text"])
        await made.change(lambda book: [*book.modify("tidy", {"enabled": False}, "ann", 1.0),
                                        *book.delete("old", "ann", 1.0)])
        before = made.entries
        path = await made.save()
        assert path == files.folder / "saved.yaml"
        assert (made.entries, kept.changes, kept.applied[-1]) == (before, {}, before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert yaml.safe_load(path.read_text()) == {
            "schedule": {"new": {"function": "test.ping", "every": "5s", "kwargs": {"text": "s3cret"},
                                 "secret": ["text"]}},
            "changed": {"tidy": {"enabled": False}}, "deleted": ["old"]}
        origin = files.shown(made.book.placed["tidy"].origin)
        assert origin == "D/a.yaml line 1; enabled changed by D/saved.yaml line 13"
        assert made.problems == []

    with_shelf(files, kept, story)

    async def restarted(made: Shelf) -> None:
        assert set(made.entries) == {"tidy", "new"}
        assert made.entries["new"].kwargs == {"text": "s3cret"}
        await made.change(lambda book: book.delete("new", "ann", 2.0))
        assert yaml.safe_load((await made.save()).read_text()) == {
            "changed": {"tidy": {"enabled": False}}, "deleted": ["old"]}

    with_shelf(files, kept, restarted)


def test_a_save_that_fails_changes_nothing(files: Files) -> None:
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s")
        files.folder.rmdir()
        files.folder.write_text("no folder")
        with pytest.raises(JrError, match=r"cannot save the schedule to .*saved.yaml: "):
            await made.save()
        assert list(kept.changes) == list(made.entries) == ["new"]

    with_shelf(files, kept, story)


@pytest.mark.parametrize("before", [None, f"schedule:\n  old: {EVERY % '5s'}\n"])
def test_a_save_that_the_journal_does_not_take_leaves_the_file_as_it_was(files: Files, before: str | None) -> None:
    """R-A20, S24: what is told is what holds, also after a restart."""
    if before is not None:
        files.write("saved.yaml", before)
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s")
        kept.full = True
        with pytest.raises(JrError, match="the disk is full"):
            await made.save()
        assert sorted(path.name for path in files.folder.iterdir()) == ([] if before is None else ["saved.yaml"])
        assert before in (None, *(path.read_text() for path in files.folder.iterdir()))
        kept.full = False
        assert list(made.entries) == ["new"] if before is None else {*made.entries} == {"new", "old"}
        assert list(kept.changes) == ["new"]
        path = await made.save()
        assert "new" in path.read_text()
        assert (kept.changes, [path.name for path in files.folder.iterdir()]) == ({}, ["saved.yaml"])

    with_shelf(files, kept, story)


def test_a_save_and_a_reload_that_the_scheduler_learns_later_are_no_failures(
        files: Files, monkeypatch: pytest.MonkeyPatch) -> None:  # R-A20, S24
    monkeypatch.setattr(shelf, "AGAIN", 0.01)
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s")
        kept.stuck = 1
        assert "new" in (await made.save()).read_text()
        assert kept.changes == {}
        files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
        kept.stuck = 2
        await made.reload()
        assert set(made.entries) == {"new", "beat"}
        await asyncio.to_thread(until, lambda: {*kept.applied[-1]} == {"new", "beat"})

    with_shelf(files, kept, story)


def test_a_reload_that_cannot_forget_the_changes_reads_nothing(files: Files) -> None:  # R-A20, S24
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    kept = Kept()

    async def story(made: Shelf) -> None:
        await made.change(lambda book: book.modify("tidy", {"timeout": "9s"}, "ann", 1.0))
        files.write("a.yaml", f"tidy: {EVERY % '7s'}\n")
        kept.full = True
        with pytest.raises(JrError, match="the disk is full"):
            await made.reload(forget=True)
        await asyncio.sleep(0.05)  # long enough for the watch, which nobody must have woken
        assert (made.entries["tidy"].every, made.entries["tidy"].timeout) == (5.0, 9.0)

    with_shelf(files, kept, story)


@pytest.mark.parametrize(("text", "line"), [
    ("deleted: old", "cannot use D/saved.yaml line 1: deleted must be a list of names"),
    ("changed: {tidy: 5}", "cannot use D/saved.yaml line 1: schedule 'tidy': it must be a mapping"),
    ("change: {}", 'cannot use D/saved.yaml line 1: there is no section "change" beside'),
    ("changed: {gone: {every: 5s}}", "no file has that entry any more"),
])
def test_a_file_of_saved_changes_may_be_edited_wrongly(files: Files, text: str, line: str) -> None:
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    files.write("saved.yaml", text)
    reading = files.reader.read()
    assert list(entries(reading)) == ["tidy"]
    assert [line in problem for problem in files.problems(reading)] == [True]


def test_reload_reads_at_once_and_may_forget_the_changes(files: Files) -> None:
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    kept = Kept()

    async def story(made: Shelf) -> None:
        await made.change(lambda book: book.modify("tidy", {"timeout": "9s"}, "ann", 1.0))
        files.write("a.yaml", f"tidy: {EVERY % '7s'}\n")
        await made.reload()
        assert (made.entries["tidy"].every, made.entries["tidy"].timeout) == (7.0, 9.0)
        await made.reload(forget=True)
        assert (made.entries["tidy"].timeout, kept.changes) == (None, {})

    with_shelf(files, kept, story)


def test_the_watch_tells_the_scheduler_and_the_log(
        files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(schedules, "SETTLE", 0.01)
    files.source = files.source._replace(look_every=0.01)
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\nbad: {EVERY % 'soon'}\n")
    kept = Kept()

    async def story(made: Shelf) -> None:
        assert [line for line in caplog.messages if "'bad'" in line] == made.problems
        files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
        await asyncio.to_thread(until, lambda: kept.applied and "beat" in kept.applied[-1])
        assert len([line for line in caplog.messages if "'bad'" in line]) == 1, "told once"
        assert ("bad" in kept.broken, "beat" in kept.broken) == (True, False), "it is not deleted"

    with_shelf(files, kept, story)


def test_without_looks_the_files_are_read_when_somebody_asks(files: Files) -> None:  # F29: how often is settable
    kept = Kept()

    async def story(made: Shelf) -> None:
        assert files.again().wait is None
        files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
        made.reload_soon()
        await asyncio.to_thread(until, lambda: kept.applied and "beat" in kept.applied[-1])

    with_shelf(files, kept, story)


def test_a_scheduler_that_could_not_be_told_is_told_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is never refused: it holds all the same."""
    monkeypatch.setattr(shelf, "AGAIN", 0.01)
    kept = Kept()

    async def story(made: Shelf) -> None:
        kept.stuck = 1
        assert [change.name for change in await add(made, "new", every="5s")] == ["new"]
        assert list(kept.changes) == ["new"]
        await asyncio.to_thread(until, lambda: kept.applied and "new" in kept.applied[-1])
        kept.stuck = 2
        files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
        made.reload_soon()
        await asyncio.to_thread(until, lambda: "beat" in kept.applied[-1])

    with_shelf(files, kept, story)


def test_a_name_that_follows_nothing_and_a_file_that_is_not_read_are_told(files: Files) -> None:
    files.write("a.yaml", f"beat: {EVERY % '5s'}\nfirst:\n  function: test.ping\n  then: [bet, slip]\n"
                          f"slip: {EVERY % 'x'}\n")
    files.write("b.yml", "x: 1")
    kept = Kept()

    async def story(made: Shelf) -> None:
        assert [files.shown(line) for line in made.warnings] == [
            "D/b.yml is not read: the name must end in .yaml",
            "D/a.yaml line 2: schedule 'first': then names 'bet', which is not there; did you mean \"beat\"?"]
        assert set(made.entries) == {"beat", "first"}
        [problem] = made.problems  # what cannot be used is there
        assert "schedule 'slip'" in problem

    with_shelf(files, kept, story)


@pytest.mark.parametrize("text", ["tidy: [\n", "tidy: every 5s\n"])
def test_what_cannot_be_read_at_a_start_is_not_deleted(files: Files, text: str) -> None:
    """What it may name keeps all it had; but for what somebody deleted."""
    path = files.write("a.yaml", text)
    files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
    gone = Change(name="beat", fields=None)
    found = shelf_of(files.source, [gone])
    assert ("tidy" in found.broken, "beat" in found.broken) == (True, False)
    path.write_text("")
    assert "tidy" not in shelf_of(files.source, [gone]).broken


def test_a_ring_of_entries_that_follow_each_other_is_named_in_each_of_their_lines(files: Files) -> None:
    files.write("a.yaml", "a: {function: test.ping, every: 5s, then: b}\nb: {function: test.ping, on_failure: a}\n")
    found = shelf_of(files.source)
    assert dict(found.entries) == {}
    assert [files.shown(problem) for problem in review(files.source).problems] == [
        "cannot use D/a.yaml line 1: schedule 'a': then leads back to itself: a, b, a",
        "cannot use D/a.yaml line 2: schedule 'b': on_failure leads back to itself: b, a, b"]


def test_a_save_loses_nothing_that_somebody_wrote_into_its_file(files: Files) -> None:
    kept = Kept()

    async def story(made: Shelf) -> None:
        await add(made, "new", every="5s")
        files.write("saved.yaml", f"schedule:\n  mine: {EVERY % '5s'}\n")  # and nobody has looked yet
        await made.save()
        assert set(made.entries) == {"new", "mine"}
        files.write("other.yaml", f"other: {EVERY % '5s'}\n")
        for text in ("schedule: [\n", "changed: {mine: 5}\n"):
            path = files.write("saved.yaml", text)
            with pytest.raises(UsageError, match=r"what is wrong in .*saved.yaml would be lost"):
                await made.save()
            assert path.read_text() == text
        await asyncio.to_thread(until, lambda: "other" in kept.applied[-1], 60.0, "what a failed save has read counts")

    with_shelf(files, kept, story)


def test_an_entry_that_has_been_over_for_long_is_named(files: Files) -> None:  # F03, F12
    files.write("minion.yaml", "schedule:\n"
                               "  old: {function: test.ping, calendar: {year: 2020, month: 2}}\n"
                               "  over: {function: test.ping, every: 5m, end: 2020-01-01T00:00:00}\n"
                               "  once: {function: test.ping, once: 2020-01-01 00:00:00}\n")
    found = shelf_of(files.source)
    assert list(found.entries) == ["once"]
    assert [files.shown(problem) for problem in found.problems] == [
        "cannot use S line 2: schedule 'old': calendar {year: 2020, month: 2} never comes again; the last time was "
        "2020-02-01 00:00:00",
        "cannot use S line 3: schedule 'over': end is 2020-01-01T00:00:00: it is past, so that it would never run "
        "again"]


def test_one_that_ended_a_moment_ago_is_good_since_its_last_runs_may_lack_a_verdict(files: Files) -> None:  # F12
    yesterday = datetime.fromtimestamp(clock.wall() - 86_400, UTC).isoformat(timespec="seconds")
    files.write("minion.yaml", f"schedule:\n  over: {{function: test.ping, every: 5m, end: '{yesterday}'}}\n")
    found = shelf_of(files.source)
    assert list(found.entries) == ["over"]
    assert found.problems == []
