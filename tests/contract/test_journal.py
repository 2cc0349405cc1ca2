"""The minion's journal: what a schedule must not forget, over restarts, crashes, damage and full disks. F28, B05."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from common.ids import Jid, MinionId, mint
from common.schedule.entries.layers import Change
from common.schedule.model import Hold, Occurrence, Standing, Step, Verdict
from minion import journal as journals
from minion.journal import FILE, Journal, JournalError, Kept, Unended
from tests.lib.disks import fill, needs_disks, small_disk

NOON = 1_700_000_000.0
MINION = MinionId("m1")
DAY = 86_400.0


def jid(number: int) -> Jid:
    return mint(NOON + number, None, MINION)


def run(number: int, verdict: Verdict = "ran", name: str = "tick") -> Occurrence:
    """The run that is planned so many seconds after noon."""
    begun = jid(number) if verdict in ("ran", "late", "caught_up") else None
    return Occurrence(schedule=name, planned=NOON + number, verdict=verdict, at=NOON + number, jid=begun)


def opened(state: Path) -> tuple[Journal, Kept]:
    journal = Journal(state)
    return journal, journal.load()


def damage(state: Path, how: str) -> None:
    path = state / FILE
    match how:
        case "no database":
            path.write_bytes(b"this is text" * 1000)
        case "holes":
            data = bytearray(path.read_bytes())
            data[4096:] = bytes(len(data) - 4096)
            path.write_bytes(data)
        case "cut":
            path.write_bytes(path.read_bytes()[:5000])
        case "a newer version":
            with sqlite3.connect(path) as connection:
                connection.execute("PRAGMA user_version = 99")
        case "other tables":
            with sqlite3.connect(path) as connection:
                connection.executescript("DROP TABLE standing")
        case "a body of others":
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE standing SET body = x'ff'")


DAMAGE = ["no database", "holes", "cut", "a newer version", "other tables", "a body of others"]


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    journal, kept = opened(tmp_path)
    assert kept == Kept({}, None, [], [], None)
    standing = Standing(name="tick", decided=NOON, runs=3)
    hold = Hold(since=NOON, by="ann")
    changed = Change(name="tick", fields={"every": "5s"}, by="ann", at=NOON)
    journal.write(Step(occurrences=(run(1), run(2), run(3, "missed")), standings=(standing,), hold=hold))
    journal.write(Step(standings=(Standing(name="gone"),), hold=hold, ended=(jid(1),)), begun=[jid(2)])
    journal.write(Step(dropped=("gone",), hold=hold))
    journal.change([changed, Change(name="old", fields=None)])
    journal.change([Change(name="old", fields={})])
    journal.close()

    journal, kept = opened(tmp_path)
    assert kept == Kept({"tick": standing}, hold, [changed], [Unended(run(2), True)], jid(2))
    journal.write(Step(ended=(jid(2),)))
    assert journal.page()[1] == [run(1), run(2), run(3, "missed")]
    journal.close()
    assert opened(tmp_path)[1] == Kept({"tick": standing}, None, [changed], [], jid(2))


def test_a_run_that_could_not_begin_after_all_is_told_again(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path)
    journal.write(Step(occurrences=(run(1), run(2))))
    place, _ = journal.page()
    journal.noted(place)
    failed = structs.replace(run(1), verdict="failed_to_start", reason="no such function")
    journal.write(Step(occurrences=(failed,)))

    assert journal.page() == (place + 1, [failed])
    assert [one.occurrence for one in opened(tmp_path)[1].unended] == [run(2)]


def test_verdicts_are_told_in_pages_until_they_are_noted(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path)
    assert journal.page() == (0, [])
    journal.write(Step(occurrences=tuple(run(number, "missed") for number in range(450))))
    told = []
    while (page := journal.page())[0]:
        assert page == journal.page()
        assert len(page[1]) <= 200
        told += page[1]
        journal.noted(page[0])
    assert told == [run(number, "missed") for number in range(450)]
    journal.write(Step(occurrences=(run(450, "missed"),)))
    journal.close()
    assert opened(tmp_path)[0].page()[1] == [run(450, "missed")]


def test_what_was_noted_goes_when_it_is_old_and_what_goes_on_stays(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path)
    journal.write(Step(occurrences=(run(1), *(run(number, "missed") for number in range(2, 2500)))))
    journal.tidy(NOON + DAY)
    assert journal.page()[1][0] == run(1), "nothing is noted yet"
    while place := journal.page()[0]:
        journal.noted(place)
    journal.tidy(NOON + 2000)
    assert count(tmp_path) == 501, "1 goes on, the others are younger"
    journal.write(Step(ended=(jid(1),)))
    journal.tidy(NOON + DAY)
    assert count(tmp_path) == 0


def test_there_is_a_bound_and_it_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(journals, "UNTOLD", 30)
    monkeypatch.setattr(journals, "KEPT", 20)
    journal, _ = opened(tmp_path)
    journal.write(Step(occurrences=tuple(run(number, "missed") for number in range(100))))
    journal.tidy(0.0)
    assert journal.page()[1] == [run(number, "missed") for number in range(70, 100)]
    assert [record.getMessage() for record in caplog.records] == [
        "dropping the 70 oldest verdicts of the schedule: 30 wait for the master already"]
    journal.noted(journal.page()[0])
    journal.tidy(0.0)
    assert count(tmp_path) == 20
    journal.write(Step(occurrences=tuple(run(number, "missed") for number in range(100, 131))))
    journal.tidy(0.0)
    assert count(tmp_path) == 50, "what the master has makes no room for what it has not"
    assert "dropping the 1 oldest" in caplog.text


def count(state: Path) -> int:
    with sqlite3.connect(state / FILE) as connection:
        found: int = connection.execute("SELECT count(*) FROM occurrence").fetchone()[0]
        return found


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_moved_aside_and_begun_anew(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    journal, _ = opened(tmp_path)
    journal.write(Step(occurrences=tuple(run(number) for number in range(300)), standings=(Standing(name="tick"),)))
    journal.close()
    damage(tmp_path, how)

    journal, kept = opened(tmp_path)
    assert kept == Kept({}, None, [], [], None)
    journal.write(Step(occurrences=(run(1000),)))
    assert journal.page() == (1, [run(1000)])
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 1
    assert "the schedule's journal is damaged" in lines[0]
    assert "as are all changes made at run time and the hold" in lines[0]
    assert (tmp_path / "quarantine" / FILE).exists()


def test_damage_while_it_is_in_use_costs_old_verdicts_alone(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal, _ = opened(tmp_path)
    standing, changed = Standing(name="tick", runs=7), Change(name="tick", fields={"every": "5s"})
    journal.write(Step(occurrences=(run(1),), standings=(standing,), hold=Hold(since=NOON)))
    journal.change([changed])
    place, _ = journal.page()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript("DROP TABLE occurrence")

    journal.write(Step(occurrences=(run(2),), hold=Hold(since=NOON)))
    journal.noted(place)
    assert journal.page() == (place + 1, [run(2)]), "what the master notes late is of the old file"
    journal.close()
    assert caplog.text.count("the schedule's journal is damaged") == 1
    assert "changes made at run time" not in caplog.text, "they go on"
    journal, kept = opened(tmp_path)
    assert kept == Kept({"tick": standing}, Hold(since=NOON), [changed], [Unended(run(2), False)], jid(2))
    assert journal.page()[1] == [run(2)]


@needs_disks()
def test_a_full_disk_keeps_nothing_half_and_it_recovers(tmp_path: Path) -> None:
    """R-A20."""
    state = tmp_path / "s"
    with small_disk(state, "1m"):
        journal, _ = opened(state)
        journal.write(Step(occurrences=(run(0),)))
        filler = fill(state)
        with pytest.raises(JournalError, match="No space left on device"):
            for number in range(1, 10_000):
                journal.write(Step(occurrences=(run(number),), standings=(Standing(name="tick", runs=number),)))
        filler.unlink()
        kept = len(journal.page()[1])
        journal.write(Step(occurrences=(run(20_000),)))
        assert len(journal.page()[1]) == kept + 1
        journal.close()
        journal, found = opened(state)
        assert len(found.unended) == kept + 1
        assert (found.standings["tick"].runs if found.standings else 0) == kept - 1
        journal.close()


_WRITER = """
import sys
from pathlib import Path
from tests.contract.test_journal import Journal, Standing, Step, run
journal = Journal(Path(sys.argv[1]))
journal.load()
for number in range(100000):
    journal.write(Step(occurrences=(run(number),), standings=(Standing(name="tick", runs=number + 1),)))
    print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 70])
def test_what_was_kept_survives_a_kill(tmp_path: Path, lines: int) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        last = lines + len(writer.stdout.read().split())
    journal, kept = opened(tmp_path)
    assert len(kept.unended) in (last, last + 1)
    assert kept.standings["tick"].runs == len(kept.unended)
    journal.close()


def test_a_host_without_a_schedule_pays_nothing() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from minion.journal import Journal
with tempfile.TemporaryDirectory() as state:
    journal = Journal(Path(state))
    journal.load(), journal.page(), journal.tidy(0.0), journal.close()
    assert not list(Path(state).iterdir()) and "sqlite3" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("refuse", ["a folder", "a missing folder"])
def test_what_cannot_be_opened_is_said(tmp_path: Path, refuse: str) -> None:
    state = tmp_path / "state"
    open_: dict[str, Callable[[], None]] = {
        "a folder": lambda: (state / FILE).mkdir(parents=True), "a missing folder": lambda: None}
    open_[refuse]()
    with pytest.raises(JournalError):
        Journal(state).write(Step(occurrences=(run(1),)))
