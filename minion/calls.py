"""The verb of the minion's own control socket: run a function here, for jr-call. The same jobs as the master's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from common import clock
from common.codec import pack
from common.control_server import Body, Caller, Reply
from common.errors import UsageError
from common.host.shell import HostShell
from common.ids import Jid, MinionId, mint
from common.messages import JobFields, Return
from common.pairs import of_return

START_WITHIN = 300.0
"""Seconds until a job must have started; a queue may hold it up."""


class Calls:
    """Answers `call`."""

    def __init__(self, minion: MinionId, hands: HostShell, grace: float) -> None:
        self._minion = minion
        self._hands = hands
        self._grace = grace
        self._last: Jid | None = None

    async def handle(self, request: Body, caller: Caller, reply: Reply) -> Body:
        """Run a function and wait for its end. Raises JrError for what cannot be called."""
        if request.get("verb") != "call":
            raise UsageError(f"cannot do {request.get('verb')!r:.80}: this minion knows no such verb")
        fields = fields_of(request, caller.name, self._grace)
        jid = self._last = mint(clock.wall(), self._last, self._minion)
        ended = await self._hands.desk.run(jid, fields, START_WITHIN)
        await reply({"event": "job", "jid": str(jid)})
        message: Return = await ended
        return {"minions": {str(self._minion): of_return(message)}}


def fields_of(request: Mapping[str, Any], user: str, grace: float) -> JobFields:
    """The job that a request asks for. Raises UsageError."""
    match request:
        case {"function": str(function), "args": list(args), "kwargs": dict(kwargs)}:
            timeout = request.get("timeout")
            if timeout is not None and not isinstance(timeout, (int, float)):
                raise UsageError("cannot call: timeout is no number of seconds")
            return JobFields(function=function[:200], args=Raw(pack(args)), kwargs=Raw(pack(kwargs)), user=user,
                             timeout=timeout, grace=grace, typed=bool(request.get("typed")))
    raise UsageError("cannot call: function, args or kwargs are missing")
