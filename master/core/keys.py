"""Who belongs to the fleet: keys, the one id each is bound to, claims at the enrolment port, join tokens. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from msgspec import structs

from common.errors import UsageError
from common.ids import MASTER, MinionId
from common.link import Key
from common.messages import Enrol, Enrolled
from master.core import effects as do
from master.records import AddToken, DropMinion, DropToken, Minion, PutMinion

PENDING_LIMIT = 100
"""Keys that may wait to be accepted; the enrolment port is open to anybody."""

_BACK = ("rejected", "quarantined")
"""States from which a key that is named is let in again."""


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
        """The ids that belong to the fleet: those of accepted keys, and of keys in quarantine, which are told why."""
        quarantined = (minion.id for minion in self._keys.values() if minion.state == "quarantined")
        return list(dict.fromkeys([*self._accepted, *quarantined]))

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

    def of(self, minion: MinionId) -> list[Minion]:
        """Every key of an id."""
        return [row for row in self._keys.values() if row.id == minion]

    def why_not(self, minion: MinionId) -> str:
        """Why no job goes to this id. Empty when it has an accepted key."""
        if minion in self._accepted:
            return ""
        reason = next((row.reason for row in self.of(minion) if row.state == "quarantined"), "")
        return f"its key is in quarantine: {reason}" if reason else "no minion of this id is accepted"

    def drop(self, key: Key) -> list[do.Effect]:
        """Forget a key and cut its connections."""
        minion = self._keys.pop(key)
        if self._accepted.get(minion.id) == key:
            del self._accepted[minion.id]
        return [do.Save(DropMinion(key)), do.DropKey(key)]

    def drop_next(self, minion: Minion) -> list[do.Effect]:
        """Forget the key that is about to take the place of this one."""
        if minion.state not in ("accepted", "quarantined"):
            return []
        return [effect for row in self.of(minion.id) if row.state == "next" for effect in self.drop(row.key)]

    def put(self, minion: Minion) -> do.Effect:
        """Replace what is known of a key."""
        self._keys[minion.key] = minion
        if minion.state == "accepted":
            self._accepted[minion.id] = minion.key
        elif self._accepted.get(minion.id) == minion.key:
            del self._accepted[minion.id]
        return do.Save(PutMinion(minion))

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
        if known is not None and known.state == "quarantined":
            return Enrolled(status="refused", reason=f"this key is in quarantine: {known.reason}; see jr-key list on "
                                                     "the master"), []
        row = known or Minion(id=claim.id, key=key, state="pending", filed=now, version=claim.version)
        if claim.id not in self.fleet():
            token = self._token(claim, now)
            if token is not None:
                del self._tokens[token.digest]
                kept = self.put(_let_in(row))
                return Enrolled(status="accepted"), [
                    kept, do.Save(DropToken(token.digest)), do.Emit(do.KeyChanged(claim.id, "accepted"))]
        reason = "" if claim.token is None else self._why_no_entry(claim, now)
        if known is not None:
            return Enrolled(status="pending", reason=reason), []
        if sum(minion.state == "pending" for minion in self._keys.values()) >= PENDING_LIMIT:
            return Enrolled(status="refused", reason=f"{PENDING_LIMIT} keys wait already"), []
        return Enrolled(status="pending", reason=reason), [self.put(row), do.Emit(do.KeyChanged(claim.id, "pending"))]

    def _token(self, claim: Enrol, now: float) -> AddToken | None:
        """The token that a claim brings, if it is good."""
        token = None if claim.token is None else self._tokens.get(digest(claim.token))
        return token if token is not None and token.expires > now and token.minion in (None, claim.id) else None

    def _why_no_entry(self, claim: Enrol, now: float) -> str:
        """Why a token lets nobody in. That an id is taken is told to those alone whom an operator gave a token."""
        if self._token(claim, now) is not None:
            return f"its join token is good, but another key has the id {claim.id}"
        return "its join token is used up, has expired, or is for another id"

    def accept(self, keys: list[Key] | None) -> tuple[list[Minion], list[Minion], list[do.Effect]]:
        """Accept keys: those named, also rejected ones and those in quarantine, or all that wait.

        Returns those that were accepted, and those of all that wait which were left since another key holds or claims
        their id. Raises UsageError for a named one.
        """
        rows = [row for row in self._chosen(keys) if row.state == "pending" or (keys and row.state in _BACK)]
        claimed = Counter(row.id for row in rows)
        # An operator who names a key may give it the id of one in quarantine; `all` decides nothing of that kind.
        held = self._accepted if keys else self.fleet()
        left = [row for row in rows if row.id in held or claimed[row.id] > 1]
        if keys is not None and left:
            raise UsageError(f"cannot accept {left[0].id}: another key holds this id; compare with jr-key finger "
                             f"{left[0].id}, then jr-key delete the one that is wrong, by its fingerprint")
        chosen = [row for row in rows if row not in left]
        effects: list[do.Effect] = []
        for row in chosen:
            effects += [self.put(_let_in(row)), do.Emit(do.KeyChanged(row.id, "accepted"))]
        return chosen, left, effects

    def reject(self, keys: list[Key] | None) -> tuple[list[Minion], list[do.Effect]]:
        """Reject keys: those named, or all that wait. A live connection is cut."""
        chosen = self._chosen(keys)
        rows = [row for row in chosen if row.state == "pending" or (keys and row.state in ("accepted", "quarantined"))]
        effects: list[do.Effect] = []
        for row in rows:
            effects += [*self.drop_next(row), self.put(structs.replace(row, state="rejected", reason="")),
                        do.DropKey(row.key), do.Emit(do.KeyChanged(row.id, "rejected"))]
        return rows, effects

    def delete(self, keys: list[Key] | None) -> tuple[list[Minion], list[do.Effect]]:
        """Forget keys: those named, or all that were rejected."""
        rows = [row for row in self._chosen(keys) if keys or row.state == "rejected"]
        effects: list[do.Effect] = []
        for row in rows:
            effects += [*self.drop_next(row), *self.drop(row.key), do.Emit(do.KeyChanged(row.id, "deleted"))]
        return rows, effects

    def _chosen(self, keys: list[Key] | None) -> list[Minion]:
        return self.rows() if keys is None else [self._keys[key] for key in dict.fromkeys(keys) if key in self._keys]

    def add_token(self, token: AddToken, now: float) -> list[do.Effect]:
        """File a join token; those that have expired go."""
        old = [expired.digest for expired in self._tokens.values() if expired.expires <= now]
        for expired in old:
            del self._tokens[expired]
        self._tokens[token.digest] = token
        return [*(do.Save(DropToken(expired)) for expired in old), do.Save(token)]


def _let_in(row: Minion) -> Minion:
    """A key as it is once it is accepted: one that never was has nothing of what was sent to this id before."""
    return structs.replace(row, state="accepted", reason="", strange=row.strange or not row.start)
