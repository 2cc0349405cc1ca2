"""A daemon to be killed by tests: `python -m tests.process.agent STATE JID...` starts these jobs and waits."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from common.ids import Jid
from common.proc.executor import Executor
from tests.process.host import Events


async def main(state: Path, jids: list[Jid]) -> None:
    events = Events()
    executor = Executor(state, {"packages": ["tests.process.functions"]}, events)
    await executor.open()
    for jid in jids:
        executor.start(jid)
    while len(events.of("started")) < len(jids):
        await asyncio.sleep(0.01)  # lets the loop hear the notices
    print("started", flush=True)
    await asyncio.sleep(300)  # until the test kills us


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), [Jid(text) for text in sys.argv[2:]]))
