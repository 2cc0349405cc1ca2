"""Arguments bound to parameters, converted and checked, with errors that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common import values
from common.errors import Exit, UsageError
from common.functions import Command, FunctionInfo
from common.proc.describe import describe
from common.signatures import usage
from common.values import LIFTED, ArgumentsError, Bound, bind, unknown


def run(cmd: str, *, cwd: str | None = None, env: dict[str, str] | None = None,
        timeout: float | None = None) -> Command:
    return Command([cmd])


def exec_(*argv: str, cwd: str | None = None) -> Command:
    return Command(list(argv))


def kinds(text: str = "", number: int = 0, part: float = 0.0, switch: bool = False, many: list[int] | None = None,
          table: dict[str, int] | None = None, other: Any = None) -> None:
    pass


def copy(source: str, target: str, *rest: int, force: bool, **more: float) -> None:
    pass


def call(function: Callable[..., Any], args: list[Any] | None = None, kwargs: dict[str, Any] | None = None,
         typed: bool = True) -> Bound:
    return bind(describe(function), "test.it", args or [], kwargs or {}, typed)


def error(function: Callable[..., Any], args: list[Any] | None = None, kwargs: dict[str, Any] | None = None,
          typed: bool = True) -> str:
    with pytest.raises(UsageError) as caught:
        call(function, args, kwargs, typed)
    text = str(caught.value)
    assert text.startswith("cannot call test.it: ")
    assert "\n" not in text
    return text.removeprefix("cannot call test.it: ")


class TestTyped:
    @pytest.mark.parametrize(("name", "text", "value"), [
        ("text", "5", "5"), ("text", "{a: 1}", "{a: 1}"), ("text", "null", "null"), ("text", "", ""),
        ("text", "2026-01-02", "2026-01-02"), ("text", " 'x' ", " 'x' "),
        ("number", "5", 5), ("number", "-07", -7), ("number", " 5 ", 5),
        ("part", "5", 5.0), ("part", "1e-3", 0.001),
        ("switch", "true", True), ("switch", "No", False), ("switch", "ON", True), ("switch", "0", False),
        ("many", "[1, 2]", [1, 2]), ("many", "null", None), ("many", "[]", []),
        ("table", "{a: 1}", {"a": 1}), ("table", "~", None), ("table", "a: 1", {"a": 1}),
        ("other", "5", 5), ("other", "x", "x"), ("other", "null", None), ("other", "{a: [1]}", {"a": [1]}),
        ("other", "12:30:45", "12:30:45"),
    ])
    def test_by_hint(self, name: str, text: str, value: Any) -> None:
        got = call(kinds, [], {name: text})
        found = got.args[0] if name == "text" else got.kwargs[name]
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(("name", "text", "reason"), [
        ("number", "1.5", "number must be a whole number, not 1.5"),
        ("number", "five", "number must be a whole number, not five"),
        ("number", "null", "number must be a whole number, not null"),
        ("number", "99999999999999999999", "number holds a number of more than 64 bits"),
        ("number", "9" * 10_000, "number must be a whole number"),
        ("part", "x", "part must be a number, not x"),
        ("part", "nan", "part holds a number that is not finite"),
        ("part", "inf", "part holds a number that is not finite"),
        ("switch", "maybe", "switch must be true or false, not maybe"),
        ("many", "a,b", "many must be a list such as [a, b], not 'a,b'"),
        ("many", "[1", "many must be a list such as [a, b], not [1 ("),
        ("table", "[1]", "table must be a map such as {key: value}, not [1]"),
        ("other", "{a: 1", "other must be plain data, not {a: 1 ("),
        ("other", '"\\ud800"', "other holds half a character"),
        ("number", "\x1b[2J", "number must be a whole number, not \\x1b[2J"),
    ])
    def test_what_cannot_be_converted(self, name: str, text: str, reason: str) -> None:
        assert error(kinds, [], {name: text}).startswith(reason)

    def test_positional_rest_and_more(self) -> None:
        got = call(copy, ["a", "b", "1", "2"], {"force": "yes", "speed": "2.5"})
        assert got == Bound(["a", "b", 1, 2], {"force": True, "speed": 2.5}, None)

    def test_values_that_are_no_text_are_checked_as_they_are(self) -> None:
        assert call(kinds, ["x", 5]).args == ["x", 5]
        assert error(kinds, [5]).startswith("text must be text, not 5; put it in quotes")


class TestUntyped:
    def test_values_stay(self) -> None:
        value = {"a": [1, None, True, 2.5, "x"]}
        assert call(kinds, ["5"], {"other": value, "part": 3, "many": None}, typed=False) == Bound(
            ["5"], {"other": value, "part": 3, "many": None}, None)

    @pytest.mark.parametrize(("name", "value", "reason"), [
        ("text", 5, "text must be text, not 5; put it in quotes"),
        ("text", True, "text must be text, not True; put it in quotes"),
        ("text", None, "text must be text, not None"),
        ("number", "5", "number must be a whole number, not '5'"),
        ("number", True, "number must be a whole number, not True"),
        ("number", 5.0, "number must be a whole number, not 5.0"),
        ("number", 2**64, "number holds a number of more than 64 bits"),
        ("part", True, "part must be a number, not True"),
        ("switch", 1, "switch must be true or false, not 1"),
        ("many", "x", "many must be a list such as [a, b], not 'x'"),
        ("table", [], "table must be a map such as {key: value}, not []"),
        ("other", b"raw", "other holds bytes, which is no plain data"),
        ("other", [{"a": b"raw"}], "other holds bytes, which is no plain data"),
        ("other", {80: "web"}, "other holds a map with a key that is no text; put the key in quotes"),
        ("other", float("inf"), "other holds a number that is not finite"),
        ("other", {"\ud800": 1}, "other holds half a character"),
    ])
    def test_what_does_not_fit(self, name: str, value: Any, reason: str) -> None:
        assert error(kinds, [], {name: value}, typed=False).startswith(reason)

    def test_depth_has_an_end(self) -> None:
        value: list[Any] = []
        for _ in range(500):
            value = [value]
        assert error(kinds, [], {"other": value}, typed=False) == "other is nested deeper than 50"

    def test_names_must_be_text(self) -> None:
        odd: Any = {5: "x"}
        assert error(kinds, [], odd, typed=False) == "the names of arguments must be text"


class TestBinding:
    def test_by_name_goes_into_its_place(self) -> None:
        assert call(copy, ["a"], {"target": "b", "force": "no"}) == Bound(["a", "b"], {"force": False}, None)

    def test_a_gap_stays_named(self) -> None:
        assert call(kinds, [], {"number": "1"}) == Bound([], {"number": 1}, None)

    def test_rest_by_its_name(self) -> None:
        assert call(exec_, [], {"argv": '["env", "A=b"]'}).args == ["env", "A=b"]
        assert call(exec_, [], {"argv": ["env", "A=b"]}, typed=False).args == ["env", "A=b"]
        assert call(copy, [], {"source": "a", "target": "b", "rest": "[1, 2]", "force": "no"}).args == ["a", "b", 1, 2]

    def test_rest_by_its_name_is_checked_too(self) -> None:
        assert error(exec_, [], {"argv": "[1]"}).startswith("argv must be text, not 1")
        assert error(exec_, [], {"argv": "x"}).startswith("argv must be a list")
        assert error(exec_, [], {"argv": None}, typed=False).startswith("argv must be a list")
        assert error(exec_, ["x"], {"argv": "[y]"}) == "argv is given twice"

    def test_missing(self) -> None:
        assert error(run).startswith("it needs cmd; write test.it(cmd: str, *, cwd: str = None")
        assert error(copy).startswith("it needs source and target and force; write ")

    def test_rest_does_not_slip_into_an_optional_place(self) -> None:
        def log(text: str = "x", *rest: str) -> None:
            pass

        assert error(log, [], {"rest": "[a]"}).startswith("it needs text")

    def test_given_twice(self) -> None:
        assert error(run, ["ls"], {"cmd": "ls"}) == "cmd is given twice"

    def test_too_many(self) -> None:
        text = error(run, ["ls", "-l", "/"])
        assert text.startswith("it takes 1 argument by position, and 3 are given; put text with spaces in quotes; ")
        assert "quotes" not in error(run, ["ls", "-l"], typed=False)

        def nothing() -> None:
            pass

        assert error(nothing, ["x"]) == "it takes no argument by position, and 1 are given; write test.it()"

    def test_unknown_with_the_nearest(self) -> None:
        text = error(run, ["ls"], {"cwdd": 1}, typed=False)
        assert text.startswith("it takes no argument named cwdd, did you mean cwd?; ")

    def test_typed_text_with_an_equals_sign(self) -> None:
        assert "; to pass the text PORT=80 itself, name its argument: cmd=PORT=80; " in error(run, [], {"PORT": "80"})
        assert "name its argument: 'cmd=X=a b'; " in error(run, [], {"X": "a b"})
        assert """give the list by its name: 'argv=["env", "A=b"]'; """ in error(exec_, ["env"], {"A": "b"})
        assert "put all of the text that it belongs to in quotes" in error(run, ["echo"], {"a": "b"})
        assert "itself" not in error(run, [], {"PORT": "80"}, typed=False)

    def test_the_advice_is_right(self) -> None:
        assert call(run, [], {"cmd": "PORT=80"}).args == ["PORT=80"]
        assert call(exec_, [], {"argv": '["env", "A=b"]'}).args == ["env", "A=b"]

    def test_an_unknown_name_is_harmless_and_short(self) -> None:
        text = error(run, ["ls"], {"\x1b]0;" + "x" * 5000: "y"})
        assert "\x1b" not in text
        assert len(text) < 600


class TestTimeLimit:
    def test_it_is_lifted_out(self) -> None:
        assert {"timeout"} == LIFTED
        assert call(run, ["ls"], {"timeout": "5m"}) == Bound(["ls"], {}, 300.0)
        assert call(run, ["ls"], {"timeout": 1.5}, typed=False) == Bound(["ls"], {}, 1.5)
        assert call(run, ["ls"], {"timeout": None}, typed=False).timeout is None
        assert call(run, ["ls"]).timeout is None

    @pytest.mark.parametrize("value", ["soon", -1, 0, "0s", True, [1], float("nan"), float("inf")])
    def test_what_is_no_time(self, value: Any) -> None:
        assert error(run, ["ls"], {"timeout": value}, typed=False).startswith("timeout must be ")

    def test_a_function_with_a_timeout_of_its_own_keeps_it(self) -> None:
        def fetch(url: str, *, timeout: float = 5.0) -> str:
            return url

        assert call(fetch, ["x"], {"timeout": "7"}) == Bound(["x"], {"timeout": 7.0}, None)

    def test_a_timeout_among_whatever_else_is_no_limit(self) -> None:
        def submit(**more: str) -> None:
            pass

        assert call(submit, [], {"timeout": "7"}) == Bound([], {"timeout": "7"}, None)


INFO: FunctionInfo = {"doc": "", "params": [], "inline": False, "reads": False}


class TestUnknown:
    def test_nearest(self) -> None:
        assert unknown("cmd.rum", {"cmd.run": INFO, "test.ping": INFO}) == (
            "cannot call cmd.rum: this host has no such function; did you mean cmd.run?")

    def test_nothing_near(self) -> None:
        assert unknown("zzzzzz.q", {"cmd.run": INFO}) == "cannot call zzzzzz.q: this host has no such function"

    def test_no_module(self) -> None:
        assert unknown("ping", {"test.ping": INFO}) == (
            "cannot call ping: a function is named MODULE.FUNCTION; did you mean test.ping?")

    def test_a_broken_module(self) -> None:
        assert unknown("greet.hello", {}, {"greet": "cannot load /f/greet.py: it exits (3)"}) == (
            "cannot call greet.hello: its module is broken: cannot load /f/greet.py: it exits (3)")

    def test_a_name_from_outside_is_harmless_and_short(self) -> None:
        text = unknown("\x1b[2J" + "x" * 200, {"cmd.run": INFO})
        assert "\x1b" not in text
        assert len(text) < 160

    def test_attributes_are_no_functions(self) -> None:
        for name in ("__class__.x", "cmd.__init__", "os.system", "cmd._command", "..", ""):
            assert unknown(name, {"cmd.run": INFO}).startswith("cannot call ")


def test_usage_errors_end_with_their_exit_code() -> None:
    with pytest.raises(UsageError) as caught:
        call(run)
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize(("function", "args", "kwargs", "plain"), [
    (kinds, [], {"text": "x", "number": "s3cret"}, "number is missing, unknown or wrong"),
    (kinds, [], {"text": "x", "other": "{s3cret: "}, "other is missing, unknown or wrong"),
    (run, ["x"], {"timeout": "s3cret"}, "timeout is missing, unknown or wrong"),
    (run, ["x"], {"pasword": "s3cret"}, "pasword is missing, unknown or wrong"),
    (run, ["s3cret"], {"cmd": "s3cret"}, "cmd is missing, unknown or wrong"),
    (run, [], {}, "cmd is missing, unknown or wrong"),
    (exec_, ["s3cret"], {"argv": "[s3cret]"}, "argv is missing, unknown or wrong"),
    (run, ["s3cret", "s3cret"], {}, "its arguments do not fit"),
])
def test_a_log_gets_no_values(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], plain: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        call(function, args, kwargs)
    assert caught.value.plain == f"cannot call test.it: {plain}"


def test_usage_is_written_only_for_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # It costs more than all the rest of a call that fits.
    written: list[str] = []

    def count(name: str, info: FunctionInfo) -> str:
        written.append(name)
        return usage(name, info)

    monkeypatch.setattr(values, "usage", count)
    call(run, ["ls"], {"timeout": "5s"})
    assert written == []
    error(run)
    assert written == ["test.it"]
