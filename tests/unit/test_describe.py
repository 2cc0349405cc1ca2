"""The table's line for a function, and calling one with what it asks for."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal, Optional

import pytest

from common.functions import Agent, Command, Failed, Job, inline, inline_reads, invoke
from common.ids import Jid
from common.proc.describe import Unusable, describe, hint_of
from common.proc.given import give
from runners.api import Master

JOB = Job(jid=Jid("20260102030405123456"), function="test.it", user="ann")


class TestHints:
    @pytest.mark.parametrize(("annotation", "hint"), [
        (str, "str"), (int, "int"), (float, "float"), (bool, "bool"), (list, "list"), (dict, "dict"),
        (list[str], "list"), (dict[str, int], "dict"), (str | None, "str"), (Optional[int], "int"),  # noqa: UP045
        (int | str, "any"), (Annotated[int, "ports"], "int"), (Literal["a", "b"], "str"), (Literal["a", 1], "any"),
        (Any, "any"), (bytes, "any"), (inspect.Parameter.empty, "any"), ("str", "str"), ("Missing", "any"),
        ([1, 2], "any"),
    ])
    def test_each(self, annotation: Any, hint: str) -> None:
        assert hint_of(annotation) == hint


class TestDescribe:
    def test_kinds_defaults_and_help(self) -> None:
        def copy(source: str, count: int = 3, *more: str, deep: bool = False, **rest: float) -> None:
            """Copy it.

            And more.
            """

        info = describe(copy)
        assert info["doc"] == "Copy it.\n\nAnd more."
        assert not info["inline"]
        assert not info["reads"]
        assert [(p["name"], p["kind"], p["hint"], p["required"], p["default"]) for p in info["params"]] == [
            ("source", "positional", "str", True, None),
            ("count", "positional", "int", False, 3),
            ("more", "var_positional", "str", False, None),
            ("deep", "keyword", "bool", False, False),
            ("rest", "var_keyword", "float", False, None),
        ]

    def test_without_help(self) -> None:
        def bare(x):  # type: ignore[no-untyped-def]
            pass

        assert describe(bare)["doc"] == ""
        assert describe(bare)["params"][0]["hint"] == "any"

    def test_a_default_that_is_no_plain_data_is_not_shown(self) -> None:
        def odd(x: Any = object(), y: Any = float("nan"), z: Any = (1, 2)) -> None:  # noqa: B008
            pass

        assert [param["default"] for param in describe(odd)["params"]] == [None, None, [1, 2]]

    def test_inline_is_marked(self) -> None:
        @inline(reads=True)
        async def look(*, agent: Agent) -> bool:
            return True

        @inline(reads=False)
        def change() -> None:
            pass

        assert describe(look) == {"doc": "", "params": [], "inline": True, "reads": True}
        assert describe(change)["inline"]
        assert not describe(change)["reads"]
        assert inline_reads(describe) is None

    def test_what_jr_fills_in_is_not_shown(self) -> None:
        def watch(path: str, job: Job) -> None:
            pass

        assert [param["name"] for param in describe(watch)["params"]] == ["path"]

    def test_a_job_that_is_no_Job_is_an_ordinary_parameter(self) -> None:
        def print_(job: str, agent: int) -> None:
            pass

        assert [param["name"] for param in describe(print_)["params"]] == ["job", "agent"]

    def test_the_time_limit_of_a_command_is_lifted(self) -> None:
        def run(cmd: str, *, timeout: float | None = None) -> Command:
            return Command([cmd])

        def fetch(url: str, *, timeout: float = 5) -> str:
            return url

        def positional(cmd: str, timeout: float = 5) -> Command:
            return Command([cmd])

        assert describe(run)["params"][1]["kind"] == "lifted"
        assert describe(fetch)["params"][1]["kind"] == "keyword"
        assert describe(positional)["params"][1]["kind"] == "positional"

    def test_async_is_for_inline_only(self) -> None:
        async def wait() -> None:
            pass

        with pytest.raises(Unusable, match="wait is async"):
            describe(wait)

    def test_the_agent_is_for_inline_only(self) -> None:
        def spy(agent: Agent) -> None:
            pass

        with pytest.raises(Unusable, match="spy asks for the agent"):
            describe(spy)

    def test_job_must_be_plain(self) -> None:
        def odd(job: Job, /) -> None:
            pass

        with pytest.raises(Unusable, match="the job of odd must be a plain parameter"):
            describe(odd)

    def test_annotations_that_cannot_be_evaluated_stay_text(self) -> None:
        namespace: dict[str, Any] = {}
        exec("def f(a: 'Gone', b: 'int', c: '1 / 0') -> None: pass", namespace)
        assert [param["hint"] for param in describe(namespace["f"])["params"]] == ["any", "int", "any"]

    def test_a_function_without_a_signature(self) -> None:
        def odd() -> None:
            pass

        odd.__signature__ = "none"  # type: ignore[attr-defined]
        with pytest.raises(Unusable, match="odd has no signature"):
            describe(odd)


class TestInvoke:
    def test_job_between_positional_arguments(self) -> None:
        def note(a: str, job: Job, b: str = "-") -> str:
            return f"{a} {job.user} {b}"

        assert invoke(note, ["x"], {}, job=JOB) == "x ann -"
        assert invoke(note, ["x", "y"], {}, job=JOB) == "x ann y"
        assert invoke(note, [], {"a": "x", "b": "y"}, job=JOB) == "x ann y"

    def test_by_keyword(self) -> None:
        def note(*rest: int, job: Job, **more: int) -> tuple[Any, ...]:
            return rest, job.function, more

        assert invoke(note, [1, 2], {"c": 3}, job=JOB) == ((1, 2), "test.it", {"c": 3})

    def test_nothing_asked_for(self) -> None:
        def add(a: int, b: int = 1) -> int:
            return a + b

        assert invoke(add, [1], {"b": 5}, job=JOB, agent=None) == 6

    def test_a_caller_cannot_put_in_a_job_of_its_own(self) -> None:
        def who(*, job: Job) -> str:
            return job.user

        assert invoke(who, [], {"job": "root"}, job=JOB) == "ann"

    def test_failed_carries_a_value(self) -> None:
        assert Failed("no", {"left": 3}).value == {"left": 3}
        assert str(Failed("no")) == "no"

    def test_a_signature_is_worked_out_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def greet(name: str, job: Job) -> str:
            return f"{name} {job.user}"

        describe(greet)  # as the spawner does, before it forks
        monkeypatch.setattr(inspect, "signature", None)
        assert invoke(greet, ["hello"], {}, job=JOB) == "hello ann"
        assert invoke(greet, [], {"name": "hello"}, job=JOB) == "hello ann"

    def test_so_is_that_of_a_function_which_is_given_something(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def count(text: str, master: Master) -> int:
            return len(text)

        given = give({"x.count": count}, {"master": ["builtins", "str", "it"]})["x.count"]
        monkeypatch.setattr(inspect, "signature", None)
        assert invoke(given, ["hello"], {}, job=JOB) == 5
