"""Applies the effects of the master's core: commits in groups, then sends, cuts and tells. Decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec import structs

from common.alarm import Alarm
from common.clock import MasterClock
from common.errors import JrError
from common.ids import Jid, MinionId
from common.link import Hub
from common.log import limited
from common.sequencer import Sequencer, Then
from master.core import effects as do
from master.core.core import Core, Terms
from master.events import Watchers
from master.records import Job, Pair, Snapshot
from master.store.base import BrokenStoreError, Store, StoreError, UnknownJobError
from master.telling import tell
from master.ways import LocalHost, Ways
from master.weights import weights
from master.wiping import Wiping

_log = logging.getLogger("jr.master")
T = TypeVar("T")

READERS = 4
"""Threads that read the store beside the one that writes it."""


class Shell:
    """The master's hands."""

    def __init__(self, store: Store, snapshot: Snapshot, terms: Terms, clock: MasterClock,
                 fatal: Callable[[str], None]) -> None:
        """`snapshot` is the store's, taken a moment ago: nothing has been saved since.

        `fatal` ends the daemon: it is called when not even the store can be read any more.
        """
        self.store = store
        self.clock = clock
        self.watchers = Watchers()
        self.core = Core(snapshot, terms, clock.now())
        self._terms = terms
        self._fatal = fatal
        self._writer = ThreadPoolExecutor(1, "writer")
        self._reader = ThreadPoolExecutor(READERS, "reader")
        self._sequencer: Sequencer[do.Effect | Then] = Sequencer(
            (do.Save,), self._commit, self._act, self._broken, self._writer)
        self._waiters: set[asyncio.Future[None]] = set()
        self._alarm = Alarm(self._tick)
        self._arming: asyncio.Handle | None = None
        self._wiping = Wiping(lambda: self.write(store.wipe))
        self.ways = Ways()

    def attach(self, hub: Hub, host: LocalHost) -> None:
        """Begin: the two ways out are there."""
        self.ways.open(hub, host)
        self._wiping.ask(0.0)  # a master that died may have left some
        self.apply(self.core.begin(self.clock.now()))

    def change_terms(self, **changes: Any) -> None:
        """Other terms, for this core and for those that may be built after it."""
        self._terms = structs.replace(self._terms, **changes)
        self.apply(self.core.change_terms(self._terms, self.clock.now()))

    @property
    def queued(self) -> int:
        """How many effects wait for the disk."""
        return len(self._sequencer)

    def crowded(self, minion: MinionId) -> bool:
        """Whether the disk is so far behind that words of this minion are dropped; it says them again."""
        return self._sequencer.crowded(minion)

    @property
    def full(self) -> bool:
        """Whether it is so far behind that operators' work is turned away."""
        return self._sequencer.full

    def apply(self, effects: Sequence[do.Effect]) -> None:
        """Apply what the core wants."""
        if effects:
            self._sequencer.submit(effects, weights(effects))
        self._arm_soon()

    async def committed(self, effects: Sequence[do.Effect]) -> None:
        """Apply, and wait until all of it is on disk. Raises StoreError when it is not."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        self._sequencer.submit([*effects, Then(waiter)], weights(effects))
        self._arm_soon()
        await waiter

    async def read(self, call: Callable[[], T]) -> T:
        """Run a read of the store beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, call)

    async def write(self, call: Callable[[], T]) -> T:
        """Run something on the writer's thread, between two commits: retention, in small batches."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, call)

    async def close(self) -> None:
        """Commit what is queued, then stop."""
        await self._sequencer.drained()
        if self._arming is not None:
            self._arming.cancel()
        self._alarm.cancel()
        self._wiping.close()
        self.watchers.end()
        self._writer.shutdown()
        self._reader.shutdown()

    # inside

    def _commit(self, saves: list[do.Effect | Then]) -> None:
        self.store.apply([save.change for save in saves if isinstance(save, do.Save)], self.clock.now())

    def _act(self, effect: do.Effect | Then) -> None:
        match effect:
            case do.Send(connection, message):
                self.ways.send(connection, message)
            case do.Emit(event):
                tell(event)
                self.watchers.tell(event)
            case Then():
                effect.tell()
            case do.Drop(connection, reason):
                _log.info("cut connection %d: %s", connection, reason, extra={"action": "connection.cut"})
                self.ways.cut(connection)
            case do.DropKey(key):
                self.ways.cut_key(key)
            case do.Alarm(minion, jid, reason):
                limited(_log, f"alarm {minion}").warning("refused the word of a minion: %s", reason, extra={
                    "action": "word.refused", "jid": jid, "minion": minion})
            case do.Wipe():
                self._wiping.ask()
            case do.Recall(jid):
                task = asyncio.ensure_future(self.read(lambda: self._recall(jid)))
                core = self.core
                task.add_done_callback(lambda done: self._recalled(core, jid, done))

    def _recall(self, jid: Jid) -> tuple[Job | None, list[Pair]]:
        try:
            return self.store.job(jid), list(self.store.pairs(jid, values=False))
        except UnknownJobError:
            return None, []

    def _recalled(self, core: Core, jid: Jid, done: asyncio.Future[tuple[Job | None, list[Pair]]]) -> None:
        # A core that was rebuilt meanwhile knows more than this answer, and nobody in it waits for it.
        if done.cancelled() or core is not self.core:
            return
        error = done.exception()
        if error is not None:
            # The minions that wait for it say their words again after 30 s.
            limited(_log, "recall").error("cannot read job: %s", error, extra={"action": "store.failed", "jid": jid})
            self.core.words.forget(jid)
            return
        self.apply(self.core.words.recalled(jid, *done.result(), self.clock.now()))

    def _broken(self, error: BaseException) -> None:
        """A commit failed: nothing behind it left. Those who wait are told, and the core begins anew from the store."""
        # A return that finds no room is sent again and again: the log lies on the same full disk, perhaps.
        limited(_log, "commit").critical("cannot commit: %s", error, extra={"action": "store.failed"})
        told = error if isinstance(error, JrError) else StoreError(f"cannot save: {error}")
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_exception(told)
        self.watchers.end()
        if isinstance(error, BrokenStoreError):
            self._fatal(str(error))
            return
        for minion in self.core.fleet.up():
            presence = self.core.fleet.get(minion)
            if presence is not None:
                self.ways.cut(presence.connection)
        try:
            self.core = Core(self.store.snapshot(), self._terms, self.clock.now())
        except StoreError as failure:
            self._fatal(str(failure))
            return
        self.apply(self.core.begin(self.clock.now()))
        self.ways.restart_host()

    def _arm_soon(self) -> None:
        """Once for all that this turn of the loop brings."""
        if self._arming is None:
            self._arming = asyncio.get_running_loop().call_soon(self._arm)

    def _arm(self) -> None:
        """Wake for the next moment at which the core has something to do."""
        self._arming = None
        at = self.core.next()
        self._alarm.set(None if at is None else at - self.clock.now())

    def _tick(self) -> None:
        self.apply(self.core.tick(self.clock.now()))
