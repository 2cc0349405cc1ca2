"""Functions as people see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.proc.describe import describe
from common.signatures import shown, usage


def nothing() -> None: ...
def all_kinds(a: str, b: int = 3, *rest: str, force: bool, **more: float) -> None: ...
def keyword_only(a, *, x=1, y: str = "z") -> None: ...  # type: ignore[no-untyped-def]
def long_default(a: str = "x" * 500) -> None: ...


@pytest.mark.parametrize(("function", "text"), [
    (nothing, "m.f()"),
    (all_kinds, "m.f(a: str, b: int = 3, *rest: str, force: bool, **more: float)"),
    (keyword_only, "m.f(a, *, x=1, y: str = 'z')"),
])
def test_usage(function: Callable[..., Any], text: str) -> None:
    assert usage("m.f", describe(function)) == text


def test_a_long_default_is_cut() -> None:
    assert len(usage("m.f", describe(long_default))) < 120


def test_shown() -> None:
    assert shown("cmd.run") == "cmd.run"
    assert shown("\x1b[2J\n") == "\\x1b[2J\\n"
    assert shown("x" * 500) == "x" * 80 + "..."
