"""Functions that answer inside the agent, and how a function is called on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from common.codec import CodecError, pack, unpack
from common.errors import NotFoundError, UsageError
from common.functions import Failed, FunctionInfo, Param
from common.host import inline
from common.host.planner import TablePlanner
from common.messages import JobFields, Return
from common.states import State
from tests.lib.cores import record
from tests.lib.stored import jid


def called(function: Callable[..., Any], **more: Any) -> Return:
    """What a call of it with the record's one argument gives."""
    return asyncio.run(inline.call(function, record(jid(1), **more), None))


def test_a_value() -> None:
    message = called(lambda text: {"said": text})
    assert (message.state, message.retcode, message.truncated) == (State.SUCCEEDED, 0, False)
    assert isinstance(message.value, Raw)
    assert unpack(message.value) == {"said": "true"}
    assert message.job.args == Raw(pack(["true"]))
    assert message.started is not None
    assert message.duration is not None
    assert message.ended == message.started + message.duration


def test_it_may_wait() -> None:
    async def slow(text: str) -> str:
        await asyncio.sleep(0)
        return text

    assert unpack(called(slow).value) == "true"  # type: ignore[arg-type]


def test_its_failure_is_the_jobs_own() -> None:
    def wrong(_: str) -> None:
        raise KeyError("colour")

    def failed(_: str) -> None:
        raise Failed("it is too dark", value=[1])

    def silent(_: str) -> None:
        raise ValueError

    for function, reason, value in ((wrong, "KeyError: 'colour'", None), (failed, "it is too dark", [1]),
                                    (silent, "ValueError: ValueError", None)):
        message = called(function)
        assert (message.state, message.retcode, message.evidence.reason) == (State.FAILED, 1, reason)
        assert unpack(message.value) == value  # type: ignore[arg-type]


def test_a_value_that_cannot_be_packed_fails_alone_and_is_named() -> None:
    message = called(lambda _: [1, object()])
    assert message.state is State.FAILED
    assert message.evidence.reason == "TypeError: cannot pack the value[1], a object: only plain data can be sent"


def test_a_value_above_the_limit_is_cut_and_the_state_stays() -> None:
    message = called(lambda _: "x" * 1000, return_limit=100)
    assert (message.state, message.truncated) == (State.SUCCEEDED, True)
    assert unpack(message.value) == "x" * 25  # type: ignore[arg-type]


def test_it_is_never_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(inline, "LONGEST", 0.01)
    for timeout in (None, 0.001, 3600.0):
        message = called(stuck, timeout=timeout)
        assert (message.state, message.retcode) == (State.TIMED_OUT, 1)
        assert message.evidence.reason is not None
        assert message.evidence.reason.startswith("it took more than ")


# how a function is called


def info(*params: Param, inline: bool = False) -> FunctionInfo:
    return {"doc": "", "params": list(params), "inline": inline, "reads": inline}


COUNT: Param = {"name": "count", "kind": "positional", "hint": "int", "required": True, "default": None}
PLANNER = TablePlanner(lambda: {"x.many": info(COUNT), "x.ping": info(inline=True)}, lambda: {"bad": "SyntaxError"})


def fields(function: str, args: Any = (), kwargs: Any = None, **more: Any) -> JobFields:
    return JobFields(function=function, args=Raw(pack(args)), kwargs=Raw(pack({} if kwargs is None else kwargs)),
                     user="ann", **more)


def test_arguments_are_bound_by_the_table() -> None:
    plan = PLANNER.plan(fields("x.many", ["3"], typed=True, timeout=9.0))
    assert (plan.args, plan.kwargs, plan.timeout, plan.inline, plan.reads) == ([3], {}, 9.0, False, False)
    assert PLANNER.plan(fields("x.many", [], {"count": 3})).args == [3]
    assert PLANNER.plan(fields("x.ping")).inline


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"x\.mayn"):
        PLANNER.plan(fields("x.mayn"))


@pytest.mark.parametrize(("args", "kwargs"), [
    ([], {}), ([1, 2], {}), ([1], {"colour": 1}), ({}, {}), ([], []), ("x", {})])
def test_arguments_that_do_not_fit(args: Any, kwargs: Any) -> None:
    with pytest.raises(UsageError, match=r"^cannot call x\.many: "):
        PLANNER.plan(fields("x.many", args, kwargs))


def test_arguments_that_do_not_unpack() -> None:
    with pytest.raises(CodecError):
        PLANNER.plan(JobFields(function="x.many", args=Raw(b"\xc1"), user="ann"))
