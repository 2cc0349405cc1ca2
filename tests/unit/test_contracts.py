"""What modules say of themselves is what the import contracts hold them to."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
HELD = next(contract["source_modules"] for contract in CONTRACTS if "pure" in contract["name"])


def pure() -> list[str]:
    """The modules whose docstring says that they are."""
    found = []
    for package in PROJECT["tool"]["importlinter"]["root_packages"]:
        for path in sorted((ROOT / package).rglob("*.py")):
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            if re.search(r"\bPure\b", said):
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_what_says_that_it_is_pure_is_held_to_it() -> None:
    names = pure()
    assert "common.timers" in names
    assert [name for name in names if not any(name == held or name.startswith(f"{held}.") for held in HELD)] == []


def test_what_is_held_to_it_exists() -> None:
    for name in HELD:
        path = ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_the_tasks_of_a_daemon_are_guarded() -> None:  # P9: one that dies must not leave a daemon that only seems whole
    for path in (ROOT / "master" / "daemon.py", ROOT / "minion" / "daemon.py"):
        text = path.read_text()
        assert "guarded(" in text
        assert not re.search(r"create_task|ensure_future", text), path
