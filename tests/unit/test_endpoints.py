"""Frames of the bus on their way to the master's core: what is dropped when the disk is behind, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import Raw, structs

from common import clock, sequencer
from common.clock import MasterClock
from common.codec import encode, enrolled
from common.ids import MASTER, MinionId
from common.link import Connection, Key
from common.messages import Accepted, Ack, Enrol, Held, Hello, Message, Ping, Refused, Started, Stopped
from common.states import State
from master.core.core import Terms
from master.core.effects import PairMoved
from master.endpoints import Doors
from master.records import PutMinion
from master.shell import Shell
from master.store.memory import MemoryStore
from tests.lib.cores import minion, returned
from tests.lib.stored import NOON, jid, published
from tests.lib.stored import job as stored_job

M1, ONE = MinionId("m1"), Connection(1)
HELLO = Hello(version="1", boot_id="b", start=1, connection=1, facts=Raw(b"\x80"))


class Counting(MemoryStore):
    """Counts how often all of it was read."""

    snapshots = 0

    def snapshot(self) -> Any:
        self.snapshots += 1
        return super().snapshot()


class Bus:
    """A hub and a host of the master's own, as far as these tests need them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.dropped: list[Connection] = []

    def send(self, connection: Connection, frame: bytes) -> bool:
        self.sent.append(frame)
        return True

    def drop(self, connection: Connection) -> None:
        self.dropped.append(connection)

    def drop_key(self, key: Key) -> None: ...

    def key_of(self, connection: Connection) -> Key | None:
        return Key("k-m1")

    def close(self) -> None: ...

    def deliver(self, message: Message) -> None: ...

    def restart(self) -> None: ...


class Scene:
    """A master whose one minion has an open job."""

    def __init__(self) -> None:
        self.store = Counting()
        job = structs.replace(stored_job(1), start_by=clock.wall() + 300)
        self.store.apply([PutMinion(minion("m1")), published(job, ["m1"])], NOON)
        snapshot = self.store.snapshot()
        self.fatal: list[str] = []
        self.shell = Shell(self.store, snapshot, Terms(master="us"), MasterClock(snapshot.latest), self.fatal.append)
        self.doors = Doors(self.shell)
        self.bus = Bus()
        self.shell.attach(self.bus, self.bus)

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.doors.received(ONE, M1, encode(message))

    async def saved(self) -> None:
        await self.shell.committed([])

    def state(self) -> State:
        return next(self.store.pairs(jid(1))).state


def played(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def scene() -> None:
        scene = Scene()
        try:
            await asyncio.wait_for(play(scene), 10)
        finally:
            await scene.shell.close()
        assert scene.fatal == []

    asyncio.run(scene())


def test_greetings_are_taken_however_far_the_disk_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:  # P9
    monkeypatch.setattr(sequencer, "BOUND", 0)

    async def play(scene: Scene) -> None:
        scene.say(HELLO, Held(jobs=[], last=False), Held(jobs=[], last=True), Ping(n=7))
        assert scene.shell.core.fleet.synced(M1) == ONE
        await scene.saved()
        assert [frame for frame in scene.bus.sent if b"welcome" in frame]
        assert [frame for frame in scene.bus.sent if b"pong" in frame]
        assert scene.bus.dropped == []

    played(play)


@pytest.mark.parametrize("word", [
    returned(jid(1)), Accepted(jid=jid(1), at=NOON), Started(jid=jid(1), pid=1, at=NOON),
    Refused(jid=jid(1), reason="no"), Stopped(stop="s", jid=jid(1), outcome="cancelled"),
])
def test_words_that_come_again_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch, word: Message) -> None:
    async def play(scene: Scene) -> None:
        scene.say(HELLO, Held(jobs=[], last=True))
        await scene.saved()
        before = scene.state()
        monkeypatch.setattr(sequencer, "BOUND", 0)
        scene.say(word)
        await scene.saved()
        assert scene.state() is before
        monkeypatch.setattr(sequencer, "BOUND", 100)
        scene.say(returned(jid(1)))
        await scene.saved()
        assert scene.state() is State.SUCCEEDED

    played(play)


def test_garbage_costs_its_sender_the_connection_also_then(monkeypatch: pytest.MonkeyPatch) -> None:  # P8
    monkeypatch.setattr(sequencer, "BOUND", 0)

    async def play(scene: Scene) -> None:
        scene.doors.received(ONE, M1, b"\xc1")
        scene.doors.received(ONE, M1, encode(Ack(jid=jid(1))))  # a message in the wrong direction
        assert scene.bus.dropped == [ONE, ONE]

    played(play)


def test_a_connection_that_is_gone_is_told_to_the_core_once() -> None:
    async def play(scene: Scene) -> None:
        scene.say(HELLO)
        assert scene.doors.admit(Key("k-m1")) == M1
        scene.doors.gone(ONE)
        scene.doors.gone(ONE)
        assert scene.shell.core.fleet.up() == []

    played(play)


def test_the_name_of_the_masters_own_host_cannot_be_had() -> None:
    async def play(scene: Scene) -> None:
        answer = scene.doors.claimed(Key("k-x"), encode(Enrol(id=MASTER, version="1")), "10.0.0.1")
        assert answer is not None
        assert enrolled.decode(answer).reason == "the id `master` is reserved"
        assert scene.doors.claimed(Key("k-x"), b"\xc1", "10.0.0.1") is None
        answer = scene.doors.claimed(Key("k-y"), encode(Enrol(id=MinionId("m2"), version="1")), "10.0.0.1")
        assert answer is not None
        assert enrolled.decode(answer).status == "pending"
        await scene.saved()
        assert [row.state for row in scene.store.snapshot().minions if row.id == "m2"] == ["pending"]

    played(play)


def test_the_store_is_read_whole_only_once_at_the_start() -> None:
    async def play(scene: Scene) -> None:
        assert scene.store.snapshots == 1

    played(play)


def test_watchers_are_told_what_is_committed() -> None:
    async def play(scene: Scene) -> None:
        with scene.shell.watchers.watch(jid(1)) as watch:
            scene.say(HELLO, Held(jobs=[], last=True), returned(jid(1)))
            event = await watch.next()
            assert isinstance(event, PairMoved)
            assert event.pair.state is State.SUCCEEDED
            assert scene.state() is State.SUCCEEDED

    played(play)
