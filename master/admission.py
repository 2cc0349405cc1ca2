"""The verbs about who may be a minion: keys that are filed, and tokens by which a key is accepted at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from common.control_server import Body, Caller, Reply
from common.errors import UsageError
from common.join import read_join
from common.link import Key
from common.requests import Request, checked
from master.core.choice import chosen
from master.records import Minion
from master.requests import KeysRequest, TokenRequest
from master.shell import Shell


class Admission:
    """The verbs `keys`, `keys.accept`, `keys.reject`, `keys.delete` and `token`."""

    def __init__(self, shell: Shell, *, join: Callable[[str, str | None], str], own: Callable[[], Mapping[str, str]],
                 fingerprint: Callable[[str], str]) -> None:
        """`join` makes a join string of a token, for the address when one is named; `own` tells the master's own
        public key and its fingerprint.
        """
        self._shell = shell
        self._join = join
        self._own = own
        self._fingerprint = fingerprint

    async def filed(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Every key that is filed, and the master's own."""
        checked(body, Request)
        rows = [{**self._shown(row), "key": row.key, "state": row.state, "filed": row.filed,
                 "confirmed": self._shell.core.rotation.knows(row),
                 **({"reason": row.reason} if row.reason else {})} for row in self._shell.core.keys.rows()]
        return {"keys": rows, "master": self._own()}

    async def accept(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Let minions in; `left` are keys that were chosen and are not accepted. Raises UsageError, NotFoundError."""
        changed, left, effects = self._shell.core.accept_keys(self._chosen(body))
        answer = await self._changed(changed, effects)
        return {**answer, "left": [self._shown(row) for row in left]} if left else answer

    async def reject(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Keep minions out. Raises UsageError, NotFoundError."""
        changed, effects = self._shell.core.keys.reject(self._chosen(body))
        return await self._changed(changed, effects)

    async def delete(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """Forget keys; who has one of them is as new. Raises UsageError, NotFoundError."""
        changed, effects = self._shell.core.delete_keys(self._chosen(body), self._shell.clock.now())
        return await self._changed(changed, effects)

    async def token(self, body: Body, caller: Caller, reply: Reply) -> Body:
        """A join string whose bearer is accepted at once, once, for `ttl` seconds. Raises UsageError."""
        request = checked(body, TokenRequest)
        token = secrets.token_urlsafe(24)
        join = self._join(token, request.address)
        now = self._shell.clock.now()
        effects = self._shell.core.add_token(token, now + request.ttl, request.minion, now)
        await self._shell.committed(effects)
        return {"join": join, "expires": now + request.ttl, "address": read_join(join).master}

    def _chosen(self, body: Body) -> list[Key] | None:
        request = checked(body, KeysRequest)
        if request.all == (request.ids is not None):
            raise UsageError("cannot change keys: name minion ids or fingerprints, or say --all")
        if request.ids is None:
            return None
        return chosen(self._shell.core.keys.rows(), request.ids, self._fingerprint)

    def _shown(self, row: Minion) -> Body:
        return {"id": str(row.id), "fingerprint": self._fingerprint(row.key)}

    async def _changed(self, changed: list[Minion], effects: list[Any]) -> Body:
        await self._shell.committed(effects)
        return {"changed": [str(row.id) for row in changed]}
