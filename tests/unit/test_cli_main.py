"""How a command ends, whatever happens in it."""

from __future__ import annotations

import click
import pytest

from common.cli.main import DEBUG, say
from common.cli.options import root_hint
from common.cli.printer import Printer, wants_colour
from common.errors import DeniedError, Exit, JrError, NotFoundError, StateError, UnreachableError, UsageError
from master.cli.jr_key import command as jr_key
from master.cli.jr_local import command as jr_local
from master.cli.jr_master import command as jr_master
from minion.cli.jr_call import command as jr_call
from minion.cli.jr_minion import command as jr_minion
from tests.lib.commands import Ended, run


def ending(error: BaseException | None = None, code: int | None = None) -> click.Command:
    """A command that ends like this."""
    def callback() -> int | None:
        if error is not None:
            raise error
        return code

    return click.Command("jr-x", callback=callback)


@pytest.fixture
def no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEBUG, raising=False)


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (Exit.INCOMPLETE, 6), (124, 124)])
def test_the_result_is_the_exit_code(capsys: pytest.CaptureFixture[str], code: int | None, expected: int) -> None:
    assert run(capsys, ending(code=code)) == Ended(expected, "", "")


@pytest.mark.parametrize(("error", "code"), [
    (JrError("cannot x: y"), 1), (UsageError("cannot x: y"), 2), (NotFoundError("cannot x: y"), 3),
    (DeniedError("cannot x: y"), 4), (UnreachableError("cannot x: y"), 5), (StateError("cannot x: y"), 1),
    (click.UsageError("cannot x: y"), 2),
])
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], error: Exception, code: int) -> None:
    ended = run(capsys, ending(error))
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("jr-x: cannot x: y")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("error", "expected"), [
    (KeyboardInterrupt(), Ended(130, "", "jr-x: interrupted\n")),
    (click.Abort(), Ended(130, "", "jr-x: interrupted\n")),
    (click.exceptions.Exit(3), Ended(3, "", "")),
    (OSError(28, "No space left on device"),
     Ended(1, "", "jr-x: cannot go on: No space left on device\n")),
    (FileNotFoundError(2, "No such file or directory", "/x"),
     Ended(1, "", "jr-x: cannot go on: /x: No such file or directory\n")),
])
def test_other_ends(capsys: pytest.CaptureFixture[str], error: BaseException, expected: Ended) -> None:
    assert run(capsys, ending(error)) == expected


@pytest.mark.usefixtures("no_debug")
def test_a_fault_of_ours_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, ending(KeyError("a\nb")))
    assert ended == Ended(1, "", f"jr-x: internal error: KeyError: 'a\\nb' (set {DEBUG}=1 to see where)\n")


def test_a_fault_of_ours_can_be_looked_into(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(KeyError):
        run(capsys, ending(KeyError("a")))


def test_unknown_options_are_usage(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, ending(), "--nope")
    assert ended == Ended(2, "", "jr-x: No such option '--nope'. (see jr-x --help)\n")


@pytest.mark.parametrize("group", [jr_key, jr_local])
def test_a_command_without_its_verb_is_one_short_line(capsys: pytest.CaptureFixture[str], group: click.Group) -> None:
    ended = run(capsys, group)
    assert ended == Ended(2, "", f"{group.name}: Missing command. (see {group.name} --help)\n")


@pytest.mark.parametrize("command", [jr_key, jr_local, jr_call, jr_master, jr_minion])
def test_help_is_whole_on_80_columns(capsys: pytest.CaptureFixture[str], command: click.Command) -> None:
    """No sentence of the verbs ends in dots, and an example stands in a line of its own."""
    shown = run(capsys, command, "--help").out
    assert not [line for line in shown.splitlines() if line.endswith(("...", "  |")) and "ARG" not in line
                and "COMMAND" not in line]


def test_help_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, ending(), "--help").code == 0


def test_what_is_said_is_harmless_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("jr", "a\nb\x1b[2J \u202ec")
    assert capsys.readouterr().err == "jr: a b\\x1b[2J \\u202ec\n"


@pytest.mark.parametrize(("environ", "terminal", "colour"), [
    ({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"NO_COLOR": ""}, True, True),
    ({"TERM": "dumb"}, True, False), ({"TERM": "xterm"}, True, True), ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
])
def test_colour(environ: dict[str, str], terminal: bool, colour: bool) -> None:  # S17
    assert wants_colour(environ, terminal) is colour


def test_a_printer_keeps_data_and_words_apart(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer("jr", "table")
    printer.text("data")
    printer.text("")
    printer.note("words")
    printer.note("")
    printer.totals("1", {"succeeded": 2})
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert captured.err == "jr: words\njr: 1: 2 succeeded\n"


@pytest.mark.parametrize(("fmt", "streams"), [
    ("table", True), ("jsonl", True), ("raw", True), ("json", False), ("yaml", False),
])
def test_formats_that_stream(fmt: str, streams: bool, capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer("jr", fmt)  # type: ignore[arg-type]
    assert printer.streams is streams
    printer.totals("1", {"succeeded": 2})
    assert bool(capsys.readouterr().err) is (fmt == "table")


def test_the_hint_for_a_root() -> None:
    assert root_hint(None) == ""
    assert root_hint("/srv/jr") == " --root /srv/jr"
    assert root_hint("/srv/my jr") == " --root '/srv/my jr'"
