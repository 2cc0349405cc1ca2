"""The timer that wakes a core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from common.alarm import Alarm

Ts = TypeVarTuple("Ts")


class Loop(asyncio.SelectorEventLoop):
    """Counts the timers that alarms make."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts,
                context: Context | None = None) -> asyncio.TimerHandle:
        self.made += isinstance(getattr(callback, "__self__", None), Alarm)
        return super().call_at(when, callback, *args, context=context)


class Sleeper:
    """What an alarm wakes."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.alarm = Alarm(self._ring)
        self.rings: list[float] = []
        self._woken = asyncio.Event()

    def _ring(self) -> None:
        self.rings.append(self.loop.time())
        self._woken.set()

    async def woken(self) -> None:
        """Wait for the next ring, not for ever."""
        await asyncio.wait_for(self._woken.wait(), 10)
        self._woken.clear()


def play(test: Callable[[Sleeper], Any]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        await test(Sleeper(loop))

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())


def test_it_rings_once_and_never_from_inside() -> None:
    async def story(sleeper: Sleeper) -> None:
        begun = sleeper.loop.time()
        sleeper.alarm.set(0.02)
        assert sleeper.rings == []
        await sleeper.woken()
        # A loop runs what is due within the resolution of its clock.
        assert sleeper.rings[0] - begun > 0.019
        sleeper.alarm.set(-5)
        assert len(sleeper.rings) == 1
        await sleeper.woken()
        assert len(sleeper.rings) == 2

    play(story)


def test_a_timer_that_is_early_enough_is_kept() -> None:
    async def story(sleeper: Sleeper) -> None:
        sleeper.alarm.set(0.02)
        for seconds in (0.03, 60, 0.04, 3600) * 100:
            sleeper.alarm.set(seconds)
        assert sleeper.loop.made == 1
        await sleeper.woken()
        assert len(sleeper.rings) == 1

    play(story)


def test_an_earlier_moment_takes_its_place() -> None:
    async def story(sleeper: Sleeper) -> None:
        sleeper.alarm.set(60)
        sleeper.alarm.set(0.01)
        assert sleeper.loop.made == 2
        await sleeper.woken()
        assert len(sleeper.rings) == 1
        # What it replaced is gone: it has to be set anew.
        sleeper.alarm.set(0.01)
        await sleeper.woken()
        assert (len(sleeper.rings), sleeper.loop.made) == (2, 3)

    play(story)


def test_it_is_cancelled() -> None:
    async def story(sleeper: Sleeper) -> None:
        other = Sleeper(sleeper.loop)
        for stop in (sleeper.alarm.cancel, lambda: sleeper.alarm.set(None)):
            sleeper.alarm.set(0)
            stop()
            stop()
            other.alarm.set(0.01)
            await other.woken()
        assert sleeper.rings == []
        sleeper.alarm.set(0)
        await sleeper.woken()

    play(story)
