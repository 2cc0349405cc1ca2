"""What operators, programs and the master's own schedule wish: jobs are published and stopped here. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from common.errors import NotFoundError
from common.ids import MASTER, Jid, MinionId, mint
from common.messages import NO_SECRETS, Evidence, JobFields
from common.states import OPEN, State
from common.targets import Target
from master.core import effects as do
from master.core.absence import Absence
from master.core.keys import Keyring
from master.core.ledger import Ledger, OpenJob
from master.core.presence import Fleet
from master.core.track import Tracker
from master.records import AddStop, Job, Outcome, Pair, Stop

WAITING_MOST = 10_000
"""Jobs that may wait for one minion that is away: what it takes at once when it comes (`common.host.core`)."""


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


class Wishes:
    """Makes jobs, under jids that only grow, and stops them."""

    def __init__(self, ledger: Ledger, fleet: Fleet, keys: Keyring, track: Tracker, absence: Absence,
                 last: Jid | None) -> None:
        """`last` is the last jid that this master minted."""
        self._ledger = ledger
        self._fleet = fleet
        self._keys = keys
        self._track = track
        self._absence = absence
        self._last = last

    def unminted(self, now: float) -> Jid:
        """The jid that would be minted now."""
        return mint(now, self._last)

    def mint(self, now: float) -> Jid:
        """A new jid: for a job that is to be made later."""
        self._last = self.unminted(now)
        return self._last

    def publish(self, wish: Wish, target: Target, now: float, jid: Jid | None = None) -> tuple[Jid, list[do.Effect]]:
        """Make a job for all that the target picks, under a new jid unless one was minted for it.

        Raises NotFoundError when it picks nobody.
        """
        minions = target.match(self._keys.fleet())
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
        effects = self._ledger.add(job, [self._plan(job, minion, now) for minion in minions], minted=True)
        opened = self._ledger.jobs[jid]
        return jid, [*effects, *self._track.launch(opened, now), *self._ledger.finish(opened, now)]

    def _plan(self, job: Job, minion: MinionId, now: float) -> Pair:
        """The first state of a pair: sent, waiting for the minion, or undelivered at once."""
        if self._fleet.synced(minion) is not None:
            return Pair(jid=job.jid, minion=minion, state=State.SENT)
        if minion != MASTER and self._keys.accepted(minion) is None:
            reason = self._keys.why_not(minion)
        elif self._fleet.get(minion) is not None or self._absence.is_coming(minion):
            return Pair(jid=job.jid, minion=minion, state=State.PLANNED)
        elif not job.queue:
            reason = "the minion is not connected"
        elif self._ledger.open_of(minion) >= WAITING_MOST:
            reason = f"the minion is not connected, and {WAITING_MOST} jobs wait for it already"
        else:
            return Pair(jid=job.jid, minion=minion, state=State.PLANNED)
        return Pair(jid=job.jid, minion=minion, state=State.UNDELIVERED,
                    outcome=Outcome(ended=now, evidence=Evidence(reason=reason)))

    def stop(self, wish: StopWish, now: float) -> tuple[dict[str, str], list[do.Effect]]:
        """Stop the open pairs of a job, durably. Returns what is done about each pair.

        Raises NotFoundError when the job is not open, or a minion is not among its targets.
        """
        opened = self._ledger.jobs.get(wish.jid)
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
        return done, effects + self._ledger.finish(opened, now)

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
            return "cancelled", self._ledger.move(opened, minion, State.KILLED,
                                                 outcome=Outcome(ended=now, evidence=evidence))
        sent = self._fleet.synced(minion) is not None
        if wish.how == "signal" and not sent:
            # A signal is for a process that runs now; kept for hours it would hit another moment of the job.
            return "not connected", []
        opened.stops.setdefault(minion, {})[stop.stop] = stop
        return ("sent" if sent else "kept"), [do.Save(AddStop(stop)), *self._track.send_stop(opened, stop, now)]
