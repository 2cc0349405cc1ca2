"""What is typed for a built-in runner, before a master is asked for anything."""

from __future__ import annotations

from typing import Any, cast

import pytest

from common.errors import NotFoundError, UsageError
from runners import registry

NOBODY = cast(Any, None)
"""A master that must not be asked."""
JID = "20260102030405123456"


@pytest.mark.parametrize("runner", ["jobs.kill", "jobs.term", "jobs.signal"])
@pytest.mark.parametrize("minions", ["", ",", " , "])
def test_a_stop_for_nobody_is_no_stop(runner: str, minions: str) -> None:
    """`minions=$X` with an empty X: it must neither stop all nor say that all is over."""
    args = [JID, "HUP"] if runner == "jobs.signal" else [JID]
    with pytest.raises(UsageError, match="names nobody"):
        registry.call(runner, NOBODY, args, {"minions": minions})


def test_an_unknown_runner() -> None:
    with pytest.raises(NotFoundError, match="jr-run --list"):
        registry.call("jobs.nope", NOBODY, [], {})


def test_what_it_does_not_take() -> None:
    with pytest.raises(UsageError, match=r"jobs\.lookup_jid"):
        registry.call("jobs.lookup_jid", NOBODY, [JID], {"colour": "red"})
    with pytest.raises(UsageError, match=r"jobs\.list_jobs.*limit"):
        registry.call("jobs.list_jobs", NOBODY, [], {"limit": "many"})
