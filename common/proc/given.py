"""What a function gets from its host beside its arguments: for a runner, the master. Made in the job's own process."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from common.functions import invoke, is_given, signature


def give(functions: Mapping[str, Callable[..., Any]],
         sources: Mapping[str, list[str]]) -> dict[str, Callable[..., Any]]:
    """The functions, those that ask for one of `sources` with that parameter filled in when they are called.

    A source is [module, function, argument]: what it returns is the value. Its module is imported in the job.
    """
    return {name: _with(function, sources) for name, function in functions.items()}


def _with(function: Callable[..., Any], sources: Mapping[str, list[str]]) -> Callable[..., Any]:
    found = signature(function)
    asked = [parameter.name for parameter in found.parameters.values()
             if parameter.name in sources and is_given(parameter)]
    if not asked:
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        return invoke(function, args, kwargs, **{name: _make(*sources[name]) for name in asked})

    rest = [parameter for parameter in found.parameters.values() if parameter.name not in asked]
    call.__signature__ = inspect.Signature(rest)  # type: ignore[attr-defined]
    signature(call)  # kept for every fork, as that of any other function is since it was described
    return call


def _make(module: str, function: str, argument: str) -> Any:
    return getattr(importlib.import_module(module), function)(argument)
