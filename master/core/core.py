"""The master's core: everything that decides, composed. Pure: told what happened and the time, it returns effects.

Requests of operators and words of minions come in as method calls; each returns the effects to apply, in order.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from common.ids import MASTER, MinionId
from common.link import Connection, Key
from common.messages import (
    Accepted,
    Held,
    Hello,
    Noted,
    Occurrences,
    Offer,
    Ping,
    Pong,
    Refused,
    Return,
    Started,
    Stopped,
    Trusts,
)
from master.core import effects as do
from master.core.absence import Absence
from master.core.greeting import Greeter
from master.core.keys import Keyring, digest
from master.core.ledger import Ledger
from master.core.presence import Fleet
from master.core.rotation import RECONNECTING, Rotation
from master.core.track import Tracker
from master.core.wishes import Wishes
from master.core.words import Words
from master.records import AddToken, Minion, PutOccurrences, Snapshot

LATELY = 300.0
"""Seconds before the end of the master's last run that count as lately."""
LOCAL = Connection(0)
"""The connection of the master's own host, which runs the runner jobs."""
OPEN_MOST = 100_000
"""Jobs that are open at once, and so in memory; more are turned away."""
HELD_MOST = 100_000
"""Jobs that a minion may say it holds: ten times what one takes."""


class Terms(Struct, frozen=True, kw_only=True):
    """What the master's settings and keys say."""

    master: str
    """Who this master is: the fingerprint of its key."""
    key: Key | None = None
    """The master's public key."""
    next_key: Key | None = None
    """The one that it is about to have."""
    return_limit: int = 512 * 1024
    lost_after: float = 86400.0
    """Seconds of absence after which what a minion had accepted is lost."""
    answer_grace: float = 60.0
    """Seconds past its time to start that a sent pair may stay without any answer before it is lost."""
    offline_grace: float = 60.0
    """Seconds after the master's start in which minions that were there lately count as about to come (DESIGN 6)."""
    key_overlap: float = 86400.0
    """Seconds after which a minion's next key replaces an old one that is still used."""


class Core:
    """The whole master, but for its hands."""

    def __init__(self, snapshot: Snapshot, terms: Terms, now: float) -> None:
        self.keys = Keyring(snapshot.minions, snapshot.tokens)
        self.fleet = Fleet()
        self.rotation = Rotation(self.keys, self.fleet, terms.key_overlap)
        self.rotation.announce(terms.master, terms.key, terms.next_key)
        self.ledger = Ledger(snapshot.jobs, snapshot.pairs, snapshot.stops)
        self._track = Tracker(self.ledger, self.fleet, terms.answer_grace, now)
        self._greeter = Greeter(self.keys, self.fleet, self.rotation, terms.return_limit, self.gone)
        self._absence = Absence(self.ledger, self.fleet, self.keys, terms.lost_after)
        self.wishes = Wishes(self.ledger, self.fleet, self.keys, self._track, self._absence, snapshot.last_jid)
        self.words = Words(self.ledger, self._track, self.wishes.unminted)
        for row in snapshot.minions:
            if row.state == "accepted" and row.start \
                    and (row.last_seen is None or row.last_seen >= snapshot.latest - LATELY):
                self._absence.expect(row.id, now + terms.offline_grace)
        for minion in sorted({*self.keys.fleet(), *self.ledger.minions()}):
            self._absence.left(minion, now)

    def next(self) -> float | None:
        """When `tick` has something to do, in master time."""
        times = (self._track.next(), self.fleet.next(), self._greeter.next(), self._absence.next(),
                 self.rotation.next())
        return min((at for at in times if at is not None), default=None)

    def begin(self, now: float) -> list[do.Effect]:
        """Close what a former run left open although it was over: it may have died between two commits."""
        return [effect for opened in list(self.ledger.jobs.values()) for effect in self.ledger.finish(opened, now)]

    # minions

    def received(self, connection: Connection, minion: MinionId, message: Any, now: float) -> list[do.Effect]:
        """One message of a minion whose key the transport has proved."""
        if isinstance(message, Hello):
            return self._hello(connection, minion, message, now)
        presence = self.fleet.heard(minion, connection, now)
        if isinstance(message, Pong):
            return self._greeter.pong(connection, minion, message, now)
        if presence is None:
            return []
        match message:
            case Ping():
                self.fleet.tell(minion, message.load, now)
                return [do.Send(connection, Pong(n=message.n, time=now))]
            case Held() if presence.held is not None:
                presence.held += message.jobs
                if len(presence.held) > HELD_MOST:
                    return [do.Drop(connection, "it says to hold more than any minion can"),
                            *self.gone(connection, minion, now, "cut")]
                if not message.last:
                    return []
                return self._compared(minion, connection, now)
            case Accepted() | Started() | Refused() | Return() | Stopped():
                return self.words.heard(connection, minion, message, now)
            case Occurrences() | Offer() | Trusts():
                return self._aside(connection, minion, message, now)
        return []

    def _aside(self, connection: Connection, minion: MinionId, word: Occurrences | Offer | Trusts,
               now: float) -> list[do.Effect]:
        """A word that is not about a job."""
        if isinstance(word, Occurrences):
            return _file_runs(connection, minion, word)
        if isinstance(word, Trusts):
            return self.rotation.confirmed(minion, word.key)
        self._absence.expect(minion, now + RECONNECTING)
        return self.rotation.offered(connection, minion, word, now)

    def _hello(self, connection: Connection, minion: MinionId, hello: Hello, now: float) -> list[do.Effect]:
        effects = self._greeter.hello(connection, minion, hello, now)
        if self.fleet.get(minion) is not None:
            self._absence.came(minion)
        return effects

    def _compared(self, minion: MinionId, connection: Connection, now: float) -> list[do.Effect]:
        """A minion has said all that it holds."""
        row = self.keys.accepted(minion)
        strange = row is not None and row.strange
        effects = self._track.reconcile(minion, connection, self.fleet.compared(minion), now, strange=strange)
        if row is not None and strange:
            effects.append(self.keys.put(structs.replace(row, strange=False)))
        return effects

    def local_up(self, now: float) -> None:
        """The master's own host is there, and always will be; its Held page follows."""
        self.fleet.add(MASTER, LOCAL, now)
        self.fleet.stay(MASTER)

    def gone(self, connection: Connection, minion: MinionId, now: float, reason: str) -> list[do.Effect]:
        """A connection is over."""
        if not self.fleet.remove(minion, connection):
            return self._greeter.ended(connection, minion, now)
        effects: list[do.Effect] = [do.Emit(do.MinionDown(minion, reason))]
        self._absence.left(minion, now)
        row = self.keys.accepted(minion)
        if row is not None:
            effects.append(self.keys.put(structs.replace(row, last_seen=now)))
        effects += self._absence.undeliver([minion], "the minion went away", now)
        return effects + self._greeter.ended(connection, minion, now)

    # keys

    def change_terms(self, terms: Terms, now: float) -> list[do.Effect]:
        """The master has, or is about to have, another key: all who are there are told, or will have to come again."""
        anew = terms.key != self.rotation.key
        for minion in self.fleet.up() if anew else []:
            self._absence.expect(minion, now + RECONNECTING)
        return self.rotation.announce(terms.master, terms.key, terms.next_key)

    def accept_keys(self, keys: list[Key] | None) -> tuple[list[Minion], list[Minion], list[do.Effect]]:
        """Let keys in: see `Keyring.accept`. What was held against them is over."""
        accepted, left, effects = self.keys.accept(keys)
        for row in accepted:
            self._greeter.decided(row.id)
        return accepted, left, effects

    def delete_keys(self, keys: list[Key] | None, now: float) -> tuple[list[Minion], list[do.Effect]]:
        """Forget keys; what their minions still owe is lost, unless another key that was in use has their id."""
        deleted, effects = self.keys.delete(keys)
        for minion in dict.fromkeys(row.id for row in deleted):
            rows = self.keys.of(minion)
            if not any(row.state == "accepted" or row.start for row in rows):
                effects += self._absence.lose(minion, "the minion's key was deleted", now)
        return deleted, effects

    def add_token(self, token: str, expires: float, minion: MinionId | None, now: float) -> list[do.Effect]:
        """File a join token, good once until `expires` (master time), for one minion alone when that is named."""
        return self.keys.add_token(AddToken(digest(token), expires, minion), now)

    # time

    def tick(self, now: float) -> list[do.Effect]:
        """Time has passed."""
        effects = self._greeter.tick(now)
        for minion, connection in self.fleet.silent(now):
            effects += [do.Drop(connection, "silent for too long"), *self.gone(connection, minion, now, "silent")]
        for minion, connection in self.fleet.uncompared(now):
            effects += [do.Drop(connection, "it did not say what it holds"), *self.gone(connection, minion, now, "cut")]
        effects += self._absence.tick(now) + self.rotation.tick(now)
        return effects + self._track.tick(now)


def _file_runs(connection: Connection, minion: MinionId, page: Occurrences) -> list[do.Effect]:
    """Verdicts of a minion's schedule, filed under it alone; what speaks of somebody else's job is not kept."""
    own = [run for run in page.items if run.jid is None or run.jid.suffix == minion.suffix]
    effects: list[do.Effect] = [do.Save(PutOccurrences(minion, own))] if own else []
    if len(own) < len(page.items):
        stray = next(run for run in page.items if run not in own)
        effects.append(do.Alarm(minion, stray.jid, "it filed a verdict on a job that is not its own"))
    return [*effects, do.Send(connection, Noted(n=page.n))]
