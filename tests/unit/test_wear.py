"""When a daemon ends to be started anew. # R-I07"""

from __future__ import annotations

from typing import Any

import pytest

from common.wear import LOOK, Wear
from config import kinds


@pytest.mark.parametrize(("wear", "age", "memory", "word"), [
    (Wear(), 1e9, 2**40, ""),
    (Wear(max_memory=2**20), 0, 2**20, ""), (Wear(max_memory=2**20), 0, 3 * 2**20, "3 MiB"),
    (Wear(max_memory=2**20), 1e9, 0, ""),
    (Wear(max_age=60), 59.9, 2**40, ""), (Wear(max_age=60), 60, 0, "max_age is 1m"),
    (Wear(max_age=60, max_memory=5), 1, 6, "max_memory"),
])
def test_what_is_worn(wear: Wear, age: float, memory: int, word: str) -> None:
    assert word in wear.worn(age, memory)
    assert bool(word) == bool(wear.worn(age, memory))


@pytest.mark.parametrize(("wear", "age", "wait"), [
    (Wear(), 5, None), (Wear(max_age=60), 20, 40), (Wear(max_age=60), 99, 0), (Wear(max_memory=1), 20, LOOK),
    (Wear(max_memory=1, max_age=60), 20, LOOK), (Wear(max_memory=1, max_age=60), 58, 2),
])
def test_nothing_is_looked_at_in_vain(wear: Wear, age: float, wait: float | None) -> None:
    assert wear.wait(age) == wait


@pytest.mark.parametrize(("given", "meant"), [(0, 0), ("0", 0), ("16M", 2**24), (2**30, 2**30), (0.0, 0)])
def test_no_limit_is_0(given: Any, meant: int) -> None:
    assert kinds.unlimited(kinds.size("16M", "1024G")).read(given) == meant


@pytest.mark.parametrize("given", ["1M", -1, False, "", None, [], "2048G"])
def test_a_limit_that_no_daemon_could_keep_is_refused(given: Any) -> None:
    kind = kinds.unlimited(kinds.size("16M", "1024G"))
    assert "16M" in kind.allowed
    assert "or 0 for no limit" in kind.allowed
    with pytest.raises(ValueError):
        kind.read(given)
