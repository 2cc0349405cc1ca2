"""What every transport keeps: one suite over memory and ZeroMQ."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common import keys
from common.ids import MinionId
from common.link import Closed
from tests.lib.links import Agent, MemoryWorld, World, ZmqWorld, joined, play

Make = Callable[[], World]
LIMIT = 1024 * 1024

pytestmark = pytest.mark.parametrize("make", [MemoryWorld, ZmqWorld], ids=["memory", "zmq"])


def test_a_known_key_opens_a_line(make: Make) -> None:
    async def story(world: World) -> None:
        _, agent, _, _ = await joined(world, "m1")
        assert agent.events == ["opened"]
        assert [(minion, frame) for _, minion, frame in world.master.frames] == [(MinionId("m1"), b"hello")]
        assert world.master.over == []

    play(make, story)


def test_an_unknown_key_is_refused_and_told_once(make: Make) -> None:
    async def story(world: World) -> None:
        agent = Agent()
        line = world.line(keys.generate(), agent)
        await world.until(lambda: agent.end, "the end of the line")
        await world.settle()
        assert agent.events == [Closed.REFUSED]
        assert not line.send(b"hello")

    play(make, story)


def test_a_refused_key_comes_in_once_it_is_accepted(make: Make) -> None:  # R-A11
    async def story(world: World) -> None:
        pair, agent = keys.generate(), Agent()
        world.line(pair, agent)
        await world.until(lambda: agent.end is Closed.REFUSED, "the refusal")
        await joined(world, "m1", pair)

    play(make, story)


def test_frames_go_both_ways_in_order_and_unchanged(make: Make) -> None:
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        up = [b"", b"\x00\xff", *(b"up %d" % number for number in range(40))]
        down = [b"", b"\x00\xff", *(b"down %d" % number for number in range(40))]
        assert all([line.send(frame) for frame in up])
        assert all([world.hub.send(connection, frame) for frame in down])
        await world.until(lambda: len(world.master.frames) == 1 + len(up), "the frames to the hub")
        await world.until(lambda: len(agent.frames) == len(down), "the frames to the line")
        assert world.master.texts("m1")[1:] == up
        assert agent.frames == down

    play(make, story)


def test_an_answer_from_inside_a_callback_arrives(make: Make) -> None:
    async def story(world: World) -> None:
        world.master.react = lambda connection, frame: None if frame == b"hello" else _echo(world, connection, frame)
        line, agent, _, _ = await joined(world, "m1")
        agent.react = lambda event: None if event == b"5" else _next(line, event)
        assert line.send(b"1")
        await world.until(lambda: agent.frames == [b"1", b"2", b"3", b"4", b"5"], "five echoes")

    play(make, story)


def _echo(world: World, connection: object, frame: bytes) -> None:
    assert world.hub.send(connection, frame)  # type: ignore[arg-type]


def _next(line: object, event: object) -> None:
    assert line.send(b"%d" % (int(event) + 1))  # type: ignore[attr-defined, call-overload]


def test_frames_are_filed_under_the_owner_of_the_key(make: Make) -> None:  # R-A06
    async def story(world: World) -> None:
        one, _, _, _ = await joined(world, "m1")
        two, _, _, _ = await joined(world, "m2")
        assert one.send(b"i am m2")
        assert two.send(b"i am m1")
        await world.until(lambda: len(world.master.frames) == 4, "all frames")
        assert world.master.texts("m1") == [b"hello", b"i am m2"]
        assert world.master.texts("m2") == [b"hello", b"i am m1"]

    play(make, story)


def test_a_frame_of_the_greatest_size_passes(make: Make) -> None:
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        assert line.send(b"u" * LIMIT)
        assert world.hub.send(connection, b"d" * LIMIT)
        await world.until(lambda: world.master.texts("m1")[1:] == [b"u" * LIMIT], "the frame to the hub")
        await world.until(lambda: agent.frames == [b"d" * LIMIT], "the frame to the line")

    play(make, story)


@pytest.mark.parametrize("excess", [1, 100, LIMIT])
def test_an_oversized_frame_costs_that_connection_alone(make: Make, excess: int) -> None:  # R-B24
    async def story(world: World) -> None:
        good, good_agent, _, _ = await joined(world, "good")
        bad, agent, connection, _ = await joined(world, "bad")
        assert bad.send(b"x" * (LIMIT + excess))
        await world.until(lambda: agent.end is Closed.LOST, "the end of the bad line")
        await world.until(lambda: world.master.over == [connection], "the hub to be told")
        assert world.master.texts("bad") == [b"hello"]
        assert good.send(b"still here")
        await world.until(lambda: world.master.texts("good")[1:] == [b"still here"], "the good minion")
        assert good_agent.end is None

    play(make, story)


def test_a_dropped_connection_is_over_on_both_sides_and_told_once(make: Make) -> None:  # S23
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        _, other, still, _ = await joined(world, "m2")
        world.hub.drop(connection)
        assert not world.hub.send(connection, b"too late")
        world.hub.drop(connection)
        await world.until(lambda: agent.end is Closed.LOST, "the line to end")
        await world.until(lambda: world.master.over == [connection], "the hub to be told")
        assert not line.send(b"too late")
        await world.settle()
        assert world.master.over[:1] == [connection]
        assert connection not in world.master.over[1:]
        assert agent.events == ["opened", Closed.LOST]
        assert world.hub.send(still, b"still here")
        await world.until(lambda: other.frames == [b"still here"], "the other minion")

    play(make, story)


def test_a_connection_may_be_dropped_from_inside_its_own_frame(make: Make) -> None:  # R-B26
    async def story(world: World) -> None:
        world.master.react = lambda connection, frame: world.hub.drop(connection) if frame == b"rubbish" else None
        line, agent, connection, _ = await joined(world, "m1")
        assert line.send(b"rubbish")
        line.send(b"and more")
        await world.until(lambda: agent.end is Closed.LOST, "the line to end")
        await world.until(lambda: world.master.over == [connection], "the hub to be told")
        assert world.master.texts("m1") == [b"hello", b"rubbish"]

    play(make, story)


def test_dropping_a_key_cuts_all_its_connections(make: Make) -> None:  # R-A12
    async def story(world: World) -> None:
        _, other, _, _ = await joined(world, "m2")
        _, first, one, pair = await joined(world, "m1")
        _, second, two, _ = await joined(world, "m1", pair)
        del world.master.known[pair.public]
        world.hub.drop_key(pair.public)
        await world.until(lambda: first.end is Closed.LOST and second.end is Closed.LOST, "both lines to end")
        await world.until(lambda: sorted(world.master.over) == [one, two], "the hub to be told")
        assert other.end is None
        again = Agent()
        world.line(pair, again)
        await world.until(lambda: again.end is Closed.REFUSED, "the refusal of the dropped key")

    play(make, story)


def test_dropping_a_key_cuts_a_connection_that_has_not_spoken(make: Make) -> None:  # R-A12
    async def story(world: World) -> None:
        _, other, _, _ = await joined(world, "m2")
        pair, agent = keys.generate(), Agent()
        world.master.known[pair.public] = MinionId("m1")
        world.line(pair, agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        del world.master.known[pair.public]
        world.hub.drop_key(pair.public)
        await world.until(lambda: agent.end is Closed.LOST, "the line to end")
        await world.settle()
        assert world.master.texts("m1") == []
        assert other.end is None

    play(make, story)


def test_dropping_a_key_that_is_not_connected_does_nothing(make: Make) -> None:
    async def story(world: World) -> None:
        _, agent, _, _ = await joined(world, "m1")
        world.hub.drop_key(keys.generate().public)
        await world.settle()
        assert agent.end is None

    play(make, story)


def test_the_hub_is_told_when_a_line_closes(make: Make) -> None:
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        line.close()
        line.close()
        await world.until(lambda: world.master.over == [connection], "the hub to be told")
        assert not line.send(b"too late")
        assert not world.hub.send(connection, b"too late")
        assert agent.events == ["opened"]

    play(make, story)


def test_a_connection_that_never_spoke_is_not_told(make: Make) -> None:
    async def story(world: World) -> None:
        pair, agent = keys.generate(), Agent()
        world.master.known[pair.public] = MinionId("m1")
        line = world.line(pair, agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        line.close()
        _, _, connection, _ = await joined(world, "m1", pair)
        world.hub.drop(connection)
        await world.until(lambda: world.master.over, "the hub to be told")
        assert world.master.over == [connection]

    play(make, story)


def test_two_connections_of_one_key_have_two_names(make: Make) -> None:
    async def story(world: World) -> None:
        _, first, one, pair = await joined(world, "m1")
        _, second, two, _ = await joined(world, "m1", pair)
        assert one != two
        assert world.hub.send(one, b"first")
        assert world.hub.send(two, b"second")
        await world.until(lambda: first.frames == [b"first"] and second.frames == [b"second"], "both frames")

    play(make, story)


def test_a_restart_of_the_hub_ends_the_line_and_a_fresh_one_opens(make: Make) -> None:  # R-A03
    async def story(world: World) -> None:
        line, agent, _, pair = await joined(world, "m1")
        world.restart()
        await world.until(lambda: agent.end is Closed.LOST, "the line to end")
        assert not line.send(b"too late")
        assert world.master.over == []
        await joined(world, "m1", pair)

    play(make, story)


def test_a_line_to_a_closed_hub_fails(make: Make) -> None:
    async def story(world: World) -> None:
        world.hub.close()
        agent = Agent()
        line = world.line(keys.generate(), agent)
        await world.until(lambda: agent.end is Closed.FAILED, "the line to fail")
        assert not line.send(b"hello")
        world.restart()

    play(make, story)


def test_nothing_can_be_sent_before_a_line_is_open(make: Make) -> None:
    async def story(world: World) -> None:
        assert not world.line(keys.generate(), Agent()).send(b"hello")

    play(make, story)


def test_a_line_that_is_closed_at_once_tells_nothing(make: Make) -> None:
    async def story(world: World) -> None:
        pair, agent = keys.generate(), Agent()
        world.master.known[pair.public] = MinionId("m1")
        world.line(pair, agent).close()
        await world.settle()
        assert agent.events == []

    play(make, story)


def test_a_line_may_be_closed_from_inside_its_own_callbacks(make: Make) -> None:
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        agent.react = lambda event: line.close()
        for _ in range(5):
            world.hub.send(connection, b"word")
        await world.until(lambda: world.master.over == [connection], "the hub to be told")
        assert agent.events == ["opened", b"word"]

    play(make, story)


def test_a_full_queue_is_told_and_costs_nobody_else(make: Make) -> None:  # R-B25
    async def story(world: World) -> None:
        _, other, still, _ = await joined(world, "m2")
        _, _, connection, _ = await joined(world, "m1")
        frame = b"x" * (LIMIT // 2)
        # Nobody lets the line read in between: 800 frames of 512 KiB are more than any queue and any system buffer.
        sent = 0
        while sent < 800 and world.hub.send(connection, frame):
            sent += 1
        assert 10 <= sent < 800
        assert world.hub.send(still, b"still here")
        await world.until(lambda: other.frames == [b"still here"], "the other minion")

    play(make, story)


def test_what_finds_a_queue_full_follows_as_it_drains(make: Make) -> None:
    async def story(world: World) -> None:
        line, agent, connection, _ = await joined(world, "m1")
        frames = [b"%d " % number + bytes(16_000) for number in range(600)]
        assert all([world.hub.send(connection, frame) for frame in frames])
        await world.until(lambda: len(agent.frames) == len(frames), "all frames to the line")
        assert agent.frames == frames
        assert all([line.send(frame) for frame in frames])
        await world.until(lambda: len(world.master.frames) == 1 + len(frames), "all frames to the hub")
        assert world.master.texts("m1")[1:] == frames

    play(make, story)


def test_a_line_whose_hub_does_not_read_has_a_full_queue(make: Make) -> None:
    async def story(world: World) -> None:
        line, _, _, _ = await joined(world, "m1")
        frame = b"x" * (LIMIT // 2)
        assert not all(line.send(frame) for _ in range(1200))

    play(make, story)


def test_enrolment_answers_any_key(make: Make) -> None:
    async def story(world: World) -> None:
        pair, agent = keys.generate(), Agent()
        line = world.enrol(pair, agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        assert line.send(b"m1")
        await world.until(lambda: agent.frames == [b"filed m1"], "the answer")
        assert line.send(b"say nothing")
        assert line.send(b"m2")
        await world.until(lambda: agent.frames[1:] == [b"filed m2"], "the second answer")
        assert [(key, frame) for key, frame, _ in world.master.claims] == [
            (pair.public, b"m1"), (pair.public, b"say nothing"), (pair.public, b"m2")]
        assert world.master.frames == []

    play(make, story)


def test_an_oversized_claim_costs_its_connection(make: Make) -> None:
    async def story(world: World) -> None:
        agent, other_agent = Agent(), Agent()
        line = world.enrol(keys.generate(), agent)
        other = world.enrol(keys.generate(), other_agent)
        await world.until(lambda: "opened" in agent.events and "opened" in other_agent.events, "the lines")
        assert line.send(b"x" * 4097)
        await world.until(lambda: agent.end is Closed.LOST, "the line to end")
        assert other.send(b"x" * 4096)
        await world.until(lambda: [len(frame) for _, frame, _ in world.master.claims] == [4096], "the good claim")
        assert other_agent.end is None

    play(make, story)
