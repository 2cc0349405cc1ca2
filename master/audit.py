"""The verb `runs`: what became of planned runs, a page at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

from common.control_server import Body, Caller, Reply
from common.errors import UsageError
from common.requests import checked
from master import documents
from master.requests import RunsRequest
from master.shell import Shell
from master.store.base import Mark, Run, RunPage

BITES = 20
"""Reads of the store for one page: a filter that seldom matches comes back short, with a cursor to go on from."""


class Audit:
    """Lists of planned runs, from the store."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def runs(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """The verb. Raises UsageError, StoreError."""
        request = checked(body, RunsRequest)
        mark = None if request.cursor is None else _mark(request.cursor)
        found: list[Run] = []
        for _ in range(BITES):
            wanted = partial(self._shell.store.runs, request.filter, request.limit - len(found), mark)
            page: RunPage = await self._shell.read(wanted)
            found += page.runs
            mark = page.next
            if mark is None or len(found) >= request.limit:
                break
        return {"runs": [document(run) for run in found],
                "next": None if mark is None else f"{mark.last!r}/{mark.id}"}


def document(run: Run) -> dict[str, Any]:
    """A planned run as operators get it; what is not so is not said."""
    one = run.occurrence
    told: dict[str, Any] = {"schedule": one.schedule, "minion": str(run.minion), "planned": one.planned,
                            "verdict": one.verdict, "at": one.at, "jid": None if one.jid is None else str(one.jid),
                            "cause": one.cause, "count": one.count}
    more = {"attempt": one.attempt, "by": one.by, "last": one.last, "reason": one.reason,
            "states": documents.counts(run.states)}
    return {**told, **{name: value for name, value in more.items() if value}}


def _mark(cursor: str) -> Mark:
    last, _, number = cursor.partition("/")
    try:
        return Mark(float(last), int(number))
    except ValueError:
        raise UsageError(f"cannot go on at cursor={cursor!r}: it is the `next` of no page") from None
