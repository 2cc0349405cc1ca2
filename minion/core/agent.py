"""The agent's side of the connection, as a pure core: when to connect, greet, enrol, ping, give up and try again.

Jobs are the host core's affair (`common.host.core`); this one decides whether there is anybody to talk to, and what
time it is at the master.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Raw, Struct, structs

from common.codec import RETURN_LIMIT
from common.host.core import Host
from common.host.job import Now
from common.link import Closed, Key
from common.messages import (
    Ack,
    Enrol,
    Enrolled,
    Hello,
    Load,
    MasterKey,
    Noted,
    Offer,
    Ping,
    Pong,
    Publish,
    Rotate,
    Stop,
    Taken,
    Trusts,
    Welcome,
)
from minion.core import effects as do
from minion.core.keychain import Keychain
from minion.core.master_time import MasterTime
from minion.core.pulse import Pulse

GREETING = 15.0
"""Seconds that a handshake and a Welcome may take."""
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 20.0
"""Seconds before the second attempt, and at most; doubled each time."""
JITTER = 0.5
"""The part of it that our own jitter adds or takes away: so nobody waits longer than 30 s for a master that is back."""
CLAIM_AGAIN = 2.0
"""Seconds between claims of a key that waits to be accepted, at first; it grows like the back-off."""


_WHY = {
    Closed.REFUSED: "refused", Closed.FAILED: "the master does not answer", Closed.LOST: "the connection broke",
    Closed.STRANGE: "who answers hangs up: it has no room, or has another key than this minion was given, and then "
                    "a new join string of `jr-key token` helps",
}


class Stage(enum.Enum):
    """Where the connection stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    GREETING = "greeting"
    ONLINE = "online"
    ENROLLING = "enrolling"


class Identity(Struct, frozen=True, kw_only=True):
    """What the agent says of itself."""

    version: str
    boot_id: str
    start: int
    facts: Raw
    claim: Enrol


class Agent:
    """One minion's connection to its master."""

    def __init__(self, identity: Identity, host: Host, chance: Callable[[], float], keys: Keychain) -> None:
        """`chance` gives numbers in [0, 1): the jitter, which must differ from host to host."""
        self.keys = keys
        self._identity = identity
        self._host = host
        self._chance = chance
        self.schedule_problems: Callable[[], int] = lambda: 0
        """How many things in this minion's schedule cannot be used."""
        self._connection = 0
        self._tries = 0
        self.pulse = Pulse()
        self.time = MasterTime()
        self.start = identity.start
        self.since: float | None = None
        """Boot time at which this connection became good; None while there is none."""
        self._wake = 0.0
        self._must_enrol = False
        self.stage = Stage.IDLE
        self.why = "not connected yet"

    def burden(self, now: Now) -> Load:
        """How this host does, and what its wall clock shows beside the master's."""
        load = structs.replace(self._host.held.burden(now), schedule_problems=self.schedule_problems())
        if (offset := self.time.offset(now)) is None:
            return load
        return structs.replace(load, clock_offset=offset[0], uncertain=offset[1])

    def next(self) -> float:
        """When `tick` has something to do, in boot time."""
        host = self._host.held.next()
        return self._wake if host is None else min(self._wake, host)

    def opened(self, now: Now) -> list[do.Effect]:
        """The handshake of the line that was asked for has succeeded."""
        self.pulse.opened(now.boot)
        self._wake = now.boot + GREETING
        if self.stage is Stage.ENROLLING:
            return [do.SendLine(self._identity.claim)]
        self.stage = Stage.GREETING
        self._connection += 1
        self.time.ask(0, now)
        identity = self._identity
        return [do.SendLine(Hello(version=identity.version, boot_id=identity.boot_id, start=identity.start,
                                  connection=self._connection, facts=identity.facts, load=self.burden(now)))]

    def closed(self, why: Closed, now: Now) -> list[do.Effect]:
        """The line is over."""
        if why is Closed.REFUSED and self.stage is not Stage.ENROLLING:
            self._offline()
            if self.keys.refused():
                return self._open(now)
            self._must_enrol = True
            self.why = "the master does not know this key; enrolling"
            return self._open(now)
        if why in (Closed.FAILED, Closed.STRANGE) and self.keys.failed():
            return self._open(now)
        return self._later(now, _WHY[why])

    def received(self, message: Any, now: Now) -> list[do.Effect]:
        """One message of the master."""
        self.pulse.heard(now.boot)
        match message:
            case Welcome() if self.stage is Stage.GREETING:
                return self._welcomed(message, now)
            case Ping() if self.stage in (Stage.GREETING, Stage.ONLINE):
                # Also before the Welcome: the master may have to learn first that nobody else uses this key.
                return [do.SendLine(Pong(n=message.n))]
            case Enrolled() if self.stage is Stage.ENROLLING:
                return self._enrolled(message, now)
            case _ if self.stage is not Stage.ONLINE:
                return []
            case Publish():
                return [*self._host.publish(message, now, self.time.latest(now))]
            case Stop():
                return [*self._host.stop(message, now, self.time.latest(now))]
            case Ack() | Noted():
                return self._settled(message, now)
            case Pong():
                self.time.told(message.n, message.time, now)
            case Rotate() | Taken() | MasterKey():
                return self._rekey(message, now)
        return []

    def _settled(self, message: Ack | Noted, now: Now) -> list[do.Effect]:
        """The master has stored what it was told."""
        return [do.VerdictsNoted(message.n)] if isinstance(message, Noted) else [*self._host.ack(message, now)]

    def _rekey(self, message: Rotate | Taken | MasterKey, now: Now) -> list[do.Effect]:
        match message:
            case Rotate():
                return [do.MakeKey()]
            case MasterKey(key=key):
                return self._announced(key)
            case Taken(key=key, refused=None) if key == self.keys.spare:
                return self._reconnect(now)
        return []

    def made(self, key: Key) -> list[do.Effect]:
        """This minion's next key pair is durable."""
        self.keys.spare = key
        return [do.SendLine(Offer(key=key))] if self.stage is Stage.ONLINE else []

    def kept(self, keys: Sequence[Key]) -> list[do.Effect]:
        """These are durable as the keys by which the master is known. While others are on their way to the disk it is
        told nothing: whoever says to have its next key, and keeps only those before, is left behind by a crash.
        """
        if self.stage is not Stage.ONLINE or len(keys) == 1 or list(keys) != self.keys.masters:
            return []
        return [do.SendLine(Trusts(key=keys[-1]))]

    def tick(self, now: Now) -> list[do.Effect]:
        """Time has passed."""
        effects: list[do.Effect] = [*self._host.tick(now)]
        if now.boot < self._wake:
            return effects
        if self.stage is Stage.IDLE:
            return effects + self._open(now)
        if self.stage is not Stage.ONLINE:
            return [*effects, do.CloseLine("no answer"), *self._later(now, "the master does not answer")]
        return effects + self._keep_alive(now)

    # inside

    def _open(self, now: Now) -> list[do.Effect]:
        self._wake = now.boot + GREETING
        if self._must_enrol:
            self.stage = Stage.ENROLLING
            return [do.OpenEnrol()]
        self.stage = Stage.CONNECTING
        return [do.OpenLine()]

    def _offline(self) -> None:
        if self.stage is Stage.ONLINE:
            self._host.disconnected()
            self.keys.begin()
        self.since = None
        self.stage = Stage.IDLE

    def _later(self, now: Now, why: str, first: float = BACKOFF_FIRST) -> list[do.Effect]:
        """Wait, longer each time, and never in step with other hosts."""
        self._offline()
        self.why = why
        jitter = 1 - JITTER + 2 * JITTER * self._chance()
        self._wake = now.boot + min(BACKOFF_MOST, first * 2 ** min(self._tries, 10)) * jitter
        self._tries += 1
        return []

    def _welcomed(self, message: Welcome, now: Now) -> list[do.Effect]:
        own = self._identity.claim.id
        if message.known_as not in (None, own):
            why = (f"the master knows this key as {message.known_as}, and the settings say {own}: no work is done; set "
                   f"`id: {message.known_as}`, or remove pki/minion.key and enrol as {own}")
            return [do.CloseLine("wrong id"), do.Complain(why), *self._later(now, why, BACKOFF_MOST)]
        self.stage = Stage.ONLINE
        self.why = ""
        self._tries = 0
        self.time.told(0, message.time, now)
        self.since = now.boot
        self.pulse.compared(now.boot)
        self._host.held.return_limit = min(RETURN_LIMIT, max(0, message.return_limit))
        self._wake = self.pulse.due()
        effects: list[do.Effect] = [do.CatchUp(message.start)] if message.start > self._identity.start else []
        if self.keys.take_up():
            effects.append(do.TakeUpKey())
        if self.keys.settle():
            effects.append(do.KeepMasters(self.keys.masters))
        if message.next_key is not UNSET:
            effects += self._announced(message.next_key)
        return [*effects, *self._host.welcomed(now, self.time.latest(now))]

    def _reconnect(self, now: Now) -> list[do.Effect]:
        """The master has the next key: connect with it. Until then the old one serves, so no crash locks us out."""
        self._offline()
        self.why = "connecting with the new key"
        return [do.CloseLine("connecting with the new key"), *self._open(now)]

    def _announced(self, key: Key) -> list[do.Effect]:
        self.keys.announce(key)
        return [do.KeepMasters(self.keys.masters)]

    def _enrolled(self, message: Enrolled, now: Now) -> list[do.Effect]:
        self._must_enrol = message.status != "accepted"
        if message.status == "accepted":
            self._tries = 0
            return [do.CloseLine("enrolled"), *self._open(now)]
        why = f"enrolment refused: {message.reason}"
        if message.status == "pending":
            waits = "this key waits to be accepted: jr-key accept, on the master"
            why = f"{waits}; {message.reason}" if message.reason else waits
        return [do.CloseLine("claimed"), *self._later(now, why, CLAIM_AGAIN)]

    def _keep_alive(self, now: Now) -> list[do.Effect]:
        if self.pulse.is_dead(now.boot):
            return [do.CloseLine("silent"), *self._later(now, "the master fell silent")]
        self._wake = self.pulse.due()
        if now.boot < self._wake:
            return []
        number = self.pulse.ping(now.boot)
        self.time.ask(number, now)
        self._wake = self.pulse.asked(now.boot)
        return [do.SendLine(Ping(n=number, load=self.burden(now)))]
