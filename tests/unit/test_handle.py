"""What inline functions see of their agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common.functions import FunctionInfo
from common.ids import MinionId
from config.settings import MinionSettings
from minion.assembly import Parts, assemble
from minion.handle import Handle
from minion.standalone import Alone

OF_A_USER: FunctionInfo = {"doc": "", "params": [], "inline": False, "reads": False}


def handle_of(parts: Parts) -> Handle:
    """The handle that inline functions of these parts get."""
    agent = parts.hands._agent
    assert isinstance(agent, Handle)
    return agent


def test_the_table_is_put_together_once_for_each_spawner(tmp_path: Path) -> None:
    async def story() -> None:
        parts = assemble(MinionSettings(id=MinionId("web1")), tmp_path, 0, None, Alone())
        handle, executor = handle_of(parts), parts.hands.executor
        assert "test.ping" in handle.functions()

        executor.table = {"mine.do": OF_A_USER, "test.ping": OF_A_USER}
        table = handle.functions()
        assert handle.functions() is table
        assert table["mine.do"] is OF_A_USER
        # What runs inside the agent is what the agent has, whatever the spawner found under its name.
        assert table["test.ping"]["inline"]

        executor.table = {}
        assert "mine.do" not in handle.functions()
        await parts.hands.close()

    asyncio.run(story())
