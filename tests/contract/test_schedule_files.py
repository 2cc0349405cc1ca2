"""The files of a schedule, real ones: what they may say, how edits are noticed, what a bad one costs. # S24 F30 I19"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import clock
from common.errors import UsageError
from config import schedules
from config.schedules import Reading
from config.shelf import review, shelf_of
from master.schedules import unfit
from minion.cli.jr_minion import command
from tests.lib.commands import run
from tests.lib.schedule_files import EVERY, Files, entries

NOBODY = 65534


def test_entries_stand_in_the_settings_file_and_in_files_beside_it(files: Files) -> None:
    files.write("minion.yaml", f"id: m1\nschedule:\n  tidy: {EVERY % '5s'}\n")
    files.write("b.yaml", f"beat: {EVERY % '7s'}\n")
    files.write("a.yaml", "schedule:\n  nightly: {function: test.ping, cron: 0 3 * * *, during: night}\n"
                          "periods:\n  night: {monday - sunday: '22:00-06:00'}\n")
    files.write(".hidden.yaml", "x: {}")
    files.write("notes.txt", "no entries")
    reading = files.reader.read()
    assert list(entries(reading)) == ["tidy", "nightly", "beat"]
    assert list(reading.periods) == ["night"]
    assert {name: files.shown(filed.origin) for name, filed in reading.files.entries.items()} == {
        "tidy": "S line 3", "nightly": "D/a.yaml line 2", "beat": "D/b.yaml line 1"}
    assert (reading.problems, reading.warnings) == ((), ())


@pytest.mark.parametrize("nothing", ["", "# nothing\n", "{}", "schedule:\n", "schedule: {}\nperiods: {}\n"])
def test_an_empty_schedule_is_no_trouble(files: Files, nothing: str) -> None:  # P26
    assert entries(files.reader.read()) == {}
    files.write("minion.yaml", nothing)
    files.write("a.yaml", nothing)
    reading = files.reader.read()
    assert (entries(reading), reading.problems) == ({}, ())


def test_a_variable_stands_in_the_place_of_the_settings_file(files: Files) -> None:
    for text in (None, f"schedule: {{tidy: {EVERY % '5s'}}}"):
        if text:
            files.write("minion.yaml", text)
        reading = files.again(schedule=({"beat": {"function": "test.ping", "every": 3}}, "JR_MINION_SCHEDULE")).read()
        assert list(entries(reading)) == ["beat"]
        assert reading.files.entries["beat"].origin == "JR_MINION_SCHEDULE"


@pytest.mark.parametrize(("text", "line"), [
    ("good: GOOD\nbad: {function: test.ping, every: soon}", "cannot use D/a.yaml line 2: schedule 'bad': every is"),
    ("good: GOOD\n\nbad: {function: test.ping, evry: 5s}", "D/a.yaml line 3: schedule 'bad': it has no key 'evry'"),
    ("good: GOOD\nbad: &b {function: test.ping, kwargs: {x: [*b]}}", "schedule 'bad': an alias leads back to"),
    ("good: GOOD\nbad: 5", "cannot use D/a.yaml line 2: schedule 'bad': it must be a mapping"),
    ("schedule:\n  good: GOOD\n  7: GOOD", "cannot use D/a.yaml line 3: schedule 7: a name is text; put it in quotes"),
    ("good: GOOD\ntidy: GOOD", "cannot use D/a.yaml line 2: schedule 'tidy' stands in S line 1 already"),
    ("good: GOOD\nbad: {function: test.ping, every: 5s, during: day}",
     "cannot use D/a.yaml line 2: schedule 'bad': it names the period 'day', which is not there"),
    ("schedule: {good: GOOD}\nperiod: {}", 'cannot use D/a.yaml line 2: there is no section "period" beside'),
    ("schedule: {good: GOOD}\nperiods: [1]", "D/a.yaml line 2: periods must be a mapping of names to periods"),
    ("schedule: {good: GOOD}\nperiods: {x: 5}", "cannot use D/a.yaml line 2: period 'x': it must be a mapping"),
    ("schedule: {good: GOOD}\nperiods:\n  x: {mon: '9-17'}", "D/a.yaml line 3: period 'x'"),
])
def test_what_is_wrong_is_named_with_file_and_line_and_costs_only_itself(files: Files, text: str, line: str) -> None:
    files.write("minion.yaml", f"schedule: {{tidy: {EVERY % '5s'}}}")
    files.write("a.yaml", text.replace("GOOD", EVERY % "9s"))
    files.write("b.yaml", f"beat: {EVERY % '9s'}")
    reading = files.reader.read()
    problems = files.problems(reading)
    assert len(problems) == 1
    assert line in problems[0]
    assert problems[0].startswith("cannot use ")
    assert set(entries(reading)) == {"tidy", "good", "beat"}


def test_a_period_that_makes_no_sense_costs_those_that_need_it(files: Files) -> None:  # I19
    files.write("a.yaml", """
schedule:
  first: {function: test.ping, every: 5s, during: [late]}
  second: {function: test.ping, every: 5s, except: [day]}
  third: {function: test.ping, every: 5s}
periods:
  day: {monday - friday: '09:00-17:00'}
  late: {saturday: '99'}
  both: {sunday: '00:00-24:00', includes: [late]}
  a: {sunday: '00:00-24:00', includes: [b]}
  b: {sunday: '00:00-24:00', includes: [a]}
""")
    reading = files.reader.read()
    assert list(reading.periods) == ["day"]
    assert list(entries(reading)) == ["second", "third"]
    problems = files.problems(reading)
    assert {line.split(":")[0] for line in problems} == {
        f"cannot use D/a.yaml line {number}" for number in (3, 8, 9, 10, 11)}


def test_a_period_that_is_broken_is_no_period_that_is_not_there(files: Files) -> None:  # I19
    files.write("a.yaml", "periods:\n  night: {monday: '99'}\n  day: 5\n")
    files.write("b.yaml", "".join(f"{name}: {{function: test.ping, every: 5s, during: {name}}}\n"
                                  for name in ("night", "day", "nigt")))
    problems = files.problems(files.reader.read())
    assert [line for line in problems if line.startswith("cannot use D/b")] == [
        "cannot use D/b.yaml line 1: schedule 'night': it names the period 'night', which cannot be used itself "
        "(D/a.yaml line 2)",
        "cannot use D/b.yaml line 2: schedule 'day': it names the period 'day', which cannot be used itself "
        "(D/a.yaml line 3)",
        "cannot use D/b.yaml line 3: schedule 'nigt': it names the period 'nigt', which is not there"]


def test_a_period_that_is_probably_not_meant_is_told_and_used(files: Files) -> None:  # I20
    files.write("a.yaml", "periods:\n  day: {monday: '09:00-09:00'}\n  none: {day 32: '09:00-10:00'}\n")
    reading = files.reader.read()
    assert (list(reading.periods), reading.problems) == (["day", "none"], ())
    assert [files.shown(line) for line in reading.warnings] == [
        "D/a.yaml line 2: period 'day': monday: '09:00-09:00' is 24 hours, as in Icinga 2; if so, write 09:00-33:00",
        "D/a.yaml line 3: period 'none': 'day 32' never comes: no month has a day 32",
        "D/a.yaml line 3: period 'none': it never opens"]


def test_the_master_refuses_built_in_runners_at_once(files: Files) -> None:  # R-S24
    files.write("a.yaml", "a: {function: jobs.active, every: 5s}\nc: {function: site.report, every: 5s}\n"
                          "b: {function: schedule.save, target: '*', every: 5s}\n")
    found = shelf_of(files.source, master=True, unfit=unfit)
    assert list(found.entries) == ["c", "b"]
    why = "function is 'jobs.active': built-in runners are no jobs; name a custom runner, or a target for a function"
    assert [files.shown(line) for line in review(files.source, master=True, unfit=unfit).problems] == [
        f"cannot use D/a.yaml line 1: schedule 'a': {why} of its minions"]
    with pytest.raises(UsageError, match=f"cannot use the schedule 'd': {why}"):
        found.book.add("d", {"function": "jobs.active", "every": "5s"}, "ann", clock.wall())
    with pytest.raises(UsageError, match="built-in"):
        found.book.modify("c", {"function": "manage.up"}, "ann", clock.wall())
    assert list(shelf_of(files.source, master=True).entries) == ["a", "c", "b"]


def test_what_stands_in_the_folder_and_cannot_be_read_is_named(files: Files) -> None:  # S24
    files.write("beat.yaml", f"beat: {EVERY % '9s'}")
    files.write("notes.txt", "")
    (files.folder / "a.yaml").symlink_to("nowhere.yaml")
    (files.folder / "b.yaml").mkdir()
    (files.folder / "c.yaml").symlink_to("c.yaml")
    (files.folder / "d.yaml").symlink_to("notes.txt/d.yaml")
    (files.folder / ".e.yaml").symlink_to("nowhere.yaml")  # editors lock so
    reading = files.reader.read()
    assert list(entries(reading)) == ["beat"]
    assert [files.shown(line) for line in reading.problems] == [
        "cannot read D/a.yaml: it is a link to nowhere.yaml, which leads nowhere",
        "cannot use D/b.yaml: it is not a regular file",
        "cannot read D/c.yaml: Too many levels of symbolic links", "cannot read D/d.yaml: Not a directory"]
    assert reading.blind
    (files.folder / "nowhere.yaml").write_text(f"tidy: {EVERY % '5s'}")
    (files.folder / "nowhere.yaml").rename(files.folder / "target")
    (files.folder / "a.yaml").unlink()
    (files.folder / "a.yaml").symlink_to("target")
    assert set(entries(looked(files))) == {"beat", "tidy"}
    (files.folder / "target").unlink()
    reading = looked(files)
    assert set(entries(reading)) == {"beat", "tidy"}
    assert reading is not None
    assert reading.problems[-1].endswith("a link to target, which leads nowhere; what it said before still holds")


def test_a_file_that_may_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory(prefix="jr-", dir="/tmp") as base:
        Path(base).chmod(0o755)  # below the folders of pytest nobody else may look
        files = Files(Path(base))
        files.write("a.yaml", f"beat: {EVERY % '9s'}").chmod(0)
        with as_ordinary_user():
            problems = files.reader.read().problems
    assert [files.shown(line) for line in problems] == ["cannot read D/a.yaml: Permission denied"]


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root can read everything: be nobody meanwhile."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("there", ["a link", "a file"])
def test_a_folder_that_is_none_is_named(files: Files, there: str) -> None:
    files.folder.rmdir()
    if there == "a link":
        files.folder.symlink_to("nowhere")
    else:
        files.folder.write_text("")
    assert [files.shown(line) for line in files.reader.read().problems] == [
        "cannot read D: it is a link to nowhere, which leads nowhere" if there == "a link"
        else "cannot read D: Not a directory"]
    files.folder.unlink()
    assert files.reader.look() is not None
    assert files.reader.read().problems == (), "a host may have no such folder"


def test_a_file_that_is_no_yaml_costs_only_itself(files: Files) -> None:
    files.write("a.yaml", "x: [1\n")
    files.write("b.yaml", f"beat: {EVERY % '9s'}")
    (files.folder / "c.yaml").mkdir()
    reading = files.reader.read()
    assert list(entries(reading)) == ["beat"]
    assert [files.shown(line) for line in reading.problems] == [
        "cannot use D/a.yaml line 2: it is not YAML: expected ',' or ']', but got '<stream end>'",
        "cannot use D/c.yaml: it is not a regular file"]


def looked(files: Files) -> Reading | None:
    """Two looks: with the first a file is only seen."""
    assert files.reader.look() is None
    return files.reader.look()


def test_edits_additions_and_deletions_are_noticed_by_looks(files: Files) -> None:  # F29 F30
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    files.reader.read()
    assert looked(files) is None
    assert not files.reader.settling
    files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
    assert set(entries(looked(files))) == {"tidy", "beat"}
    files.write("a.yaml", f"tidy: {EVERY % '6s'}\n")  # as long as before
    assert entries(looked(files))["tidy"].every == 6.0
    files.write("minion.yaml", f"schedule: {{third: {EVERY % '5s'}}}\n")
    assert set(entries(looked(files))) == {"tidy", "beat", "third"}
    (files.folder / "b.yaml").unlink()
    files.settings.unlink()
    assert set(entries(looked(files))) == {"tidy"}
    (files.folder / "a.yaml").unlink()
    files.folder.rmdir()
    assert entries(looked(files)) == {}
    assert files.reader.look() is None


def test_a_file_that_is_being_written_is_not_taken_yet(files: Files) -> None:
    path = files.write("a.yaml", f"tidy: {EVERY % '5s'}\nbeat: {EVERY % '5s'}\n")
    files.reader.read()
    whole = path.read_text().replace("5s", "6s")
    for length in range(0, len(whole), 10):
        path.write_text(whole[:length])
        assert files.reader.look() is None
        assert files.reader.settling
    path.write_text(whole)
    assert {name: entry.every for name, entry in entries(looked(files)).items()} == {"tidy": 6.0, "beat": 6.0}


def test_a_file_that_cannot_be_read_any_more_leaves_what_it_said(files: Files) -> None:
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    files.reader.read()
    files.write("a.yaml", "tidy: {function: [\n")
    reading = looked(files)
    assert entries(reading)["tidy"].every == 5.0
    assert reading is not None
    assert reading.problems[0].endswith("; what it said before still holds")
    assert "a.yaml line 2: it is not YAML" in reading.problems[0]
    assert files.reader.read().problems == reading.problems, "also when it is read again"
    files.write("a.yaml", f"tidy: {EVERY % '7s'}\n")
    reading = looked(files)
    assert entries(reading)["tidy"].every == 7.0
    assert reading is not None
    assert reading.problems == ()


def test_a_folder_that_cannot_be_read_leaves_what_it_said(files: Files) -> None:
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    files.reader.read()
    aside = files.folder.rename(files.folder.with_name("aside"))
    files.folder.symlink_to(files.folder.name)  # a link to itself: nobody can follow it, not even root
    for reading in (files.reader.look(), files.reader.look(), files.reader.read()):
        assert entries(reading)["tidy"].every == 5.0
        assert reading is not None
        assert "cannot read D: Too many levels of symbolic links" in map(files.shown, reading.problems)
    files.folder.unlink()
    aside.rename(files.folder)
    readings = [files.reader.look(), files.reader.look()]
    assert [reading.problems for reading in readings if reading is not None][-1] == ()


def test_files_have_bounds(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "FILES_LIMIT", 2)
    monkeypatch.setattr(schedules, "ENTRIES_LIMIT", 3)
    files.write("a.yaml", "".join(f"a{number}: {EVERY % '5s'}\n" for number in range(2)))
    files.write("b.yaml", "".join(f"b{number}: {EVERY % '5s'}\n" for number in range(2)))
    files.write("c.yaml", f"c: {EVERY % '5s'}\n")
    reading = files.reader.read()
    assert list(entries(reading)) == ["a0", "a1"]
    assert "3 files, and 2 are allowed" in reading.problems[0]
    assert "more than 3 of the kind schedule" in reading.problems[1]
    files.write("a.yaml", "#" * (1024 * 1024 + 1))
    assert "1048577 bytes" in files.reader.read().problems[1]


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
@pytest.mark.parametrize("name", ["a.yaml", "saved.yaml", "minion.yaml"])
def test_a_file_that_others_may_write_is_refused(files: Files, name: str, mode: int) -> None:
    path = files.write(name, f"schedule:\n  tidy: {EVERY % '5s'}\n")
    files.write("b.yaml", f"beat: {EVERY % '5s'}\n")
    path.chmod(mode)
    reading = files.reader.read()
    assert list(entries(reading)) == ["beat"]
    shown = files.shown(str(path))
    assert files.problems(reading) == [
        f"cannot use {shown}: {shown} may be written to by others, who could so run anything as this user; "
        f"chmod go-w {shown}"]
    path.chmod(0o644)
    assert sorted(entries(files.reader.read())) == ["beat", "tidy"]


def test_a_folder_that_others_may_write_is_refused(files: Files, tmp_path: Path) -> None:
    files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    files.folder.chmod(0o777)
    (line,) = files.problems(files.reader.read())
    assert line.startswith("cannot use D/a.yaml: D may be written to by others")
    files.folder.chmod(0o1777)  # nobody can put a file in the place of another one's there
    assert list(entries(files.reader.read())) == ["tidy"]
    files.folder.chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (files.folder / "a.yaml").rename(outside / "a.yaml")
    (files.folder / "a.yaml").symlink_to(outside / "a.yaml")
    (line,) = files.problems(files.again().read())
    assert f"{outside} may be written to by others" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(files: Files) -> None:
    path = files.write("a.yaml", f"tidy: {EVERY % '5s'}\n")
    os.chown(path, 12345, -1)
    (line,) = files.problems(files.reader.read())
    assert line == ("cannot use D/a.yaml: D/a.yaml belongs to user 12345, who could so run anything as this one; "
                    "chown it to root or to this user")


def test_settings_without_a_schedule_may_be_anybodys(files: Files) -> None:
    files.write("minion.yaml", "id: m1\n").chmod(0o666)
    assert files.reader.read().problems == ()
    variable = files.again(schedule=({"tidy": {"function": "test.ping", "every": "5s"}}, "variable JR_MINION_SCHEDULE"))
    assert variable.read().problems == ()


@pytest.mark.parametrize("merge", [False, True])
def test_aliases_to_aliases_cost_their_file_and_no_memory(files: Files, merge: bool) -> None:
    """Ten lines that stand for ten thousand million values."""
    many = "<<: [{}]" if merge else "x: [{}]"
    lines = ["l0: &l0 {a: 1, b: 2}"]
    lines += [f"l{n}: &l{n} {{{many.format(', '.join([f'*l{n - 1}'] * 10))}}}" for n in range(1, 11)]
    files.write("a.yaml", "\n".join(lines))
    files.write("b.yaml", f"beat: {EVERY % '9s'}")
    reading = files.reader.read()
    assert files.problems(reading) == ["cannot use D/a.yaml: its aliases stand for more than 1000000 values"]
    assert list(entries(reading)) == ["beat"]


def test_check_config_says_each_problem_in_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # I19
    folder = tmp_path / "etc/jr/schedule.d"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("schedule:\n  5: {}\n  true: {}\n  null: {}\n  flat: 7\n  bad: {evry: 5s}\n")
    ended = run(capsys, command, "--root", str(tmp_path), "--check-config")
    lines = ended.err.replace(str(folder), "D").splitlines()
    assert ended.code == 2
    assert [line.partition(": ")[2] for line in lines][:4] == [
        "cannot use D/a.yaml line 2: schedule 5: a name is text; put it in quotes",
        "cannot use D/a.yaml line 3: schedule true: a name is text; put it in quotes",
        "cannot use D/a.yaml line 4: schedule null: a name is text; put it in quotes",
        "cannot use D/a.yaml line 5: schedule 'flat': it must be a mapping"]
    assert len(lines) == 5
