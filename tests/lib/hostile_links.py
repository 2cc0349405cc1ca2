"""Stories of a hub whose clients do not keep to the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common import keys
from common.ids import MinionId
from common.keys import KeyPair
from common.zmqhub import HubLimits
from tests.lib.links import ZmqWorld
from tests.lib.rawcurve import RawClient

Story = Callable[[ZmqWorld], Awaitable[None]]


def play(story: Story, limits: HubLimits | None = None, bind: str = "127.0.0.1") -> None:
    async def run() -> None:
        world = ZmqWorld(limits, bind)
        try:
            await story(world)
        finally:
            world.close()

    asyncio.run(run())


async def hostile(world: ZmqWorld, pair: KeyPair, properties: dict[str, bytes] | None = None) -> RawClient:
    """A hand-made client, past its handshake with the main port."""
    return await asyncio.to_thread(RawClient, world.hub.port, world.pair.public, pair, properties or {})


def known(world: ZmqWorld, name: str) -> KeyPair:
    """A pair whose key is accepted for `name`."""
    pair = keys.generate()
    world.master.known[pair.public] = MinionId(name)
    return pair
