"""The verb of the minion's own control socket: run a function here, for jr-call. The same jobs as the master's."""

from __future__ import annotations

from common import clock
from common.control_server import Body, Caller, Handler, Reply
from common.errors import UsageError
from common.host.shell import HostShell
from common.ids import Jid, MinionId, mint
from common.messages import Return
from common.pairs import of_return
from common.requests import CallRequest, checked, job_and_secrets


class Calls:
    """The control socket's handler: `call`, and nothing else."""

    def __init__(self, minion: MinionId, hands: HostShell, grace: float) -> None:
        self._minion = minion
        self._hands = hands
        self._grace = grace
        self._last: Jid | None = None
        self.table: dict[str, Handler] = {"call": self._call}

    async def handle(self, request: Body, caller: Caller, reply: Reply) -> Body:
        """Answer one request. Raises JrError for what cannot be granted."""
        verb = self.table.get(str(request.get("verb")))
        if verb is None:
            raise UsageError(f"cannot do {request.get('verb')!r:.80}: this minion knows no such verb")
        return await verb(request, caller, reply)

    async def _call(self, request: Body, caller: Caller, reply: Reply) -> Body:
        """Run a function and wait for its end. Raises JrError for what cannot be called."""
        fields, secrets = job_and_secrets(checked(request, CallRequest), caller.name, self._grace)
        jid = self._last = mint(clock.wall(), self._last, self._minion)
        ended = await self._hands.desk.run(jid, fields, secrets)
        await reply({"event": "job", "jid": str(jid)})
        message: Return = await ended
        return {"minions": {str(self._minion): of_return(message)}}
