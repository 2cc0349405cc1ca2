"""The table, binding and calling fit together: whatever is typed or sent, a call works or is refused in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codec import pack, unpack
from common.errors import UsageError
from common.functions import FunctionInfo, Job, invoke
from common.ids import Jid
from common.proc.describe import describe
from common.proc.loader import load
from common.values import Bound, bind

STEADY = settings(deadline=None, derandomize=True)
"""The same cases each time, however busy the machine is."""

LOADED = load({"packages": ["minion.functions"]})
JOB = Job(jid=Jid("20260102030405123456"), function="test.it", user="ann")


def plain(a: str, b: int = 1) -> Any:
    return a, b


def middle(a: str, job: Job, b: float = 1.0, *, c: bool = False) -> Any:
    return a, job, b, c


def positional_only(a: str, /, b: int = 0) -> Any:
    return a, b


def everything(a: str, b: list[Any] | None = None, *rest: int, c: dict[str, Any] | None = None, **more: Any) -> Any:
    return a, b, rest, c, more


FUNCTIONS = [plain, middle, positional_only, everything]

names = st.sampled_from(["a", "b", "c", "rest", "job", "agent", "timeout", "cmd", "jid", "x"]) | st.text(max_size=5)
texts = st.text(max_size=8) | st.sampled_from(
    ["", "5", "1.5", "true", "null", "[1, 2]", "{a: 1}", "[", "a=b", "nan", "9" * 30])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner, max_size=3), max_leaves=6)


def bound_or_refused(info: FunctionInfo, name: str, args: list[Any], kwargs: dict[str, Any],
                     typed: bool) -> Bound | None:
    """What was bound; None when it was refused in the one line that is due."""
    bound, refused = None, ""
    try:
        bound = bind(info, name, args, kwargs, typed)
    except UsageError as error:
        refused = str(error)
    assert bound is not None or refused.startswith(f"cannot call {name}: ")
    assert len(refused.splitlines()) <= 1
    assert len(refused) < 1500
    return bound


def attempt(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], typed: bool) -> None:
    bound = bound_or_refused(describe(function), "test.it", args, kwargs, typed)
    if bound is None:
        return
    sent = pack([bound.args, bound.kwargs])
    assert unpack(sent) == [bound.args, bound.kwargs]
    # What was bound can be called: no TypeError is left for the payload to meet.
    invoke(function, bound.args, bound.kwargs, job=JOB, agent=None)


@pytest.mark.parametrize("function", FUNCTIONS)
@STEADY
@given(args=st.lists(texts, max_size=4), kwargs=st.dictionaries(names, texts, max_size=3))
def test_typed(function: Callable[..., Any], args: list[str], kwargs: dict[str, str]) -> None:
    attempt(function, args, kwargs, typed=True)


@pytest.mark.parametrize("function", FUNCTIONS)
@STEADY
@given(args=st.lists(values, max_size=4), kwargs=st.dictionaries(names, values, max_size=3), typed=st.booleans())
def test_sent(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], typed: bool) -> None:
    attempt(function, args, kwargs, typed)


@pytest.mark.parametrize("name", sorted(LOADED.table))
@STEADY
@given(args=st.lists(texts, max_size=3), kwargs=st.dictionaries(names, texts, max_size=2))
def test_built_in_functions_take_what_is_bound(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    bound = bound_or_refused(LOADED.table[name], name, args, kwargs, typed=True)
    if bound is None:
        return
    given_by_jr = {key: None for key in inspect.signature(LOADED.functions[name]).parameters if key in ("job", "agent")}
    inspect.signature(LOADED.functions[name]).bind(*bound.args, **bound.kwargs, **given_by_jr)


class TestExamples:
    """How calls from the manual come out."""

    @pytest.mark.parametrize(("name", "args", "kwargs", "bound_args", "bound_kwargs", "timeout"), [
        ("cmd.run", ["df -h | sort"], {"cwd": "/srv", "timeout": "30s"}, ["df -h | sort"], {"cwd": "/srv"}, 30.0),
        ("cmd.run", ["echo 5"], {"env": "{PORT: 80}"}, ["echo 5"], {"env": {"PORT": 80}}, None),
        ("cmd.run", ["true"], {}, ["true"], {}, None),
        ("cmd.exec", ["ls", "-l", "5"], {"runas": "ann"}, ["ls", "-l", "5"], {"runas": "ann"}, None),
        ("cmd.script", ["echo hi"], {"args": "[--all, 5]"}, ["echo hi"], {"args": ["--all", 5]}, None),
        ("cmd.script", [], {"source": "/srv/tidy.sh"}, [], {"source": "/srv/tidy.sh"}, None),
        ("test.echo", ["{ports: [80, 443]}"], {}, [{"ports": [80, 443]}], {}, None),
        ("test.sleep", ["30"], {}, [30.0], {}, None),
        ("saltutil.find_job", ["20260102030405123456"], {}, ["20260102030405123456"], {}, None),
        ("job.signal_job", ["20260102030405123456", "9"], {}, ["20260102030405123456", "9"], {}, None),
        ("job.term_job", ["20260102030405123456", "3"], {}, ["20260102030405123456", 3.0], {}, None),
        ("facts.get", ["memory:total", "0"], {}, ["memory:total", 0], {}, None),
        ("sys.doc", [], {"name": "cmd.run"}, ["cmd.run"], {}, None),
    ])
    def test_each(self, name: str, args: list[str], kwargs: dict[str, str], bound_args: list[Any],
                  bound_kwargs: dict[str, Any], timeout: float | None) -> None:
        assert bind(LOADED.table[name], name, args, kwargs, typed=True) == (bound_args, bound_kwargs, timeout)

    @pytest.mark.parametrize(("name", "args", "kwargs", "reason"), [
        ("test.ping", ["x"], {}, "it takes no argument by position"),
        ("job.find_job", [], {}, "it needs jid"),
        ("job.running", [], {"agent": "x"}, "it takes no argument named agent"),
        ("job.kill_job", ["20260102030405123456"], {"job": "x"}, "it takes no argument named job"),
        ("cmd.run", ["ls", "-l"], {}, "put text with spaces in quotes"),
        ("cmd.run", ["ls"], {"runsa": "ann"}, "did you mean runas?"),
        ("test.sleep", ["long"], {}, "seconds must be a number, not long"),
        ("cmd.run", ["ls"], {"env": "PORT=80"}, "env must be a map such as {key: value}"),
    ])
    def test_what_is_refused(self, name: str, args: list[str], kwargs: dict[str, str], reason: str) -> None:
        with pytest.raises(UsageError) as caught:
            bind(LOADED.table[name], name, args, kwargs, typed=True)
        assert reason in str(caught.value)
