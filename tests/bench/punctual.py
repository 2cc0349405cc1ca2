"""How late runs of a schedule begin on an idle fleet, beside the timers of a bare process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from common.control import MASTER, Connection
from master.fleet import Fleet

RUNS = 10
"""Planned times, a second apart, for each minion."""
AHEAD = 2
"""Whole seconds from when an entry is added to its first run."""
SECONDS = 60.0
"""How long the verdicts may take to arrive."""
NAME = "punctual"


def lateness(root: Path, minions: list[str]) -> list[float]:
    """Seconds from each planned time to the start of its payload, on these minions at once."""
    with Connection(Fleet(root).paths.master_socket, MASTER) as connection:
        first = datetime.now().astimezone().replace(microsecond=0) + timedelta(seconds=AHEAD + 1)
        times = [f"{first + timedelta(seconds=number):%H:%M:%S}" for number in range(RUNS)]
        _call(connection, minions, "schedule.add", [NAME], {"function": "cmd.run", "args": ["true"], "at": times})
        time.sleep(AHEAD + RUNS)  # that is what is measured: an idle fleet that waits for its times
        found = dict(_starts(connection, RUNS * len(minions)))
        _call(connection, minions, "schedule.delete", [NAME], {})
    return [started - planned for started, planned in found.values()]


def bare_lateness(runs: int = 20) -> list[float]:
    """The same of `call_later` in a process that does nothing else."""
    async def wait() -> list[float]:
        loop, late = asyncio.get_running_loop(), []
        for _ in range(runs):
            planned, done = time.time() + 0.2, asyncio.Event()
            loop.call_later(planned - time.time(), done.set)
            await done.wait()
            late.append(time.time() - planned)
        return late

    return asyncio.run(wait())


def _call(connection: Connection, minions: list[str], function: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    for item in connection.stream("publish", None, target=",".join(minions), target_type="list", function=function,
                                  args=args, kwargs=kwargs, follow=True):
        if item.get("event") == "pair" and item["pair"]["state"] != "succeeded":
            raise SystemExit(f"cannot call {function}: {item['pair']}")


def _starts(connection: Connection, count: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """When each run began and when it was planned, by jid, once that many have ended."""
    end = time.monotonic() + SECONDS
    while True:
        runs = connection.ask("runs", limit=1000, cursor=None, filter={"schedule": NAME})["runs"]
        done = [run for run in runs if run["jid"] and set(run.get("states") or ()) == {"succeeded"}]
        if len(done) >= count:
            break
        if time.monotonic() > end:
            raise SystemExit(f"only {len(done)} of {count} runs have ended: {runs}")
        time.sleep(0.2)  # a look at the ledger
    for run in done:
        for item in connection.stream("watch", None, jid=run["jid"], follow=False):
            if item.get("event") == "pair":
                yield run["jid"], (item["pair"]["started"], run["planned"])
