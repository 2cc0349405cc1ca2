"""Every line that is logged anywhere: its action is a noun and what became of it, its message begins in lower case."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import common

ROOT = Path(common.__file__).parent.parent
PACKAGES = ("common", "config", "master", "minion", "runners")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
ACTION = re.compile(r"[a-z]+\.[a-z]+")


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Every call in the source: where it stands, itself, and the last word of what is called."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, name


def text_of(node: ast.expr | None) -> str | None:
    """A text as it is written, with `x` for what is put in; None for what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "x" for part in node.values)
    return None


def actions() -> Iterator[tuple[str, str | None]]:
    """Where lines are logged, and the action of each as it is written."""
    for where, call, name in calls():
        if name == "warn" and call.args:
            yield where, text_of(call.args[0])
        for keyword in call.keywords:
            if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                fields = [key.value if isinstance(key, ast.Constant) else None for key in keyword.value.keys]
                yield where, text_of(keyword.value.values[fields.index("action")]) if "action" in fields else ""


def test_actions_follow_one_scheme() -> None:
    found = [(where, action) for where, action in actions() if action is not None]
    assert len(found) > 40
    assert [(where, action) for where, action in found if not ACTION.fullmatch(action)] == []


def test_messages_begin_in_lower_case() -> None:
    found = [(where, text_of(call.args[0])) for where, call, name in calls()
             if name in LEVELS and call.args and any(keyword.arg == "extra" for keyword in call.keywords)]
    found += [(where, text_of(call.args[1])) for where, call, name in calls() if name == "warn" and len(call.args) > 1]
    assert len(found) > 40
    assert [(where, message) for where, message in found if message and message[0].isupper()] == []
