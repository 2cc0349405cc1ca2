"""The master's core: everything that decides, composed. Pure: told what happened and the time, it returns effects.

Requests of operators and words of minions come in as method calls; each returns the effects to apply, in order.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, structs

from common.errors import NotFoundError
from common.ids import MASTER, Jid, MinionId, mint
from common.link import Connection, Key
from common.messages import (
    NO_SECRETS,
    Accepted,
    Ack,
    Evidence,
    Held,
    Hello,
    JobFields,
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
from common.states import OPEN, State
from common.targets import Target
from common.timers import Timers
from master.core import effects as do
from master.core.greeting import Greeter
from master.core.keys import Keyring, digest
from master.core.ledger import Ledger, OpenJob
from master.core.presence import Fleet
from master.core.recalls import Recalls
from master.core.rotation import RECONNECTING, Rotation
from master.core.track import NOT_A_TARGET, Tracker, Word
from master.records import AddStop, AddToken, Job, Minion, Outcome, Pair, PutOccurrences, Snapshot, Stop

LATELY = 300.0
"""Seconds before the end of the master's last run that count as lately."""
LOCAL = Connection(0)
"""The connection of the master's own host, which runs the runner jobs."""
OPEN_MOST = 100_000
"""Jobs that are open at once, and so in memory; more are turned away."""
WAITING_MOST = 10_000
"""Jobs that may wait for one minion that is away: what it takes at once when it comes (`common.host.core`)."""
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


class Wish(Struct, frozen=True, kw_only=True):
    """A job that an operator, a program or a schedule of the master wants."""

    fields: JobFields
    target: str
    target_type: str
    start_within: float
    queue: bool = False
    """Whether it waits for minions that are away; without it they are undelivered at once."""
    metadata: dict[str, str] = {}
    secrets: Raw = NO_SECRETS
    """What `fields` does not show."""


class StopWish(Struct, frozen=True, kw_only=True):
    """A stop that somebody wants."""

    stop: str
    jid: Jid
    how: str
    signal: int
    grace: float
    by: str
    minions: list[MinionId] | None = None


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
        self._terms = terms
        self._last = snapshot.last_jid
        self._recalls = Recalls()
        self._absent: Timers[MinionId] = Timers()
        self._coming: Timers[MinionId] = Timers()
        for row in snapshot.minions:
            if row.state == "accepted" and row.start \
                    and (row.last_seen is None or row.last_seen >= snapshot.latest - LATELY):
                self._coming.set(row.id, now + terms.offline_grace)
        for minion in sorted({*self.keys.fleet(), *self.ledger.minions()}):
            self._absent.set(minion, now + terms.lost_after)

    def next(self) -> float | None:
        """When `tick` has something to do, in master time."""
        times = (self._track.next(), self.fleet.next(), self._greeter.next(), self._absent.next(), self._coming.next(),
                 self.rotation.next())
        return min((at for at in times if at is not None), default=None)

    def begin(self, now: float) -> list[do.Effect]:
        """Close what a former run left open although it was over: it may have died between two commits."""
        return [effect for opened in list(self.ledger.jobs.values()) for effect in self.ledger.finish(opened, now)]

    @property
    def recalling(self) -> int:
        """How many words wait for a job to be read from the store."""
        return len(self._recalls)

    # wishes of operators

    def mint(self, now: float) -> Jid:
        """A new jid: for a job that is to be made later."""
        self._last = mint(now, self._last)
        return self._last

    def publish(self, wish: Wish, target: Target, now: float, jid: Jid | None = None) -> tuple[Jid, list[do.Effect]]:
        """Make a job for all that the target picks, under a new jid unless one was minted for it.

        Raises NotFoundError when it picks nobody.
        """
        minions = target.match(self.keys.fleet())
        if not minions:
            raise NotFoundError(f"no minion matches {wish.target!r}; nothing was sent")
        return self._publish(wish, minions, now, jid)

    def run(self, wish: Wish, now: float, jid: Jid | None = None) -> tuple[Jid, list[do.Effect]]:
        """Make a runner job, which runs on the master itself."""
        return self._publish(wish, [MASTER], now, jid)

    def _publish(self, wish: Wish, minions: list[MinionId], now: float,
                 jid: Jid | None = None) -> tuple[Jid, list[do.Effect]]:
        jid = jid or self.mint(now)
        job = Job(jid=jid, fields=wish.fields, target=wish.target, target_type=wish.target_type, published=now,
                  start_by=now + wish.start_within, queue=wish.queue, metadata=wish.metadata, secrets=wish.secrets)
        effects = self.ledger.add(job, [self._plan(job, minion, now) for minion in minions], minted=True)
        opened = self.ledger.jobs[jid]
        return jid, [*effects, *self._track.launch(opened, now), *self.ledger.finish(opened, now)]

    def _plan(self, job: Job, minion: MinionId, now: float) -> Pair:
        """The first state of a pair: sent, waiting for the minion, or undelivered at once."""
        if self.fleet.synced(minion) is not None:
            return Pair(jid=job.jid, minion=minion, state=State.SENT)
        if minion != MASTER and self.keys.accepted(minion) is None:
            reason = self.keys.why_not(minion)
        elif self.fleet.get(minion) is not None or minion in self._coming:
            return Pair(jid=job.jid, minion=minion, state=State.PLANNED)
        elif not job.queue:
            reason = "the minion is not connected"
        elif self.ledger.open_of(minion) >= WAITING_MOST:
            reason = f"the minion is not connected, and {WAITING_MOST} jobs wait for it already"
        else:
            return Pair(jid=job.jid, minion=minion, state=State.PLANNED)
        return Pair(jid=job.jid, minion=minion, state=State.UNDELIVERED,
                    outcome=Outcome(ended=now, evidence=Evidence(reason=reason)))

    def stop(self, wish: StopWish, now: float) -> tuple[dict[str, str], list[do.Effect]]:
        """Stop the open pairs of a job, durably. Returns what is done about each pair.

        Raises NotFoundError when the job is not open, or a minion is not among its targets.
        """
        opened = self.ledger.jobs.get(wish.jid)
        if opened is None:
            raise NotFoundError(f"job {wish.jid} is not open")
        chosen = wish.minions if wish.minions is not None else list(opened.pairs)
        for minion in chosen:
            if minion not in opened.pairs:
                raise NotFoundError(f"job {wish.jid} does not target {minion}")
        done: dict[str, str] = {}
        effects: list[do.Effect] = []
        for minion in dict.fromkeys(chosen):
            done[minion], more = self._stop_pair(opened, minion, wish, now)
            effects += more
        return done, effects + self.ledger.finish(opened, now)

    def _stop_pair(self, opened: OpenJob, minion: MinionId, wish: StopWish, now: float) -> tuple[str, list[do.Effect]]:
        state = opened.pairs[minion].state
        if state not in OPEN:
            return f"terminal:{state}", []
        how: Any = wish.how
        stop = Stop(stop=wish.stop, jid=wish.jid, minion=minion, how=how, signal=wish.signal, grace=wish.grace,
                    by=wish.by, at=now)
        if state is State.PLANNED:
            if wish.how == "signal":
                return "not started", []
            evidence = Evidence(reason="stopped before it was sent", by=wish.by, asked=now, asked_signal=wish.signal)
            return "cancelled", self.ledger.move(opened, minion, State.KILLED,
                                                 outcome=Outcome(ended=now, evidence=evidence))
        sent = self.fleet.synced(minion) is not None
        if wish.how == "signal" and not sent:
            # A signal is for a process that runs now; kept for hours it would hit another moment of the job.
            return "not connected", []
        opened.stops.setdefault(minion, {})[stop.stop] = stop
        return ("sent" if sent else "kept"), [do.Save(AddStop(stop)), *self._track.send_stop(opened, stop, now)]

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
                return self._word(connection, minion, message, now)
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
        self._coming.set(minion, now + RECONNECTING)
        return self.rotation.offered(connection, minion, word, now)

    def _hello(self, connection: Connection, minion: MinionId, hello: Hello, now: float) -> list[do.Effect]:
        effects = self._greeter.hello(connection, minion, hello, now)
        if self.fleet.get(minion) is not None:
            self._absent.clear(minion)
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
        self._absent.set(minion, now + self._terms.lost_after)
        row = self.keys.accepted(minion)
        if row is not None:
            effects.append(self.keys.put(structs.replace(row, last_seen=now)))
        effects += self._undeliver([minion], "the minion went away", now)
        return effects + self._greeter.ended(connection, minion, now)

    # words about jobs

    def _word(self, connection: Connection, minion: MinionId, word: Word, now: float) -> list[do.Effect]:
        opened = self.ledger.jobs.get(word.jid)
        if opened is not None:
            return self._tracked(opened, connection, minion, word, now)
        return [do.Recall(word.jid)] if self._recalls.add(connection, minion, word) else []

    def _tracked(self, opened: OpenJob, connection: Connection, minion: MinionId, word: Word,
                 now: float) -> list[do.Effect]:
        # A job that a restore has lost is known again from the first minion that spoke of it; the others follow.
        lost = opened.job.target_type == "minion" and not word.jid.suffix
        if minion not in opened.pairs and lost and isinstance(word, (Accepted, Return)):
            self.ledger.join(opened, minion)
        if minion in opened.pairs:
            return self._track.word(opened, minion, connection, word, now)
        effects: list[do.Effect] = [] if lost else [do.Alarm(minion, word.jid, NOT_A_TARGET)]
        if isinstance(word, Return):
            effects.append(do.Send(connection, Ack(jid=word.jid, refused=NOT_A_TARGET)))
        return effects

    def recalled(self, jid: Jid, job: Job | None, pairs: list[Pair], now: float) -> list[do.Effect]:
        """What the store knows of a job that is not open, for the words that wait for it."""
        effects: list[do.Effect] = []
        opened = self.ledger.jobs.get(jid)
        if opened is None and job is not None:
            opened = OpenJob(job=job, pairs={pair.minion: pair for pair in pairs}, open=set())
        for connection, minion, word in self._recalls.take(jid):
            if opened is not None:
                effects += self._tracked(opened, connection, minion, word, now)
            else:
                # The first of several words may end the job: those behind it still speak of the same one.
                opened, more = self._track.adopt(jid, minion, connection, word, now, mint(now, self._last))
                effects += more
        return effects

    def forget(self, jid: Jid) -> None:
        """The store could not say; whoever waits speaks again."""
        self._recalls.take(jid)

    # keys

    def change_terms(self, terms: Terms, now: float) -> list[do.Effect]:
        """The master has, or is about to have, another key: all who are there are told, or will have to come again."""
        anew = terms.key != self._terms.key
        self._terms = terms
        for minion in self.fleet.up() if anew else []:
            self._coming.set(minion, now + RECONNECTING)
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
                effects += self._lose(minion, "the minion's key was deleted", now)
        return deleted, effects

    def add_token(self, token: str, expires: float, minion: MinionId | None, now: float) -> list[do.Effect]:
        """File a join token, good once until `expires` (master time), for one minion alone when that is named."""
        return self.keys.add_token(AddToken(digest(token), expires, minion), now)

    def _lose(self, minion: MinionId, reason: str, now: float) -> list[do.Effect]:
        effects: list[do.Effect] = []
        for opened in self.ledger.of_minion(minion):
            if self._waits(opened, minion) and self.keys.accepted(minion) is not None:
                continue
            state = State.UNDELIVERED if opened.pairs[minion].state is State.PLANNED else State.LOST
            effects += self.ledger.close(opened, minion, state, reason, now)
            effects += self.ledger.finish(opened, now)
        return effects

    # time

    def tick(self, now: float) -> list[do.Effect]:
        """Time has passed."""
        effects = self._greeter.tick(now)
        for minion, connection in self.fleet.silent(now):
            effects += [do.Drop(connection, "silent for too long"), *self.gone(connection, minion, now, "silent")]
        for minion, connection in self.fleet.uncompared(now):
            effects += [do.Drop(connection, "it did not say what it holds"), *self.gone(connection, minion, now, "cut")]
        effects += self._undeliver(sorted(self._coming.due(now)), "the minion did not come back", now)
        effects += self.rotation.tick(now)
        for minion in self._absent.due(now):
            if self.fleet.get(minion) is None:
                effects += self._lose(minion, f"the minion was away for {self._terms.lost_after:.0f} s", now)
        return effects + self._track.tick(now)

    def _undeliver(self, minions: list[MinionId], reason: str, now: float) -> list[do.Effect]:
        """Close what is still planned for minions that are not there, and are not about to come."""
        effects: list[do.Effect] = []
        for minion in minions:
            if self.fleet.get(minion) is not None or minion in self._coming:
                continue
            for opened in self.ledger.of_minion(minion):
                if opened.pairs[minion].state is State.PLANNED and not self._waits(opened, minion):
                    effects += self.ledger.close(opened, minion, State.UNDELIVERED, reason, now)
                    effects += self.ledger.finish(opened, now)
        return effects

    @staticmethod
    def _waits(opened: OpenJob, minion: MinionId) -> bool:
        """Whether this pair was never sent and waits for its minion, for as long as it may start."""
        return opened.job.queue and opened.pairs[minion].state is State.PLANNED


def _file_runs(connection: Connection, minion: MinionId, page: Occurrences) -> list[do.Effect]:
    """Verdicts of a minion's schedule, filed under it alone; what speaks of somebody else's job is not kept."""
    own = [run for run in page.items if run.jid is None or run.jid.suffix == minion.suffix]
    effects: list[do.Effect] = [do.Save(PutOccurrences(minion, own))] if own else []
    if len(own) < len(page.items):
        stray = next(run for run in page.items if run not in own)
        effects.append(do.Alarm(minion, stray.jid, "it filed a verdict on a job that is not its own"))
    return [*effects, do.Send(connection, Noted(n=page.n))]
