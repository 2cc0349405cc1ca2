"""A simulated master: the real core over the store that is kept in memory, with what `master.shell` does in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from common.ids import Jid, MinionId
from common.link import Connection, Key
from common.messages import Enrol
from common.targets import parse
from master.core import effects as do
from master.core.core import Core, Terms
from master.core.wishes import StopWish, Wish
from master.records import Job, Minion, Pair, PutMinion
from master.store.base import UnknownJobError
from master.store.memory import MemoryStore
from tests.sim.machine import EPOCH
from tests.sim.network import Line
from tests.sim.pki import Pki, made
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.minion import SimMinion
    from tests.sim.world import World


OVERLAP = 60.0
"""Seconds for which both keys of a minion count: less than in settings, so that worlds see the end of it."""


class Then(Struct, frozen=True):
    """Do something once everything issued earlier is committed: see `Shell.committed`."""

    action: Callable[[], None]


class SimMaster(Process):
    """The master."""

    def __init__(self, world: World, lost_after: float) -> None:
        super().__init__(world, "master", (do.Save,))
        self.store = MemoryStore()
        self.core: Core | None = None
        self.wall_ahead = 0.0
        """Seconds that the wall clock of its host is wrong. It is read at each start, and never in between."""
        self.fail_recalls = 0
        self.pki = Pki("master", [])
        self._terms = Terms(master="sim", lost_after=lost_after, key_overlap=OVERLAP)
        self.strangers: set[MinionId] = set()
        """Minions that were no part of the fleet when its key was replaced."""
        self._known: set[Connection] = set()
        """Those that have said something."""
        self._ahead = EPOCH

    @property
    def terms(self) -> Terms:
        """With the keys as they are."""
        return structs.replace(self._terms, key=self.pki.own, next_key=self.pki.spare)

    def now(self) -> float:
        """Master time: the wall clock at start plus all that passed since."""
        return self._ahead + self.world.time

    def start(self) -> None:
        """Begin, or begin anew, from the store."""
        if self.alive:
            return
        self.world.say("master starts")
        floor = self.store.snapshot().latest
        self._ahead = max(EPOCH + self.world.time + self.wall_ahead, floor) - self.world.time
        self.world.truth.master_time(self._ahead)
        self.boot()
        self._rebuild()

    def _rebuild(self) -> None:
        self.core = Core(self.store.snapshot(), self.terms, self.now())
        self.submit(self.core.begin(self.now()))

    def enrolled(self, minion: MinionId) -> None:
        """Put an accepted key into the store, as if it had always been there."""
        self.store.apply([PutMinion(Minion(id=minion, key=made(minion, 0), state="accepted", filed=0.0))], EPOCH)

    def admits(self, key: Key) -> MinionId | None:
        """What ZAP answers."""
        return None if self.core is None else self.core.keys.admit(key)

    def readmit(self, minion: SimMinion) -> None:
        """Accept a minion's key, whatever became of it."""
        pki = minion.machine.pki
        keys = [key for key in (pki.spare, pki.own) if key is not None]
        if self.core is None or any(self.admits(key) is not None for key in keys):
            return
        key = next((key for key in keys if self.core.keys.get(key)), pki.own)
        known = [] if self.core.keys.get(key) else [self.core.keys.put(
            Minion(id=minion.id, key=key, state="pending", filed=0.0))]
        _, _, effects = self.core.accept_keys([key])
        self.submit([*known, *effects])

    def rotate(self, minion: MinionId) -> None:
        """Ask a minion for a new key. Raises NotFoundError."""
        if self.core is not None:
            self.submit(self.core.rotation.ask(minion, self.now()))

    def rekey(self) -> None:
        """Begin to replace the master's key; change over where all have confirmed the next one: see `Rekeying`."""
        if self.core is None:
            return
        if self.pki.spare is None:
            self.pki.make_spare()
            self.submit(self.core.change_terms(self.terms, self.now()))
        elif not self.core.rotation.missing():
            self.pki.take_up()
            self.strangers |= {name for name in self.world.minions if self.core.keys.accepted(name) is None}
            self.world.say("the master has a new key")
            self.submit(self.core.change_terms(self.terms, self.now()))
            self.world.network.master_rekeys()

    # wishes

    def publish(self, wish: Wish, named: Callable[[Jid], None]) -> None:
        """Publish; `named` is given the jid before anything happens. Raises NotFoundError."""
        assert self.core is not None
        target = parse("glob", wish.target)
        targets = target.match(self.core.keys.fleet())
        jid, effects = self.core.wishes.publish(wish, target, self.now())
        named(jid)
        self.world.truth.publishes(jid)
        self.submit([*effects, Then(lambda: self.world.truth.prints(jid, targets))])

    def stop(self, wish: StopWish) -> dict[str, str]:
        """Stop a job. Raises NotFoundError."""
        assert self.core is not None
        done, effects = self.core.wishes.stop(wish, self.now())
        self.submit(effects)
        return done

    # the bus

    def heard(self, line: Line, message: Any) -> None:
        if self.core is None:
            return
        minion = line.minion.id
        if isinstance(message, Enrol):
            answer, effects = self.core.keys.claim(line.own, message, self.now())
            self.submit(effects)
            self.world.network.to_minion(line.connection, answer)
        else:
            if line.connection not in self._known:  # see `Endpoints`
                self._known.add(line.connection)
                self.submit(self.core.rotation.used(line.own, self.now()))
            self.submit(self.core.received(line.connection, minion, message, self.now()))

    def gone(self, line: Line) -> None:
        if self.core is not None and not line.enrol:
            self.submit(self.core.gone(line.connection, line.minion.id, self.now(), "disconnected"))

    # the process

    def step_clock(self, seconds: float) -> None:
        self.wall_ahead += seconds

    def next(self) -> float | None:
        at = None if self.core is None else self.core.next()
        return None if at is None else at - self._ahead

    def tick(self) -> None:
        if self.core is not None:
            self.submit(self.core.tick(self.now()))

    def died(self) -> None:
        self.core = None
        self.world.network.master_gone()

    def write(self, effects: list[Any], *, torn: bool = False) -> None:
        """One transaction: all of it or nothing."""
        if torn and self.world.chance.random() < 0.5:
            return
        changes = [effect.change for effect in effects]
        self.world.truth.commits(changes)
        self.store.apply(changes, self.now())
        self.world.truth.committed(changes)

    def broken(self, error: BaseException) -> None:
        """See `Shell._broken`: nothing behind the failed commit left; the core begins anew from the store."""
        assert self.core is not None
        self.world.say(f"the master cannot commit: {error}")
        for minion in self.core.fleet.up():
            presence = self.core.fleet.get(minion)
            if presence is not None:
                self.world.network.master_closes(presence.connection)
        self._rebuild()

    def act(self, effect: Any) -> None:
        match effect:
            case do.Send(connection, message):
                self.world.truth.master_says(connection, message)
                self.world.network.to_minion(connection, message)
            case do.Drop(connection):
                self.world.network.master_closes(connection)
            case do.DropKey(key):
                for line in list(self.world.network.lines.values()):
                    if line.own == key and not line.enrol:
                        self.world.network.master_closes(line.connection)
            case do.Emit(event):
                self.world.truth.told(event)
            case do.Recall(jid):
                life = self.life
                self.world.at(self.world.chance.uniform(0.0005, 0.02), lambda: self._recall(life, jid), self)
            case Then(action):
                action()

    def _recall(self, life: int, jid: Jid) -> None:
        """As the shell does it, a core that was rebuilt meanwhile is told what the one before it asked."""
        if self.core is None or self.life != life:
            return
        if self.fail_recalls:
            self.fail_recalls -= 1
            self.core.words.forget(jid)
            return
        self.submit(self.core.words.recalled(jid, *self._stored(jid), self.now()))

    def _stored(self, jid: Jid) -> tuple[Job | None, list[Pair]]:
        try:
            return self.store.job(jid), list(self.store.pairs(jid, values=False))
        except UnknownJobError:
            return None, []
