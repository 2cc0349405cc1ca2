"""Who belongs to the fleet: keys, the one id each is bound to, claims at the enrolment port, join tokens. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import structs

from common.errors import NotFoundError, UsageError
from common.ids import MASTER, MinionId
from common.link import Key
from common.messages import Enrol, Enrolled
from master.core import effects as do
from master.records import AddToken, DropMinion, DropToken, Minion, PutMinion

PENDING_LIMIT = 100
"""Keys that may wait to be accepted; the enrolment port is open to anybody."""


def digest(token: str) -> str:
    """How a token is kept: whoever reads the database learns no token from it."""
    return hashlib.sha256(token.encode()).hexdigest()


class Keyring:
    """All keys that were ever filed and not deleted."""

    def __init__(self, minions: Iterable[Minion], tokens: Iterable[AddToken]) -> None:
        self._keys = {minion.key: minion for minion in minions}
        self._accepted = {minion.id: minion.key for minion in self._keys.values() if minion.state == "accepted"}
        self._tokens = {token.digest: token for token in tokens}

    def rows(self) -> list[Minion]:
        """Every key, by id."""
        return sorted(self._keys.values(), key=lambda minion: (minion.id, minion.filed))

    def fleet(self) -> list[MinionId]:
        """The ids of accepted keys."""
        return list(self._accepted)

    def admit(self, key: Key) -> MinionId | None:
        """Whose key this is, if it is accepted."""
        minion = self._keys.get(key)
        if minion is None or minion.state not in ("accepted", "next") or minion.id not in self._accepted:
            return None
        return minion.id

    def get(self, key: Key) -> Minion | None:
        """What is known of a key."""
        return self._keys.get(key)

    def accepted(self, minion: MinionId) -> Minion | None:
        """The accepted key of an id."""
        key = self._accepted.get(minion)
        return None if key is None else self._keys[key]

    def put(self, minion: Minion) -> do.Effect:
        """Replace what is known of a key."""
        self._keys[minion.key] = minion
        if minion.state == "accepted":
            self._accepted[minion.id] = minion.key
        elif self._accepted.get(minion.id) == minion.key:
            del self._accepted[minion.id]
        return do.Save(PutMinion(minion))

    def drop(self, key: Key) -> list[do.Effect]:
        """Forget a key and cut its connections."""
        minion = self._keys.pop(key)
        if self._accepted.get(minion.id) == key:
            del self._accepted[minion.id]
        return [do.Save(DropMinion(key)), do.DropKey(key)]

    def claim(self, key: Key, claim: Enrol, now: float) -> tuple[Enrolled, list[do.Effect]]:
        """Answer a claim of a key that the transport has proved.

        The answer may leave before the commit: if that fails, the key is refused at the main port and claims again.
        """
        known = self._keys.get(key)
        if claim.id == MASTER:
            return Enrolled(status="refused", reason="the id `master` is reserved"), []
        if known is not None and known.id != claim.id:
            return Enrolled(status="refused", reason=f"this key is filed as {known.id}"), []
        if known is not None and self.admit(key) is not None:
            return Enrolled(status="accepted"), []
        if known is not None and known.state == "rejected":
            return Enrolled(status="refused", reason="this key was rejected"), []
        row = known or Minion(id=claim.id, key=key, state="pending", filed=now, version=claim.version)
        if claim.token is not None and claim.id not in self._accepted:
            token = self._tokens.get(digest(claim.token))
            if token is not None and token.expires > now and token.minion in (None, claim.id):
                del self._tokens[token.digest]
                kept = self.put(structs.replace(row, state="accepted"))
                return Enrolled(status="accepted"), [
                    kept, do.Save(DropToken(token.digest)), do.Emit(do.KeyChanged(claim.id, "accepted"))]
        reason = "" if claim.token is None else "its join token is used up, has expired, or is for another id"
        if known is not None:
            return Enrolled(status="pending", reason=reason), []
        if sum(minion.state == "pending" for minion in self._keys.values()) >= PENDING_LIMIT:
            return Enrolled(status="refused", reason=f"{PENDING_LIMIT} keys wait already"), []
        return Enrolled(status="pending", reason=reason), [self.put(row), do.Emit(do.KeyChanged(claim.id, "pending"))]

    def find(self, ids: list[MinionId] | None) -> list[Minion]:
        """The keys of these ids, or all. Raises NotFoundError that names an id without a key."""
        if ids is None:
            return self.rows()
        found = []
        for wanted in ids:
            rows = [minion for minion in self.rows() if minion.id == wanted]
            if not rows:
                raise NotFoundError(f"cannot find a key of {wanted}: jr-key list shows all")
            found += rows
        return found

    def accept(self, ids: list[MinionId] | None) -> tuple[list[MinionId], list[do.Effect]]:
        """Accept keys: those named, also rejected ones, or all that wait.

        Raises NotFoundError, or UsageError when two keys claim the same id.
        """
        rows = [row for row in self.find(ids) if row.state == "pending" or (ids and row.state == "rejected")]
        chosen: set[MinionId] = set()
        for row in rows:
            if row.id in self._accepted or row.id in chosen:
                raise UsageError(f"cannot accept {row.id}: another key holds this id; "
                                 f"compare with jr-key finger {row.id}, then jr-key delete {row.id}")
            chosen.add(row.id)
        effects: list[do.Effect] = []
        for row in rows:
            effects += [self.put(structs.replace(row, state="accepted")), do.Emit(do.KeyChanged(row.id, "accepted"))]
        return [row.id for row in rows], effects

    def reject(self, ids: list[MinionId] | None) -> tuple[list[MinionId], list[do.Effect]]:
        """Reject keys: those named, or all that wait. A live connection is cut. Raises NotFoundError."""
        found = self.find(ids)
        rows = [row for row in found if row.state == "pending" or (ids and row.state == "accepted")]
        effects: list[do.Effect] = []
        for row in found:
            if ids and row.state == "next":
                effects += self.drop(row.key)
        for row in rows:
            effects += [self.put(structs.replace(row, state="rejected")), do.DropKey(row.key),
                        do.Emit(do.KeyChanged(row.id, "rejected"))]
        return [row.id for row in rows], effects

    def delete(self, ids: list[MinionId] | None) -> tuple[list[MinionId], list[do.Effect]]:
        """Forget keys: those named, or all that were rejected. Raises NotFoundError."""
        rows = [row for row in self.find(ids) if ids or row.state == "rejected"]
        effects: list[do.Effect] = []
        for row in rows:
            effects += [*self.drop(row.key), do.Emit(do.KeyChanged(row.id, "deleted"))]
        return list(dict.fromkeys(row.id for row in rows)), effects

    def add_token(self, token: AddToken, now: float) -> list[do.Effect]:
        """File a join token; those that have expired go."""
        old = [expired.digest for expired in self._tokens.values() if expired.expires <= now]
        for expired in old:
            del self._tokens[expired]
        self._tokens[token.digest] = token
        return [*(do.Save(DropToken(expired)) for expired in old), do.Save(token)]
