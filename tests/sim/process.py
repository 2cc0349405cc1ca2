"""A daemon's process in a simulated world: it may die at any effect, stand still, and be started again.

Its effects go through the real `common.sequencer`, so that what is tested is the order that the daemons keep: nothing
leaves before everything durable that was issued earlier is committed, and a failed commit drops what is behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from common.errors import JrError
from common.sequencer import Sequencer

if TYPE_CHECKING:
    from tests.sim.world import World
BUSY = 2000
"""Wakings of one party within a second of virtual time that nothing can be a reason for."""


class _Commit:
    """What `run_in_executor` gives: a commit that is under way in virtual time."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._left: list[Any] | None = None
        self._told: Callable[[Any], None] = lambda _: None

    def add_done_callback(self, told: Callable[[Any], None]) -> None:
        self._told = told

    def cancelled(self) -> bool:
        return False

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> list[Any] | None:
        return self._left

    def finish(self, error: BaseException | None, left: list[Any] | None) -> None:
        self._error, self._left = error, left
        self._told(self)


class _Loop:
    """As much of an event loop as a sequencer asks for; its disk thread works in virtual time."""

    def __init__(self, begin: Callable[[list[Any], _Commit], None], soon: Callable[[Callable[[], None]], None]) -> None:
        self._begin = begin
        self._soon = soon

    def call_soon(self, call: Callable[[], None]) -> None:
        self._soon(call)

    def run_in_executor(self, thread: Any, call: Callable[..., None], writes: list[Any]) -> _Commit:
        commit = _Commit()
        self._begin(writes, commit)
        return commit


class running:
    """Whoever asks asyncio for the running loop gets this one within the block."""

    __slots__ = ("_before", "_loop")

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._before = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)

    def __exit__(self, *_: object) -> None:
        asyncio._set_running_loop(self._before)


class Process:
    """What master and minions have in common."""

    COMMIT = (0.0005, 0.005)
    """Seconds that a commit takes, at least and at most, on a good disk."""

    def __init__(self, world: World, name: str, durable: tuple[type, ...]) -> None:
        self.world = world
        self.name = name
        self.owner = self
        self.acted = False
        """Whether it did anything since the last look at it."""
        self.life = 0
        """Counts starts and deaths: whatever was planned in an earlier life never happens."""
        self.frozen_until = 0.0
        """SIGSTOP: nothing is done before this virtual time."""
        self.crash_in: int | None = None
        """Steps after which the process dies; None for never. Effects and the two sides of a commit are steps."""
        self.fail_commits = 0
        self.disk_seconds = self.COMMIT
        self._durable = durable
        self._sequencer: Sequencer[Any] | None = None
        self._loop: _Loop | None = None
        self._pending: list[Any] | None = None
        self._armed: float | None = None
        self._ticks = (0.0, 0)

    @property
    def alive(self) -> bool:
        return self._sequencer is not None

    @property
    def settled(self) -> bool:
        """Whether nothing is queued or being written: memory and disk must say the same."""
        return self._sequencer is not None and self._pending is None and not self._sequencer._queue

    def boot(self) -> None:
        """A fresh process: nothing queued, nothing planned."""
        self.life += 1
        life = self.life
        self._pending = None
        self._armed = None
        self._loop = _Loop(lambda writes, commit: self._begin_commit(life, writes, commit),
                           lambda call: self.world.at(0.0, lambda: self._turn(life, call), self))
        self._sequencer = Sequencer(self._durable, self.write, lambda effect: self._act(life, effect),
                                    lambda error: self._broken(life, error), cast(Any, None), self.unwritten)

    def die(self) -> None:
        """SIGKILL. A commit that is under way may have reached the disk, or a part of it where it is no transaction."""
        if not self.alive:
            return
        self.world.say(f"{self.name} dies")
        pending, self._pending = self._pending, None
        self._sequencer = None
        self.crash_in = None
        self.frozen_until = 0.0
        self.life += 1
        if pending is not None:
            with contextlib.suppress(OSError, JrError):
                self.write(pending, torn=True)
        self.died()

    def submit(self, effects: Sequence[Any]) -> None:
        """Apply what a core wants."""
        if self._sequencer is not None and self._loop is not None:
            if effects:
                self.acted = True
                with running(self._loop):
                    self._sequencer.submit(effects)
            self.arm()

    def arm(self) -> None:
        """Wake when the core wants to be woken."""
        at = self.next() if self.alive else None
        if at is None or (self._armed is not None and self._armed <= at):
            return
        self._armed = at
        life = self.life

        def wake() -> None:
            if self.life == life and self._armed == at:
                self._armed = None
                self._count_tick()
                self.tick()
                self.arm()
        self.world.at(max(at - self.world.time, 1e-6), wake, self)

    def step(self) -> bool:
        """One step on the way to a planned death; whether this was the one."""
        if self.crash_in is None:
            return False
        self.crash_in -= 1
        if self.crash_in < 0:
            self.die()
            return True
        return False

    # what the parties say

    def start(self) -> None:
        """Begin with what the disk holds; one that runs goes on."""
        raise NotImplementedError

    def step_clock(self, seconds: float) -> None:
        """The wall clock of the host jumps."""
        raise NotImplementedError

    def next(self) -> float | None:
        """When `tick` has something to do, in virtual time."""
        raise NotImplementedError

    def tick(self) -> None:
        """Time has passed."""
        raise NotImplementedError

    def act(self, effect: Any) -> None:
        """Apply an effect that writes nothing."""
        raise NotImplementedError

    def write(self, effects: list[Any], *, torn: bool = False) -> list[Any] | None:
        """Write these effects; `torn` when the process died meanwhile. What there was no room for is given back.

        Raises OSError when it cannot.
        """
        raise NotImplementedError

    def unwritten(self, queued: list[Any]) -> list[Any]:
        """Some of it could not be written: what goes on of all that is queued."""
        raise NotImplementedError

    def broken(self, error: BaseException) -> None:
        """A commit failed."""
        raise NotImplementedError

    def died(self) -> None:
        """The process is gone: close what it had open."""
        raise NotImplementedError

    # inside

    def _count_tick(self) -> None:
        """A core that wants to be woken all the time, and then does nothing, takes a whole processor."""
        since, count = self._ticks
        self._ticks = (since, count + 1) if self.world.time < since + 1.0 else (self.world.time, 1)
        if count >= BUSY:
            self.world.fail(f"{self.name} was woken {count} times within a second")

    def _turn(self, life: int, call: Callable[[], None]) -> None:
        """What comes at the end of a turn of the loop."""
        if life == self.life and self._loop is not None:
            with running(self._loop):
                call()

    def _begin_commit(self, life: int, writes: list[Any], commit: _Commit) -> None:
        self._pending = writes
        self.world.at(self.world.chance.uniform(*self.disk_seconds), lambda: self._end_commit(life, commit), self)

    def _end_commit(self, life: int, commit: _Commit) -> None:
        if life != self.life or self._loop is None:
            return
        self.acted = True
        if self.step():
            return
        writes, self._pending = self._pending or [], None
        error: BaseException | None = None
        left: list[Any] | None = None
        try:
            if self.fail_commits:
                self.fail_commits -= 1
                raise OSError("the disk fails")
            left = self.write(writes)
        except (OSError, JrError) as failure:
            error = failure
        if self.step():  # on disk, and nobody was told
            return
        with running(self._loop):
            commit.finish(error, left)
        self.arm()

    def _act(self, life: int, effect: Any) -> None:
        if life != self.life or self.step():
            return
        try:
            self.act(effect)
        except Exception as error:  # the sequencer would log it and go on; here it is a bug that was found
            self.world.fail(f"{self.name} cannot apply {effect!r}: {error!r}")

    def _broken(self, life: int, error: BaseException) -> None:
        if life == self.life:
            self.broken(error)
