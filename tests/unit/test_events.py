"""Who watches what happens: in order, bounded, and told when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from common.errors import UnreachableError
from common.ids import MinionId
from common.messages import Stopped
from common.states import State
from master import events
from master.core.effects import Event, JobDone, JobNew, MinionUp, PairMoved, StopAnswered
from master.events import Watch, Watchers
from master.records import Outcome
from tests.lib.stored import jid, job, pair

M1 = MinionId("m1")
MOVED = PairMoved(pair(jid(1), "m1", State.RUNNING))
ANSWERED = StopAnswered(Stopped(stop="s", jid=jid(1), outcome="ended"), M1)
DONE = JobDone(jid(1), 1.0, {})


def played(scene: Callable[[Watchers], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        await asyncio.wait_for(scene(Watchers()), 10)

    asyncio.run(play())


async def taken(watch: Watch, count: int) -> list[Event]:
    return [await watch.next() for _ in range(count)]


def test_a_watch_gets_the_events_of_its_job_in_order() -> None:
    async def scene(watchers: Watchers) -> None:
        with watchers.watch(jid(1)) as watch, watchers.watch(jid(1)) as other, watchers.watch(jid(2)) as stranger:
            for event in (MOVED, ANSWERED, DONE):
                watchers.tell(event)
            watchers.tell(JobDone(jid(2), 1.0, {}))
            assert await taken(watch, 3) == [MOVED, ANSWERED, DONE]
            assert await taken(other, 3) == [MOVED, ANSWERED, DONE]
            assert await taken(stranger, 1) == [JobDone(jid(2), 1.0, {})]

    played(scene)


def test_events_that_nobody_watches_go_nowhere() -> None:
    async def scene(watchers: Watchers) -> None:
        watchers.tell(DONE)
        with watchers.watch(jid(1)) as watch:
            watchers.tell(MinionUp(M1))
            watchers.tell(JobNew(job(1), [M1]))
            watchers.tell(DONE)
            assert await taken(watch, 1) == [DONE]
        watchers.tell(DONE)
        assert watchers._by_jid == {}  # nothing is kept for those who left

    played(scene)


def test_one_who_leaves_does_not_end_the_others() -> None:
    async def scene(watchers: Watchers) -> None:
        with watchers.watch(jid(1)) as stays:
            with pytest.raises(ValueError), watchers.watch(jid(1)):
                raise ValueError
            watchers.tell(DONE)
            assert await taken(stays, 1) == [DONE]

    played(scene)


def test_the_end_of_the_master_is_told() -> None:
    async def scene(watchers: Watchers) -> None:
        with watchers.watch(jid(1)) as watch:
            watchers.tell(MOVED)
            watchers.end()
            assert await taken(watch, 1) == [MOVED]
            with pytest.raises(UnreachableError, match=r"^cannot follow any further: "):
                await watch.next()

    played(scene)


def test_a_slow_watcher_loses_its_watch_and_slows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BOUND", 4)

    async def scene(watchers: Watchers) -> None:
        with watchers.watch(jid(1)) as watch:
            for _ in range(100):
                watchers.tell(MOVED)
            watchers.end()
            assert await taken(watch, 3) == [MOVED] * 3  # what it got is whole up to there
            with pytest.raises(UnreachableError, match="too slow"):
                await watch.next()

    played(scene)


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:  # P8
    monkeypatch.setattr(events, "BYTES", 10_000)
    outcome = Outcome(value=b"v" * 1000, stdout=b"o" * 1000, stderr=b"e" * 1000)
    large = PairMoved(pair(jid(1), "m1", State.SUCCEEDED, outcome))

    async def scene(watchers: Watchers) -> None:
        with watchers.watch(jid(1)) as watch:
            for _ in range(10):  # what is taken in time takes no room
                watchers.tell(large)
                watchers.tell(large)
                assert await taken(watch, 2) == [large] * 2
            for _ in range(4):
                watchers.tell(large)
            watchers.tell(MOVED)  # small, but behind one that was lost: what a watcher sees has no holes
            assert watch._queue.qsize() == 4  # three events and the end
            assert await taken(watch, 3) == [large] * 3
            with pytest.raises(UnreachableError, match="too slow"):
                await watch.next()

    played(scene)
