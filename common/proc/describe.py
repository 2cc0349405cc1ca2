"""A Python function to its line in the table: help, parameters, type hints. By its signature; nothing is called."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable
from typing import Any

from common.functions import LIFTED, Command, FunctionInfo, Hint, Kind, Param, inline_reads, is_given, signature

_HINTS: dict[Any, Hint] = {str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict"}
_NAMES: dict[str, Hint] = {kind.__name__: hint for kind, hint in _HINTS.items()}
_KINDS: dict[Any, Kind] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "var_positional",
    inspect.Parameter.VAR_KEYWORD: "var_keyword",
}


class Unusable(Exception):
    """A module, or a function in it, that cannot be offered; the text says why, as a clause."""


def describe(function: Callable[..., Any]) -> FunctionInfo:
    """The table's line for `function`. Raises Unusable when it asks for what it cannot get."""
    reads = inline_reads(function)
    name = function.__name__
    if reads is None and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise Unusable(f"{name} is async, and only inline functions may be")
    try:
        found = signature(function)
    except (TypeError, ValueError) as error:
        raise Unusable(f"{name} has no signature: {error}") from error
    params: list[Param] = []
    for parameter in found.parameters.values():
        if is_given(parameter):
            _check_given(name, parameter, inline=reads is not None)
        else:
            params.append(_param(parameter, found))
    return {"doc": inspect.getdoc(function) or "", "params": params, "inline": reads is not None, "reads": bool(reads)}


def _check_given(function: str, parameter: inspect.Parameter, *, inline: bool) -> None:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise Unusable(f"the {parameter.name} of {function} must be a plain parameter")
    if parameter.name == "agent" and not inline:
        raise Unusable(f"{function} asks for the agent, and only inline functions may")


def _param(parameter: inspect.Parameter, found: inspect.Signature) -> Param:
    kind = _KINDS[parameter.kind]
    command = found.return_annotation in (Command, Command.__name__)
    if kind == "keyword" and parameter.name in LIFTED and command:
        kind = "lifted"
    required = parameter.default is parameter.empty and not kind.startswith("var_")
    return {"name": parameter.name, "kind": kind, "hint": hint_of(parameter.annotation), "required": required,
            "default": None if parameter.default is parameter.empty else _plain(parameter.default)}


def hint_of(annotation: Any) -> Hint:
    """How text is converted for this annotation; `any` for all that is not exactly one plain type, None apart."""
    if isinstance(annotation, str):  # it named something that is not there
        return _NAMES.get(annotation, "any")
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = {hint_of(part) for part in typing.get_args(annotation) if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else "any"
    if origin is typing.Annotated:
        return hint_of(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        kinds = {_HINTS.get(type(value), "any") for value in typing.get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else "any"
    try:
        return _HINTS.get(origin or annotation, "any")
    except TypeError:  # an annotation may be any object, also one that cannot be looked up
        return "any"


def _plain(default: Any) -> Any:
    try:
        return json.loads(json.dumps(default, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None
