"""R-A23: what may be shown of a job, what is carried beside it, and how the two come together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from common.cli.arguments import Arguments
from common.cli.secrets import LIMIT, with_secrets
from common.codec import ARGS_LIMIT, pack, unpack
from common.errors import UsageError
from common.functions import FunctionInfo, Param
from common.host.planner import TablePlanner
from common.messages import NO_SECRETS, JobFields
from common.proc.seal import redact, unseal
from common.schedule.entries.entries import parse_entry
from common.secrets import HIDDEN, hide, opened, shown, told_of
from common.values import ArgumentsError

CANARY = "canary-7Hq3"


def fields(function: str = "mine.go", kwargs: dict[str, Any] | None = None, *, typed: bool = True) -> JobFields:
    return JobFields(function=function, args=Raw(pack([])), kwargs=Raw(pack(kwargs or {})), user="ann", typed=typed)


def param(name: str, kind: Any = "positional", hint: Any = "str", required: bool = True) -> Param:
    return Param(name=name, kind=kind, hint=hint, required=required, default=None)


def planner(*params: Param) -> TablePlanner:
    info = FunctionInfo(doc="", params=list(params), inline=False, reads=False)
    return TablePlanner(lambda: {"mine.go": info, "cmd.run": info}, dict)


class TestHide:
    @pytest.mark.parametrize("function", ["cmd.run", "cmd.exec", "cmd.script"])
    def test_environment_and_input_of_commands_always_are(self, function: str) -> None:
        told, secrets = hide(fields(function, {"env": {"TOKEN": CANARY}, "stdin": CANARY, "cwd": "/"}))
        assert unpack(told.kwargs) == {"env": {"TOKEN": HIDDEN}, "stdin": HIDDEN, "cwd": "/"}
        assert opened(secrets) == {"env": {"TOKEN": CANARY}, "stdin": CANARY}

    def test_those_of_other_functions_only_when_they_are_marked(self) -> None:
        open_fields = fields(kwargs={"env": "a", "password": CANARY})
        assert hide(open_fields) == (open_fields, NO_SECRETS)
        told, secrets = hide(open_fields, marked=["password"])
        assert unpack(told.kwargs) == {"env": "a", "password": HIDDEN}
        assert opened(secrets) == {"password": CANARY}

    def test_what_is_hidden_already_is_left_alone(self) -> None:
        # The host hides once more what the master has hidden.
        first = hide(fields("cmd.run", {"env": {"TOKEN": CANARY}}))
        assert hide(*first) == first

    @pytest.mark.parametrize("value", [None, ""])
    def test_nothing_is_no_secret(self, value: Any) -> None:
        told, secrets = hide(fields("cmd.run", {"stdin": value}))
        assert (unpack(told.kwargs), secrets) == ({"stdin": value}, NO_SECRETS)

    @pytest.mark.parametrize(("value", "seen"), [
        ({"A": "x", "B_2": 1}, {"A": HIDDEN, "B_2": HIDDEN}), ("{A: x}", {"A": HIDDEN}), ('{"A": "x"}', {"A": HIDDEN}),
        (CANARY, HIDDEN), ("{TOKEN=canary}", HIDDEN), ("{canary}", HIDDEN), ("{A:canary}", HIDDEN), ("{A: [", HIDDEN),
        ({"a b": "x"}, HIDDEN), ({1: "x"}, HIDDEN), (["A"], HIDDEN), (5, HIDDEN)])
    def test_only_the_names_of_variables_are_shown(self, value: Any, seen: Any) -> None:
        assert shown("env", value) == seen
        assert shown("password", value) == HIDDEN

    def test_what_is_shown_is_never_longer_than_what_was_given(self) -> None:
        many = {f"V{number}": "" for number in range(9_000)}
        told, _ = hide(fields("cmd.run", {"env": many}))
        assert unpack(told.kwargs) == {"env": HIDDEN}
        assert len(bytes(told.kwargs)) < ARGS_LIMIT

    def test_a_mark_that_cannot_be_kept(self) -> None:
        with pytest.raises(UsageError, match="cannot hide the argument 'pasword': it is not among the named ones"):
            hide(fields(kwargs={"password": CANARY}), marked=["pasword"])
        for function, name in (("cmd.run", "cmd"), ("cmd.exec", "argv"), ("cmd.script", "args"), ("cmd.run", "cwd")):
            with pytest.raises(UsageError, match="every user of its host can read") as caught:
                hide(fields(function, {name: CANARY}), marked=[name])
            assert CANARY not in str(caught.value)
        assert opened(hide(fields("cmd.script", {"script": CANARY}), marked=["script"])[1]) == {"script": CANARY}

    @pytest.mark.parametrize("packed", [b"\x90", b"\x81\x01\x02", b"\xc0"])
    def test_no_map_of_secrets(self, packed: bytes) -> None:
        with pytest.raises(UsageError, match="secrets"):
            opened(Raw(packed))

    def test_arguments_that_are_no_map_are_the_planners_affair(self) -> None:
        odd = JobFields(function="cmd.run", kwargs=Raw(pack([1])), user="ann")
        assert hide(odd) == (odd, NO_SECRETS)

    def test_of_an_entry_of_a_schedule(self) -> None:
        entry = parse_entry("x", {"function": "mine.go", "every": "1s", "kwargs": {"a": CANARY, "b": 1},
                                  "secret": ["a"]})
        assert told_of(entry.function, entry.kwargs, entry.secret) == {"a": HIDDEN, "b": 1}
        assert CANARY not in repr(entry)
        assert told_of("cmd.run", {"env": {"A": CANARY}, "stdin": None}, []) == {"env": {"A": HIDDEN}, "stdin": None}

    @pytest.mark.parametrize("secret", ["a", ["b"], [1]])
    def test_a_mark_of_an_entry_that_names_nothing(self, secret: Any) -> None:
        with pytest.raises(UsageError, match="cannot use the schedule 'x': ") as caught:
            parse_entry("x", {"function": "mine.go", "every": "1s", "kwargs": {"a": CANARY}, "secret": secret})
        assert CANARY not in str(caught.value)


class TestSeal:
    @pytest.mark.parametrize(("params", "kwargs", "args", "named"), [
        ([param("password")], {"password": CANARY}, [CANARY], {}),
        ([param("password", "keyword")], {"password": CANARY}, [], {"password": CANARY}),
        ([param("a"), param("b", required=False), param("password", required=False)],
         {"a": "x", "password": CANARY}, ["x"], {"password": CANARY}),
        ([param("a"), param("password")], {"password": CANARY, "a": "x"}, ["x", CANARY], {}),
        ([param("all", "var_positional")], {"all": f"[{CANARY}, two]"}, [CANARY, "two"], {}),
        ([param("rest", "var_keyword", "any")], {"password": CANARY}, [], {"password": CANARY}),
        ([param("password", hint="dict")], {"password": f"{{a: {CANARY}}}"}, [{"a": CANARY}], {}),
    ])
    def test_wherever_a_secret_stands_it_is_not_shown_and_comes_back(self, params: list[Param], kwargs: dict[str, Any],
                                                                     args: list[Any], named: dict[str, Any]) -> None:
        marked = [name for name, value in kwargs.items() if CANARY in value]
        plan = planner(*params).plan(*hide(fields(kwargs=kwargs), marked=marked))
        assert CANARY not in repr((plan.args, plan.kwargs))
        call = unseal(plan.args, plan.kwargs, plan.sealed)
        assert (call.args, call.kwargs) == (args, named)
        assert CANARY in call.texts

    def test_a_job_without_secrets_has_no_seal(self) -> None:
        plan = planner(param("a")).plan(fields(kwargs={"a": "x"}))
        assert (plan.sealed, unseal(plan.args, plan.kwargs, plan.sealed)) == (b"", (["x"], {}, []))

    @pytest.mark.parametrize("damaged", [b"\x00", b"\xc1", pack([]), pack({}), pack({"args": 1}), pack(CANARY)])
    def test_a_damaged_one_is_never_quoted(self, damaged: bytes) -> None:
        with pytest.raises(ValueError, match=r"^its secrets are damaged$"):
            unseal([], {}, damaged)

    def test_errors_name_the_argument_and_not_the_value(self) -> None:
        for params, kwargs, text in (
                ([param("number", hint="int")], {"number": CANARY}, "number must be a whole number (its value"),
                ([param("all", hint="list")], {"all": f"[{CANARY}"}, "all must be a list such as [a, b] (its"),
                ([param("other", required=False)], {"number": CANARY}, "it takes no argument named number"),
                ([param("timeout", "lifted", "any")], {"timeout": CANARY}, "timeout must be ")):
            with pytest.raises(ArgumentsError) as caught:
                planner(*params).plan(*hide(fields(kwargs=kwargs), marked=list(kwargs)))
            assert text in str(caught.value)
            assert CANARY not in f"{caught.value} {caught.value.plain} {caught.value.__cause__}"


class TestRedact:
    def test_all_forms_of_a_secret(self) -> None:
        secret = "first line\nsecond 'line'\n"
        plan = planner(param("a")).plan(*hide(fields(kwargs={"a": secret}), marked=["a"]))
        texts = unseal(plan.args, plan.kwargs, plan.sealed).texts
        for text in (secret, repr(secret), "it said: second 'line'"):
            assert "line" not in redact(text, texts).replace("it said: ", "")
        assert sorted(texts, key=len, reverse=True) == texts

    def test_numbers_and_what_lies_deeper_but_nothing_short(self) -> None:
        plan = planner(param("a", hint="any")).plan(
            *hide(fields(kwargs={"a": {"pin": 123456, "key": ["abcdef"], "no": True, "x": "ab"}}, typed=False),
                  marked=["a"]))
        texts = unseal(plan.args, plan.kwargs, plan.sealed).texts
        assert redact("123456 abcdef True ab", texts) == "*** *** True ab"

    def test_names_of_variables_stay(self) -> None:
        plan = planner(param("env", "keyword", "dict")).plan(*hide(fields("cmd.run", {"env": "{TOKEN: abcdef}"})))
        texts = unseal(plan.args, plan.kwargs, plan.sealed).texts
        assert redact("env TOKEN is abcdef", texts) == "env TOKEN is ***"


class TestCommandLine:
    def given(self, *words: str, kwargs: dict[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
        arguments, names = with_secrets(Arguments([], kwargs or {}), words)
        return arguments.kwargs, names

    def test_from_the_line_and_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("from a file\n\n")
        assert self.given(f"a={CANARY}", f"b=@{tmp_path}/file", "c=@@x", "d=x=y", kwargs={"e": "f"}) == (
            {"e": "f", "a": CANARY, "b": "from a file\n", "c": "@x", "d": "x=y"}, ["a", "b", "c", "d"])

    @pytest.mark.parametrize(("words", "text"), [
        ([CANARY], "it must be KEY=VALUE"), (["=" + CANARY], "it must be KEY=VALUE"),
        (["a b=" + CANARY], "it must be KEY=VALUE"), (["a=" + CANARY, "a=" + CANARY], "a= is given twice"),
        (["a=@-", "b=@-"], "two secrets from stdin"), (["a=@/no/such"], "/no/such: No such file or directory"),
        (["a=@/tmp"], "/tmp: Is a directory")])
    def test_errors_never_quote_it(self, words: list[str], text: str) -> None:
        with pytest.raises(UsageError) as caught:
            self.given(*words)
        assert text in str(caught.value)
        assert CANARY not in str(caught.value)

    def test_files_that_are_no_secret(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * (LIMIT + 1))
        with pytest.raises(UsageError, match="it has more than 131072 bytes"):
            self.given(f"a=@{path}")
        path.write_bytes(b"\xff")
        with pytest.raises(UsageError, match="it is not UTF-8 text"):
            self.given(f"a=@{path}")
