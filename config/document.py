"""A settings file as a mapping with the line of each key. Duplicate keys, which YAML lets pass, are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.errors import UsageError
from common.text import escape

FILE_LIMIT = 1024 * 1024
VALUES_LIMIT = 1_000_000
"""Values in a file with its aliases written out: ten lines of aliases to aliases can stand for more than memory takes.
"""

_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp"))
"""What a key may be that is no text."""


@dataclass(frozen=True)
class Document:
    """What a settings file says. All are empty when there is no file."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    inner: dict[tuple[str, str], int] = field(default_factory=dict)
    """Lines of the keys in the mappings that top-level keys have."""

    def line(self, key: str, name: str | None = None) -> str:
        """` line 7`, to follow the file: where a key stands, or a name in its mapping; empty where nobody knows."""
        found = self.lines.get(key) if name is None else self.inner.get((key, name), self.lines.get(key))
        return "" if found is None else f" line {found}"


class _Refused(Exception):
    """YAML, and yet no settings file. Its text is the end of the message, with the line."""


def read_document(path: Path) -> Document:
    """The document in a file; empty when the file is missing or says nothing. Raises UsageError with file and line."""
    text = _read(path)
    if text is None:
        return Document()
    try:
        return _parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark is not None else ""
        hint = "; text that begins with * needs quotes" if error.context == "while scanning an alias" else ""
        raise UsageError(f"cannot use {path}{where}: it is not YAML: {error.problem or error.context}{hint}") from error
    except _Refused as error:
        raise UsageError(f"cannot use {path}{error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: what looks like a date or a number and is none.
        reason = escape(" ".join(str(error).split())[:200])
        raise UsageError(f"cannot use {path}: it is not YAML: {reason}") from error


def read_value(text: str) -> Any:
    """The plain data in one value that was typed as YAML. Raises ValueError."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError("it is not YAML") from error


def _read(path: Path) -> str | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"cannot use {path}: it is not a regular file")
        if status.st_size > FILE_LIMIT:
            raise UsageError(f"cannot use {path}: it has {status.st_size} bytes, and {FILE_LIMIT} are allowed")
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        if reason := dead_link(path):
            raise UsageError(f"cannot read {path}: {reason}") from error
        return None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot use {path}: it is not UTF-8 text") from error


def dead_link(path: Path) -> str:
    """What is wrong with a path at which nothing was found; empty when it is not there at all."""
    try:
        return f"it is a link to {escape(os.readlink(path))}, which leads nowhere"
    except OSError:
        return ""


def _parse(text: str) -> Document:
    """Raises yaml.YAMLError, ValueError, or _Refused."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
            return Document()
        if not isinstance(node, yaml.MappingNode):
            raise _Refused(": it must be a mapping, with a line such as `port: 4520` for each option")
        for key in _repeated(node):
            raise _Refused(f" line {key.start_mark.line + 1}: {escape(str(key.value)[:100])} stands there twice")
        if _values(node, {}) > VALUES_LIMIT:
            raise _Refused(f": its aliases stand for more than {VALUES_LIMIT} values")
        lines = {_key(loader, key): key.start_mark.line + 1 for key, _ in node.value}
        inner = {(_key(loader, key), _key(loader, name)): name.start_mark.line + 1
                 for key, value in node.value if isinstance(value, yaml.MappingNode) for name, _ in value.value}
        values = loader.construct_document(node)
        return Document({str(key): value for key, value in values.items()}, lines, inner)
    finally:
        loader.dispose()


def _key(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    """The text of a key as its value is told: `yes` is True."""
    plain = isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN
    return str(loader.construct_object(node) if plain else node.value)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values it stands for; one that contains itself is counted once. `known` are those counted so far."""
    if id(node) not in known:
        known[id(node)] = 1
        if isinstance(node, yaml.CollectionNode):
            inner = (part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,)))
            known[id(node)] += sum(_values(part, known) for part in inner)
    return known[id(node)]


def _repeated(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The keys that occur a second time in their mapping, anywhere below `root`."""
    waiting: list[yaml.Node] = [root]
    visited: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in visited or not isinstance(node, yaml.CollectionNode):
            continue
        # An alias may lead back to where it stands.
        visited.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            waiting.extend(node.value)
            continue
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            waiting.append(value)
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    yield key
                seen.add((key.tag, key.value))
