"""One order for all effects: nothing leaves before what was to be saved earlier is on disk. # P1, P3"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from common import sequencer
from common.sequencer import Sequencer


class Save(str):
    """Something durable."""


class Disk(Executor):
    """A disk thread whose writes end when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: call(*args, **kwargs)))
        return future

    async def write(self, error: BaseException | None = None) -> None:
        """Let the write that is under way end, well or badly."""
        await turn()
        future, call = self.waiting.pop(0)
        if error is None:
            future.set_result(call())
        else:
            future.set_exception(error)
        for _ in range(3):  # the result comes over to the loop, then its callbacks run
            await asyncio.sleep(0)


class Story:
    """A sequencer, and what it did in order."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.done: list[str] = []
        self.more: dict[str, list[str]] = {}
        self.short: set[str] = set()
        self.queue: Sequencer[str] = Sequencer((Save,), self._commit, self._act, self._broken, self.disk,
                                               self._unwritten)

    def _commit(self, saves: list[str]) -> list[str] | None:
        self.done.append(f"[{' '.join(save for save in saves if save not in self.short)}]")
        return [save for save in saves if save in self.short] if self.short else None

    def _unwritten(self, queued: list[str]) -> list[str]:
        self.done.append(f"left: {' '.join(queued)}")
        return [effect for effect in queued if not effect.startswith("x")]

    def _act(self, effect: str) -> None:
        self.done.append(effect)
        self.queue.submit(self.more.pop(effect, []))

    def _broken(self, error: BaseException) -> None:
        self.done.append(f"broken: {error}")


async def turn() -> None:
    """Let the turn of the loop end: then a write begins."""
    await asyncio.sleep(0)


def played(scene: Callable[[Story], Coroutine[Any, Any, None]]) -> list[str]:
    """Play a scene on a loop; what was done."""
    async def play() -> list[str]:
        story = Story()
        await scene(story)
        return story.done

    return asyncio.run(play())


def test_what_needs_no_disk_leaves_at_once() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit(["a", "b"])
        assert story.done == ["a", "b"]
        await story.queue.drained()

    assert played(scene) == ["a", "b"]


def test_nothing_leaves_before_what_was_issued_earlier_is_saved() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit(["a", Save("S"), "b"])
        story.queue.submit(["c"])  # another event's: it waits as well
        assert story.done == ["a"]
        await story.disk.write()

    assert played(scene) == ["a", "[S]", "b", "c"]


def test_what_comes_during_a_write_shares_the_next_one() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit([Save("S1"), "a"])
        await turn()
        story.queue.submit([Save("S2"), "b"])
        story.queue.submit([Save("S3"), "c"])
        await story.disk.write()
        assert story.done == ["[S1]", "a"]
        await story.disk.write()
        assert not story.disk.waiting

    assert played(scene) == ["[S1]", "a", "[S2 S3]", "b", "c"]


def test_one_turn_of_the_loop_is_one_write() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit([Save("S1"), "a", Save("S2"), "b"])
        story.queue.submit([Save("S3"), "c"])  # another event's, of the same turn
        assert not story.disk.waiting
        await story.disk.write()
        assert not story.disk.waiting

    assert played(scene) == ["[S1 S2 S3]", "a", "b", "c"]


def test_effects_of_effects_come_behind() -> None:
    async def scene(story: Story) -> None:
        story.more = {"a": ["late", Save("S")]}
        story.queue.submit(["a", "b"])
        assert story.done == ["a", "b", "late"]
        await story.disk.write()

    assert played(scene) == ["a", "b", "late", "[S]"]


def test_a_write_that_fails_drops_all_that_is_behind_it() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit(["a", Save("S1"), "b"])
        await turn()
        story.queue.submit([Save("S2"), "c"])
        await story.disk.write(OSError("disk full"))
        await story.queue.drained()
        story.queue.submit(["d", Save("S3"), "e"])  # and it goes on from there
        await story.disk.write()

    assert played(scene) == ["a", "broken: disk full", "d", "[S3]", "e"]


def test_a_write_that_is_cancelled_counts_as_failed() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit([Save("S"), "a"])
        await turn()
        story.disk.waiting.pop()[0].cancel()
        await story.queue.drained()

    assert played(scene) == ["broken: "]


def test_what_a_write_leaves_goes_with_all_that_belongs_to_it() -> None:
    """R-A20: a disk without room for some of it."""
    async def scene(story: Story) -> None:
        story.short = {"xS"}
        story.queue.submit([Save("S1"), "a", Save("xS"), "xa", "b"])
        await turn()
        story.queue.submit(["xb", Save("S2"), "c"])
        await story.disk.write()
        story.short = set()
        await story.disk.write()

    assert played(scene) == ["[S1]", "left: a xS xa b xb S2 c", "a", "b", "[S2]", "c"]


def test_a_write_may_leave_nothing_and_say_so() -> None:
    async def scene(story: Story) -> None:
        story.short = {"none of these"}
        story.queue.submit([Save("S"), "a"])
        await story.disk.write()

    assert played(scene) == ["[S]", "left: a", "a"]


def test_whoever_closes_waits_for_all() -> None:
    async def scene(story: Story) -> None:
        story.queue.submit([Save("S1"), "a"])
        await turn()
        story.queue.submit([Save("S2"), "b"])
        waiting = asyncio.ensure_future(story.queue.drained())
        await story.disk.write()
        assert not waiting.done()
        await story.disk.write()
        await waiting

    assert played(scene) == ["[S1]", "a", "[S2]", "b"]


def test_it_says_when_the_disk_is_too_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "BOUND", 3)

    async def scene(story: Story) -> None:
        story.queue.submit([Save("S"), "a"])
        await turn()
        story.queue.submit(["b", "c"])
        assert not story.queue.crowded()
        story.queue.submit(["d"])
        assert story.queue.crowded()
        story.queue.submit(["e", "f"])
        assert not story.queue.full
        story.queue.submit(["g"])
        assert story.queue.full
        await story.disk.write()
        assert not story.queue.crowded()
        assert not story.queue.full

    assert played(scene)[-1] == "g"


def test_it_says_when_what_waits_is_too_heavy(monkeypatch: pytest.MonkeyPatch) -> None:  # R-B25
    monkeypatch.setattr(sequencer, "BYTES", 100)

    async def scene(story: Story) -> None:
        story.queue.submit(["light"], {None: 1000})  # it has left already
        assert not story.queue.crowded()
        story.queue.submit([Save("S1")], {None: 60})
        await turn()
        story.queue.submit([Save("S2")], {None: 39})
        assert not story.queue.crowded()
        story.queue.submit(["a"], {None: 1})
        assert story.queue.crowded()
        assert not story.queue.full
        story.queue.submit(["b"], {None: 100})
        assert story.queue.full
        await story.disk.write()
        await story.disk.write()
        assert not story.queue.crowded()
        story.queue.submit([Save("S3")], {None: 60})
        story.queue.submit([Save("S4")], {None: 40})
        assert story.queue.crowded()
        await story.disk.write(OSError("disk full"))
        assert not story.queue.crowded()

    assert played(scene)[-1] == "broken: disk full"


def test_one_who_floods_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:  # R-B25
    monkeypatch.setattr(sequencer, "BYTES", 100)

    async def scene(story: Story) -> None:
        story.queue.submit([Save("S1")], {"m1": 49})
        await turn()
        assert not story.queue.crowded("m1")
        story.queue.submit([Save("S2")], {"m1": 1})
        assert story.queue.crowded("m1")
        assert not story.queue.crowded("m2")
        await story.disk.write()
        assert not story.queue.crowded("m1")
        await story.disk.write()

    played(scene)
