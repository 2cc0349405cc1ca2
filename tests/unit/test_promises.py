"""What the pages of promises and threats name exists, and a test names every row that this version claims."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE, MODEL = ((ROOT / "docs" / name).read_text("utf-8") for name in ("promises.md", "threat-model.md"))
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`")
ROWS = [
    *(f"S0{number}" for number in range(1, 8)), "S11", "S13", "S18", "S20", "S21", "S22", "S23",
    *(f"R-A{number}" for number in range(1, 24)), "R-B28", "R-B30", "R-B31", "R-B36", "R-B37", "R-B38",
    "B01", "B02", "B03", *(f"P{number}" for number in range(1, 10)),
]
"""What must work, as the tests call it: features (S), faults (R), what nobody else does (B), the promises (P)."""


def functions(path: Path) -> set[str]:
    """The names of all functions of a module, methods too."""
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE + MODEL))))
def test_what_the_pages_name_exists(file: str, test: str) -> None:
    path = ROOT / file
    assert path.is_file()
    assert not test or test in functions(path)


@pytest.mark.parametrize("number", range(1, 10))
def test_each_promise_is_shown_by_tests(number: int) -> None:
    part = PAGE.split(f"## P{number}. ")[1].split("\n## ")[0]
    assert len(NAMED.findall(part)) >= 3


def test_each_row_is_named_by_a_test() -> None:
    text = "\n".join(path.read_text("utf-8") for kind in ("*.py", "*.txt") for path in (ROOT / "tests").rglob(kind)
                     if path.name != Path(__file__).name)
    assert [row for row in ROWS if not re.search(rf"(?<![\w-]){row}(?!\d)", text)] == []
