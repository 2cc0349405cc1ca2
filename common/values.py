"""Arguments of a job to the arguments of its function, by the table: bound to parameters, converted, checked."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from common import typed as typed_text
from common.durations import parse_duration
from common.errors import UsageError
from common.functions import GIVEN, FunctionInfo, Hint, Param, Table
from common.functions import LIFTED as LIFTED
from common.signatures import no_such, shown, usage
from common.text import closest

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "dict": (dict,),
    "any": (object,),
}
_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
          "list": "a list such as [a, b]", "dict": "a map such as {key: value}", "any": "plain data"}


class ArgumentsError(UsageError):
    """Arguments do not fit their function. Its text may quote them, so it is for whoever gave them."""

    def __init__(self, text: str, plain: str) -> None:
        """`plain` is the same for a log: it names the argument and never its value."""
        super().__init__(text)
        self.plain = plain


class _Misfit(ValueError):
    """A clause of what is wrong, and the name of the argument that is, or nothing when it is no single one."""

    def __init__(self, clause: str, where: str = "", plain: str = "") -> None:
        """`plain` is the clause without the value, where the clause quotes one."""
        super().__init__(clause)
        self.where = where
        self.plain = plain or clause


class Bound(NamedTuple):
    """A call that fits its function."""

    args: list[Any]
    kwargs: dict[str, Any]
    timeout: float | None
    """Seconds, when the caller gave a `timeout` that is lifted into the job; None means nothing was said."""


def unknown(name: str, table: Table, broken: Mapping[str, str] | None = None, *, runner: bool = False) -> str:
    """The error line for a function, or a runner, that is not in the table, with what was probably meant."""
    if runner:
        reason = no_such(name, table, broken or {}, "there is no such runner; `jr-run --list` shows the built-in ones")
        return f"cannot run {shown(name)}: {reason}"
    return f"cannot call {shown(name)}: {no_such(name, table, broken or {})}"


def bind(info: FunctionInfo, name: str, args: list[Any], kwargs: Mapping[str, Any], typed: bool,
         secret: Collection[str] = ()) -> Bound:
    """The arguments as the function will get them. With `typed` they are the text that somebody typed. The values of
    those named in `secret` are not quoted in errors.

    Raises ArgumentsError, "cannot call cmd.run: ...", when one is missing, unknown, too many, given twice, or of the
    wrong kind.
    """
    try:
        return _Binder(info, name, typed).bind(args, kwargs)
    except _Misfit as error:
        cannot = f"cannot call {shown(name)}"
        plain = f"{error.where} is missing, unknown or wrong" if error.where else "its arguments do not fit"
        if error.where in map(shown, secret):
            # Not `from error`, whose text has the value.
            raise ArgumentsError(f"{cannot}: {error.plain} (its value is secret)", f"{cannot}: {plain}") from None
        raise ArgumentsError(f"{cannot}: {error}", f"{cannot}: {plain}") from error


class _Binder:
    """Binds the arguments of one call. Raises _Misfit."""

    def __init__(self, info: FunctionInfo, name: str, typed: bool) -> None:
        params = info["params"]
        self._info = info
        self._name = name
        self._typed = typed
        self._positional = [param for param in params if param["kind"] == "positional"]
        self._by_name = {param["name"]: param for param in params if not param["kind"].startswith("var_")}
        self._rest = next((param for param in params if param["kind"] == "var_positional"), None)
        self._extra = next((param for param in params if param["kind"] == "var_keyword"), None)

    def bind(self, args: list[Any], kwargs: Mapping[str, Any]) -> Bound:
        named = {key: self._named(key, value, args) for key, value in kwargs.items()}
        positional = [self._convert(param, value) for param, value in zip(self._positional, args, strict=False)]
        rest = self._all_rest(args[len(positional):], named)
        for param in self._positional[:len(positional)]:
            if param["name"] in named:
                raise _Misfit(f"{param['name']} is given twice", param["name"])
        timeout = named.pop("timeout") if self._lifts() and "timeout" in named else None
        # What was given by name goes into its place, so that a function is called the same way however it was written.
        for param in self._positional[len(positional):]:
            if param["name"] not in named:
                break
            positional.append(named.pop(param["name"]))
        self._check_missing(len(positional), named, rest)
        return Bound(positional + rest, named, timeout)

    def _written(self) -> str:
        return f"write {usage(self._name, self._info)}"

    def _lifts(self) -> bool:
        return any(param["kind"] == "lifted" for param in self._by_name.values())

    def _named(self, key: str, value: Any, args: list[Any]) -> Any:
        if not isinstance(key, str):
            raise _Misfit("the names of arguments must be text")
        param = self._by_name.get(key)
        if param is not None:
            return self._convert(param, value)
        if self._rest is not None and key == self._rest["name"]:
            return self._read(key, "list", value)
        if self._extra is not None and key not in GIVEN:
            return self._convert({**self._extra, "name": key}, value)
        raise _Misfit(self._unknown(key, value, args), shown(key), self._unknown(key, None, args))

    def _all_rest(self, values: list[Any], named: dict[str, Any]) -> list[Any]:
        """What goes into `*args`; it may be given by its name as well, as one list."""
        if self._rest is None:
            if values:
                raise _Misfit(self._too_many(values))
            return []
        if (name := self._rest["name"]) not in named:
            return [self._convert(self._rest, value) for value in values]
        if values:
            raise _Misfit(f"{name} is given twice", name)
        return [_checked(name, self._rest["hint"], value) for value in named.pop(name)]

    def _convert(self, param: Param, value: Any) -> Any:
        name = shown(param["name"])
        if param["kind"] == "lifted":
            return _time_limit(name, value)
        nullable = not param["required"] and param["default"] is None and not param["kind"].startswith("var_")
        if nullable and (value is None or (self._typed and param["hint"] != "str" and value in ("null", "~"))):
            return None
        return self._read(name, param["hint"], value)

    def _read(self, name: str, hint: Hint, value: Any) -> Any:
        return _from_text(name, hint, value) if self._typed and isinstance(value, str) else _checked(name, hint, value)

    def _check_missing(self, count: int, named: Mapping[str, Any], rest: list[Any]) -> None:
        left = self._positional[count:]
        keywords = [param for param in self._by_name.values() if param["kind"] == "keyword"]
        missing = [param["name"] for param in left + keywords if param["required"] and param["name"] not in named]
        if rest and left and not missing:
            missing = [left[0]["name"]]  # or the rest would slip into its place
        if missing:
            raise _Misfit(f"it needs {' and '.join(missing)}; {self._written()}", missing[0])

    def _too_many(self, values: list[Any]) -> str:
        takes = len(self._positional)
        number = "no argument" if not takes else f"{takes} argument" if takes == 1 else f"{takes} arguments"
        hint = "; put text with spaces in quotes" if self._typed and takes else ""
        return f"it takes {number} by position, and {takes + len(values)} are given{hint}; {self._written()}"

    def _unknown(self, key: str, value: Any, args: list[Any]) -> str:
        meant = closest(key, self._by_name)
        hint = f", did you mean {meant}?" if meant else ""
        text = f"it takes no argument named {shown(key)}{hint}"
        if self._typed and isinstance(value, str) and (instead := self._instead(f"{key}={value}", args)):
            text += f"; to pass the text {shown(f'{key}={value}')} itself, {instead}"
        return f"{text}; {self._written()}"

    def _instead(self, text: str, args: list[Any]) -> str:
        """How to pass typed text that looks like a named argument."""
        if len(args) < len(self._positional):
            return f"name its argument: {shown(shlex.quote(self._positional[len(args)]['name'] + '=' + text))}"
        if self._rest is not None:
            whole = json.dumps([*args[len(self._positional):], text], ensure_ascii=False)
            return f"give the list by its name: {shown(shlex.quote(self._rest['name'] + '=' + whole))}"
        return "put all of the text that it belongs to in quotes" if args else ""


def _from_text(name: str, hint: Hint, text: str) -> Any:
    """Typed text as what `hint` asks for. Raises _Misfit."""
    try:
        value = text if hint == "str" else _CONVERT[hint](text)
    except ValueError as error:
        detail = f" ({error})" if hint in ("list", "dict", "any") else ""
        must = f"{name} must be {_WORDS[hint]}"
        raise _Misfit(f"{must}, not {shown(text)}{detail}", name, must) from error
    return _checked(name, hint, value)


def _checked(name: str, hint: Hint, value: Any) -> Any:
    """`value`, if it is what `hint` asks for and plain data throughout. Raises _Misfit."""
    wrong = not isinstance(value, _TYPES[hint]) or (isinstance(value, bool) and hint in ("int", "float"))
    if wrong:
        quotes = "; put it in quotes" if hint == "str" and isinstance(value, (int, float)) else ""
        must = f"{name} must be {_WORDS[hint]}"
        raise _Misfit(f"{must}, not {shown(repr(value))}{quotes}", name, must + quotes)
    if fault := _fault(value, typed_text.DEPTH):
        raise _Misfit(f"{name} {fault}", name)
    return value


def _time_limit(name: str, value: Any) -> float | None:
    """Seconds from a number or a text such as 5m; None is no limit. Raises _Misfit."""
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise _Misfit(f"{name} must be {error}, not {shown(value)}", name, f"{name} must be {error}") from error
    if seconds == 0:
        raise _Misfit(f"{name} must be more than 0", name)
    return seconds


def _integer(text: str) -> int:
    if not _INT.fullmatch(text.strip()):
        raise ValueError(text)
    return int(text)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


_CONVERT: dict[str, Callable[[str], Any]] = {
    "int": _integer, "float": float, "bool": _boolean, "list": typed_text.parse, "dict": typed_text.parse,
    "any": typed_text.guess,
}


def _fault(value: Any, depth: int) -> str | None:
    """What in `value` could not be kept and sent as it is, as a clause."""
    if depth < 0:
        return f"is nested deeper than {typed_text.DEPTH}"
    if isinstance(value, list):
        return next((fault for item in value if (fault := _fault(item, depth - 1))), None)
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return "holds a map with a key that is no text; put the key in quotes"
        return next((fault for item in (*value, *value.values()) if (fault := _fault(item, depth - 1))), None)
    return _scalar_fault(value)


def _scalar_fault(value: Any) -> str | None:
    if isinstance(value, str):
        # Half a character, as an escape in YAML can write it, has no UTF-8.
        return None if value.isascii() or not re.search("[\ud800-\udfff]", value) else "holds half a character"
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if typed_text.SMALLEST <= value <= typed_text.LARGEST else "holds a number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "holds a number that is not finite"
    return f"holds {type(value).__name__}, which is no plain data"
