"""Typed text to plain data: JSON, and YAML as people expect it on a command line: no dates, no objects, no anchors."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml

DEPTH = 50
"""Lists and maps within each other."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_WORDS = {"null": None, "Null": None, "NULL": None, "~": None,
          "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LONGEST_NUMBER = 40
SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""Whole numbers that msgpack can send."""


def scalar(text: str) -> Any:
    """What an unquoted word means: null, true, false, a number; all else is the text itself.

    So are numbers that nothing could send (64 bits, finite), such as a jid, and those with leading zeros, such as a
    postcode.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        number = int(text, 0)
        return number if SMALLEST <= number <= LARGEST else text
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def parse(text: str) -> Any:
    """The plain data that `text` is in JSON or YAML. Raises ValueError, in one line, when it is neither."""
    try:
        # YAML refuses what many programs write for characters beyond 16 bits: "\\ud83d\\ude00".
        return json.loads(text, parse_int=scalar, parse_float=scalar, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return _parse_yaml(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that could be sent")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key[:80]!r} stands there twice")
        values[key] = value
    return values


def _parse_yaml(text: str) -> Any:
    try:
        _check(text)
        nodes = yaml.compose(text, Loader=_LOADER)
        return None if nodes is None else _value(nodes)
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from error


def guess(text: str) -> Any:
    """What typed text most probably means where nothing says what it should be.

    Text that is no YAML is text, unless it opens with a bracket: then a slip in it must not pass in silence. What YAML
    reads as text stays the very text that was typed, except that quotes around all of it are taken off.
    """
    if not text.strip():
        return text
    try:
        value = parse(text)
    except ValueError:
        if text.lstrip()[0] in "[{":
            raise
        return text
    if value is None and text.strip() not in _WORDS:  # a comment, for example
        return text
    return text if isinstance(value, str) and text.lstrip()[0] not in "\"'" else value


def _check(text: str) -> None:
    """Refuse anchors, since a few of them can stand for gigabytes, and what is nested too deep, before it is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("anchors (& and *) have no place here; put the text in quotes")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH}")


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    _check_tag(node.tag, "seq", "map")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return _map(node)


def _map(node: yaml.Node) -> dict[str, Any]:
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError("the keys of a map must be text")
    return _once([(key.value, _value(item)) for key, item in node.value])


def _scalar(node: yaml.ScalarNode) -> Any:
    _check_tag(node.tag, "str", "null", "bool", "int", "float", "timestamp", "merge", "value")
    # The reader has given an unquoted word the tag it has in YAML 1.1; here the word alone decides.
    if node.style:  # in quotes, or a block
        return node.value
    return scalar(node.value) if node.value else None


def _check_tag(tag: str, *plain: str) -> None:
    if tag.removeprefix(_CORE) not in plain:
        raise ValueError(f"{tag[:80]} is no plain data")


def _reason(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or "it is no YAML")
    mark = getattr(error, "problem_mark", None)
    return f"{problem}, at character {mark.index + 1}" if mark is not None else problem
