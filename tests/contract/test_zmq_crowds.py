"""More connections, handshakes and claims than there may be: who goes, and who is turned away."""

from __future__ import annotations

import asyncio
import socket

from common import keys
from common.link import Closed
from common.zmqhub import HubLimits
from tests.lib.hostile_links import known, play
from tests.lib.links import Agent, ZmqWorld, joined


def test_a_connection_that_says_nothing_is_cut() -> None:
    async def story(world: ZmqWorld) -> None:
        agent = Agent()
        world.line(known(world, "m1"), agent)
        stranger = socket.create_connection(("127.0.0.1", world.hub.port), timeout=20)
        assert await asyncio.to_thread(_hung_up, stranger)
        await world.until(lambda: agent.events == ["opened", Closed.LOST], "the silent line to end")
        stranger.close()
        assert world.master.over == []

    play(story, HubLimits(silence=0.2))


def test_a_connection_that_spoke_may_be_silent() -> None:
    async def story(world: ZmqWorld) -> None:
        _, agent, _, _ = await joined(world, "m1")
        silent = Agent()
        world.line(known(world, "m2"), silent)
        await world.until(lambda: silent.end is Closed.LOST, "the silent line to end")
        assert agent.end is None

    play(story, HubLimits(silence=0.2))


def test_a_quiet_claimant_is_cut() -> None:
    async def story(world: ZmqWorld) -> None:
        agent = Agent()
        line = world.enrol(keys.generate(), agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        assert line.send(b"m1")
        await world.until(lambda: agent.frames == [b"filed m1"], "the answer")
        await world.until(lambda: agent.end is Closed.LOST, "the quiet line to end")

    play(story, HubLimits(enrol_idle=0.2))


def _hung_up(stranger: socket.socket) -> bool:
    while stranger.recv(4096):
        pass
    return True


def test_above_the_limit_the_oldest_silent_connection_goes() -> None:  # R-B34
    async def story(world: ZmqWorld) -> None:
        _, agent, _, _ = await joined(world, "m1")
        strangers = [socket.create_connection(("127.0.0.1", world.hub.port), timeout=20) for _ in range(8)]
        assert await asyncio.to_thread(_hung_up, strangers[0])
        await joined(world, "m2")
        for stranger in strangers:
            stranger.close()
        assert agent.end is None

    play(story, HubLimits(connections=5))


def test_when_all_have_spoken_the_newest_goes() -> None:  # R-B34
    async def story(world: ZmqWorld) -> None:
        _, one, _, _ = await joined(world, "m1")
        _, two, _, _ = await joined(world, "m2")
        late = Agent()
        world.line(known(world, "m3"), late)
        await world.until(lambda: late.end, "the third line to end")
        assert one.end is None
        assert two.end is None

    play(story, HubLimits(connections=2))


def test_a_third_connection_of_a_key_costs_its_oldest() -> None:  # R-A13
    async def story(world: ZmqWorld) -> None:
        _, first, one, pair = await joined(world, "m1")
        _, second, _, _ = await joined(world, "m1", pair)
        _, third, _, _ = await joined(world, "m1", pair)
        await world.until(lambda: first.end is Closed.LOST, "the oldest to end")
        await world.until(lambda: world.master.over == [one], "the hub to be told")
        assert second.end is None
        assert third.end is None

    play(story)


def test_a_key_that_connects_too_often_is_turned_away_for_now() -> None:  # R-A15
    async def story(world: ZmqWorld) -> None:
        pair = known(world, "m1")
        for _ in range(3):
            line, _, _, _ = await joined(world, "m1", pair)
            line.close()
        agent = Agent()
        world.line(pair, agent)
        await world.until(lambda: agent.end, "the line to end")
        assert agent.events == [Closed.FAILED]
        await joined(world, "m2")

    play(story, HubLimits(handshakes_of_key=3))


def test_claims_of_one_address_are_limited() -> None:
    async def story(world: ZmqWorld) -> None:
        agent, late = Agent(), Agent()
        line = world.enrol(keys.generate(), agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        for number in range(5):
            line.send(b"%d" % number)
        await world.until(lambda: agent.end is Closed.LOST, "the eager line to end")
        assert [frame for _, frame, _ in world.master.claims] == [b"0", b"1", b"2"]
        assert {address for _, _, address in world.master.claims} == {"127.0.0.1"}
        world.enrol(keys.generate(), late)
        await world.until(lambda: late.end, "the late line to end")
        assert late.events == [Closed.FAILED]
        await joined(world, "m1")

    play(story, HubLimits(enrol_of_address=4))


def test_claims_overall_are_limited() -> None:
    async def story(world: ZmqWorld) -> None:
        agents = [Agent() for _ in range(4)]
        for agent in agents:
            world.enrol(keys.generate(), agent)
        await world.until(lambda: all(agent.events for agent in agents), "all answers")
        assert sorted(str(agent.events[0]) for agent in agents) == ["Closed.FAILED"] * 2 + ["opened"] * 2

    play(story, HubLimits(enrol_overall=2))


def test_a_key_of_the_main_port_is_nobody_at_the_enrolment_port() -> None:
    async def story(world: ZmqWorld) -> None:
        _, _, _, pair = await joined(world, "m1")
        agent = Agent()
        line = world.enrol(pair, agent)
        await world.until(lambda: "opened" in agent.events, "the line")
        asked = len(world.master.asked)
        assert line.send(b"m1")
        await world.until(lambda: agent.frames == [b"filed m1"], "the answer")
        assert len(world.master.asked) == asked
        assert world.master.texts("m1") == [b"hello"]

    play(story)
