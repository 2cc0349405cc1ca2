"""Which words of a command line are the command's and which the function's."""

from __future__ import annotations

import click
import pytest

from common.cli.arguments import Arguments, FunctionCommand, Line, TargetCommand, parse, split
from common.errors import UsageError

OPTIONS = {"-L": False, "-E": False, "-o": True, "--output": True, "--async": False, "--wait": True, "--help": False}


def line(text: str, names: int = 2) -> Line:
    return split(text.split(), names, OPTIONS)


# before FUNCTION


def test_names_and_arguments() -> None:
    assert line("* cmd.run a b") == Line([], ["*", "cmd.run"], ["a", "b"], [])


@pytest.mark.parametrize(("text", "own"), [
    ("-L * f", ["-L"]), ("* -L f", ["-L"]), ("--wait 3 * f", ["--wait", "3"]), ("* --wait=3 f", ["--wait=3"]),
    ("-o json * f", ["-o", "json"]), ("-ojson * f", ["-ojson"]), ("-Lo json * f", ["-Lo", "json"]),
    ("-Lojson * f", ["-Lojson"]), ("--unknown * f", ["--unknown"]), ("-x * f", ["-x"]),
])
def test_before_the_function_every_option_is_ours(text: str, own: list[str]) -> None:
    assert line(text) == Line(own, ["*", "f"], [], [])


def test_a_dash_alone_is_a_word() -> None:
    assert line("- f -") == Line([], ["-", "f"], ["-"], [])


def test_a_value_may_look_like_an_option() -> None:
    assert line("--wait -L * f") == Line(["--wait", "-L"], ["*", "f"], [], [])


# after FUNCTION


@pytest.mark.parametrize("word", [
    "-l", "-L", "-E", "-la", "-Lo", "-eo", "-ojson", "-5", "--unknown", "--unknown=1", "-", "--asyn", "--waiting",
])
def test_after_the_function_other_words_are_the_functions(word: str) -> None:
    assert line(f"* cmd.exec ls {word} x") == Line([], ["*", "cmd.exec"], ["ls", word, "x"], [])


@pytest.mark.parametrize(("text", "own"), [
    ("* f -o json", ["-o", "json"]), ("* f a --output=json b", ["--output=json"]), ("* f --async", ["--async"]),
    ("* f --wait 3 a", ["--wait", "3"]), ("* f --help", ["--help"]),
])
def test_our_long_options_and_output_may_be_appended(text: str, own: list[str]) -> None:
    assert line(text).own == own
    assert line(text).names == ["*", "f"]
    assert not set(own) & set(line(text).given)


# after --


def test_everything_after_the_dashes_is_the_functions() -> None:
    assert line("* f k=v -- -o json a=b --") == Line([], ["*", "f"], ["k=v"], ["-o", "json", "a=b", "--"])


def test_dashes_before_the_names() -> None:
    assert line("-L -- -a f -o json") == Line(["-L"], ["-a", "f"], [], ["-o", "json"])


def test_dashes_between_the_names() -> None:
    assert line("* -- f -o") == Line([], ["*", "f"], [], ["-o"])


def test_dashes_at_the_end() -> None:
    assert line("* f --") == Line([], ["*", "f"], [], [])


def test_one_name() -> None:
    assert line("jobs.kill 123 -o json", 1) == Line(["-o", "json"], ["jobs.kill"], ["123"], [])


@pytest.mark.parametrize("text", ["* f -o", "--wait", "-Lo"])
def test_a_value_that_is_missing(text: str) -> None:
    with pytest.raises(UsageError, match="needs a value"):
        line(text)


# KEY=VALUE


@pytest.mark.parametrize(("word", "args", "kwargs"), [
    ("a=b", [], {"a": "b"}), ("a=", [], {"a": ""}), ("a=b=c", [], {"a": "b=c"}), ("a=b\nc", [], {"a": "b\nc"}),
    ("metadata.key=v", [], {"metadata.key": "v"}), ("_a1-b=v", [], {"_a1-b": "v"}),
    ("=b", ["=b"], {}), ("1a=b", ["1a=b"], {}), ("a b=c", ["a b=c"], {}), ("{a=b}", ["{a=b}"], {}), ("", [""], {}),
    ("ä=b", ["ä=b"], {}), ("echo x=y", ["echo x=y"], {}),
])
def test_key_and_value(word: str, args: list[str], kwargs: dict[str, str]) -> None:
    assert parse([word], []) == Arguments(args, kwargs)


def test_verbatim_words_are_never_key_and_value() -> None:
    assert parse(["a=1", "b"], ["c=2"]) == Arguments(["b", "c=2"], {"a": "1"})


def test_a_key_given_twice() -> None:
    with pytest.raises(UsageError, match="a= is given twice"):
        parse(["a=1", "a=2"], [])


# as a click command


def invoke(kind: type[FunctionCommand], words: str) -> dict[str, object]:
    """The parameters that a callback would get."""
    arguments: list[click.Parameter] = [click.Argument(["target"])] if kind is TargetCommand else []
    command = kind("x", params=[
        *arguments, click.Argument(["function"]), click.Option(["-L", "as_list"], is_flag=True),
        click.Option(["-o", "fmt"], type=click.Choice(["json"])), click.Option(["--tag/--no-tag"]),
        click.Option(["-v", "--verbose"], count=True), click.Option(["--wait"], type=float),
    ])
    return command.make_context("x", words.split()).params


def test_the_callback_gets_arguments() -> None:
    params = invoke(TargetCommand, "-L a,b cmd.exec ls -l k=v -o json")
    assert params == {"target": "a,b", "function": "cmd.exec", "as_list": True, "fmt": "json", "tag": False,
                      "verbose": 0, "wait": None, "arguments": Arguments(["ls", "-l"], {"k": "v"})}


def test_flags_and_counts_take_no_value() -> None:
    params = invoke(FunctionCommand, "-vv --tag f --no-tag x --verbose y")
    assert (params["tag"], params["verbose"], params["function"]) == (False, 3, "f")
    assert params["arguments"] == Arguments(["x", "y"], {})


def test_a_target_that_begins_with_a_dash() -> None:
    assert invoke(TargetCommand, "-- -a f")["target"] == "-a"


def test_a_bad_value_points_to_the_dashes_when_it_may_be_the_functions() -> None:
    with pytest.raises(click.UsageError) as caught:
        invoke(TargetCommand, "* cmd.exec gcc -o out x.c")
    assert "(what belongs to cmd.exec goes after --)" in caught.value.format_message()
    with pytest.raises(click.UsageError) as caught:
        invoke(TargetCommand, "-o out * test.ping")
    assert "--)" not in caught.value.format_message()


def test_an_unknown_option_before_the_function() -> None:
    with pytest.raises(click.UsageError, match="--nope"):
        invoke(TargetCommand, "--nope * test.ping")
    with pytest.raises(click.NoSuchOption) as caught:
        invoke(TargetCommand, "--nope json * test.ping")
    assert "--)" not in caught.value.format_message(), "test.ping is taken for an argument of *"


def test_the_usage_shows_the_arguments() -> None:
    command = TargetCommand("x", params=[click.Argument(["target"]), click.Argument(["function"])])
    usage = command.get_usage(click.Context(command, info_name="x"))
    assert usage == "Usage: x [OPTIONS] TARGET FUNCTION [ARG | KEY=VALUE]..."
