"""What only the memory link can do: a test says what arrives, when, and what is lost."""

from __future__ import annotations

import pytest

from common import keys
from common.ids import MinionId
from common.link import Closed, Connection, Key
from common.memlink import MemHub, MemLine
from tests.lib.links import Agent, Master


def hub_of(master: Master, queue: int = 256) -> MemHub:
    return MemHub(master, master, master, queue=queue)


def open_of(hub: MemHub, master: Master, name: str) -> tuple[MemLine, Agent]:
    """An open line that has not spoken."""
    key, agent = keys.generate().public, Agent()
    master.known[key] = MinionId(name)
    line = hub.open_line(key, agent)
    hub.pump()
    return line, agent


def test_nothing_moves_until_it_is_pumped() -> None:
    master, agent = Master(), Agent()
    hub = hub_of(master)
    master.known[Key("k")] = MinionId("m1")
    line = hub.open_line(Key("k"), agent)
    assert agent.events == []
    assert master.asked == []
    assert hub.pump() == 2
    assert agent.events == ["opened"]
    assert line.send(b"hello")
    assert master.frames == []
    assert hub.pump() == 1
    assert hub.pump() == 0
    assert master.texts("m1") == [b"hello"]


def test_a_test_decides_which_line_comes_first() -> None:
    master = Master()
    hub = hub_of(master)
    one, _ = open_of(hub, master, "m1")
    two, _ = open_of(hub, master, "m2")
    for line, words in ((one, (b"1", b"2")), (two, (b"3", b"4"))):
        for word in words:
            line.send(word)
    assert hub.wires() == [one.up, two.up]
    for wire in (two.up, one.up, one.up, two.up):
        assert wire.deliver()
    assert not one.up.deliver()
    assert [frame for _, _, frame in master.frames] == [b"3", b"1", b"2", b"4"]


def test_a_cut_loses_what_is_under_way_in_both_directions() -> None:
    master = Master()
    hub = hub_of(master)
    line, agent = open_of(hub, master, "m1")
    line.send(b"hello")
    hub.pump()
    connection = master.connection(b"hello")
    line.send(b"lost")
    assert hub.send(connection, b"lost too")
    hub.cut(line)
    assert master.over == []
    assert not hub.send(connection, b"too late")
    line.send(b"the line does not know yet")
    hub.pump()
    assert master.over == [connection]
    assert master.texts("m1") == [b"hello"]
    assert agent.events == ["opened", Closed.LOST]


def test_the_two_ends_may_learn_of_a_cut_at_different_times() -> None:
    master = Master()
    hub = hub_of(master)
    line, agent = open_of(hub, master, "m1")
    line.send(b"hello")
    hub.pump()
    hub.cut(line)
    assert line.down.deliver()
    assert agent.end is Closed.LOST
    assert master.over == []
    assert line.up.deliver()
    assert master.over == [master.connection(b"hello")]


def test_a_cut_in_the_handshake_fails_the_line() -> None:
    master, agent = Master(), Agent()
    hub = hub_of(master)
    master.known[Key("k")] = MinionId("m1")
    line = hub.open_line(Key("k"), agent)
    line.up.deliver()
    hub.cut(line)
    hub.pump()
    assert agent.events == [Closed.FAILED]
    assert master.over == []


def test_a_full_wire_takes_no_more_until_something_arrives() -> None:
    master = Master()
    hub = hub_of(master, queue=3)
    line, agent = open_of(hub, master, "m1")
    assert [line.send(b"%d" % number) for number in range(4)] == [True, True, True, False]
    assert line.up.deliver()
    assert line.send(b"4")
    hub.pump()
    connection = master.connection(b"0")
    assert [hub.send(connection, b"%d" % number) for number in range(4)] == [True, True, True, False]
    hub.pump()
    assert agent.frames == [b"0", b"1", b"2"]


def test_what_a_callback_raises_reaches_the_test() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    master = Master()
    hub = hub_of(master)
    line, _ = open_of(hub, master, "m1")
    master.react = fail
    line.send(b"hello")
    with pytest.raises(RuntimeError, match="a fault"):
        hub.pump()


def test_two_that_never_stop_talking_are_found_out() -> None:
    master = Master()
    hub = hub_of(master)

    def echo(connection: Connection, frame: bytes) -> None:
        hub.send(connection, frame)

    def again(event: object) -> None:
        line.send(b"again")

    master.react = echo
    line, agent = open_of(hub, master, "m1")
    agent.react = again
    line.send(b"hello")
    with pytest.raises(RuntimeError, match=r"^cannot come to rest"):
        hub.pump(steps=100)


def test_lines_that_are_over_are_forgotten() -> None:
    master = Master()
    hub = hub_of(master)
    for number in range(20):
        line, _ = open_of(hub, master, "m1")
        line.send(b"%d" % number)
        hub.pump()
        line.close()
        hub.pump()
    assert len(master.over) == 20
    assert hub.wires() == []
    assert hub._lines == []
    assert not hub._connections
    assert not hub._minions


def test_claims_come_from_memory_and_have_no_connection() -> None:
    master, agent = Master(), Agent()
    hub = hub_of(master)
    line = hub.open_enrol(Key("k"), agent)
    hub.pump()
    assert line.send(b"m1")
    hub.pump()
    assert master.claims == [(Key("k"), b"m1", "memory")]
    line.close()
    hub.pump()
    assert master.over == []
