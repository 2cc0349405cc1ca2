"""Functions as people see them: how one is written, what it says of itself, what was meant by a name that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.functions import FunctionInfo, Param, Table
from common.text import closest, escape

_SHOWN = 80


def usage(name: str, info: FunctionInfo) -> str:
    """The function as one would write it in Python: `cmd.run(cmd: str, *, cwd: str = None)`."""
    parts: list[str] = []
    for param in info["params"]:
        if param["kind"] in ("keyword", "lifted") and not any(part.startswith("*") for part in parts):
            parts.append("*")
        parts.append(_written(param))
    return f"{name}({', '.join(parts)})"


def explained(table: Table) -> dict[str, str]:
    """How each function of the table is called, and below that what it does."""
    return {name: f"{usage(name, info)}\n\n{info['doc']}".rstrip() for name, info in sorted(table.items())}


def _written(param: Param) -> str:
    stars = {"var_positional": "*", "var_keyword": "**"}.get(param["kind"], "")
    hint = "" if param["hint"] == "any" else f": {param['hint']}"
    if param["required"] or stars:
        return f"{stars}{param['name']}{hint}"
    return f"{param['name']}{hint}{' = ' if hint else '='}{_default(param['default'])}"


def _default(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def shown(name: object) -> str:
    """A name from outside as it may stand in an error line: harmless to a terminal and not too long."""
    text = escape(str(name))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def no_such(name: str, table: Table, broken: Mapping[str, str], what: str = "this host has no such function") -> str:
    """Why a function is not in the table, with what was probably meant, as a clause."""
    module = name.partition(".")[0]
    if module in broken:
        return f"its module is broken: {broken[module]}"
    reason = what
    if "." not in name:
        reason = "a function is named MODULE.FUNCTION"
    meant = closest(name, table)
    return f"{reason}; did you mean {meant}?" if meant else reason
