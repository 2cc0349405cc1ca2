"""Reads the named blocks of the `.sql` files beside it. No SQL stands anywhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_SCHEMA = resources.files("master.store") / "schema"
_BLOCK = re.compile(r"^-- name: (?P<name>\S+)\n(?P<about>(?:--[^\n]*\n)*)(?P<sql>.*?)(?=^-- name: |\Z)", re.M | re.S)
_MIGRATION = re.compile(r"migration_([0-9]{3})\.sql")


def parse(text: str) -> dict[str, str]:
    """The statements of one file by name. Raises ValueError for a name used twice, a block empty or not described."""
    found: dict[str, str] = {}
    for block in _BLOCK.finditer(text):
        name, sql = block["name"], block["sql"].strip()
        if name in found:
            raise ValueError(f"the query {name} stands there twice")
        if not sql or not block["about"].strip("- \n"):
            raise ValueError(f"the query {name} is empty or not described")
        found[name] = sql
    return found


def load() -> Mapping[str, str]:
    """Every query of the store by name. Raises ValueError as `parse` does."""
    found: dict[str, str] = {}
    for file in sorted(_SCHEMA.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql") and not _MIGRATION.fullmatch(file.name):
            named = parse(file.read_text("utf-8"))
            if twice := named.keys() & found.keys():
                raise ValueError(f"the query {min(twice)} stands there twice")
            found |= named
    return MappingProxyType(found)


def migrations() -> list[str]:
    """The migrations in order; the first makes version 1 of an empty file. Raises ValueError when one is missing."""
    numbered = {int(match[1]): file for file in _SCHEMA.iterdir() if (match := _MIGRATION.fullmatch(file.name))}
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise ValueError(f"the migrations are not numbered 1 to {len(numbered)}")
    return [numbered[number].read_text("utf-8") for number in sorted(numbered)]


SQL = load()
"""Every query by its name."""
