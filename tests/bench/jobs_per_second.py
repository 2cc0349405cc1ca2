
"""How many jobs one host runs in a second, through the real spawner: `python -m tests.bench.jobs_per_second`."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import tempfile
from pathlib import Path

from common import clock
from common.ids import Jid
from tests.process.host import TestHost, make_record

JOBS = 300


class BenchHost(TestHost):
    """A host that waits for ends without polling."""

    def __init__(self, state: Path, containment: str) -> None:
        super().__init__(state, containment=containment)
        self._waiting: dict[Jid, asyncio.Future[None]] = {}
        self.events.ended = self._ended  # type: ignore[method-assign]

    def _ended(self, jid: Jid) -> None:
        self._waiting.pop(jid).set_result(None)

    async def one(self, function: str, *args: str) -> None:
        record = make_record(function, *args)
        self._waiting[record.jid] = done = asyncio.get_running_loop().create_future()
        assert self.folders.claims.add(record.jid, clock.boottime() + 3600, sync=False)
        self.folders.records.write(record, sync=False)
        self.folders.sync_starts([record.jid])
        self.executor.start(record.jid)
        await done
        assert self.folders.settle(record.jid) is not None
        self.folders.forget(record.jid)


async def measure(host: BenchHost, function: str, argument: str, width: int) -> float:
    """Jobs a second, `width` of them at a time."""
    async def row() -> None:
        for _ in range(JOBS // width):
            await host.one(function, argument)
    began = clock.boottime()
    await asyncio.gather(*(row() for _ in range(width)))
    return JOBS / (clock.boottime() - began)


async def main(containment: str) -> None:
    """One line for each kind of job."""
    with tempfile.TemporaryDirectory() as folder:
        host = BenchHost(Path(folder), containment)
        await host.executor.open()
        try:
            for function, argument in (("run.shell", "true"), ("plain.echo", "hello")):
                rates = [await measure(host, function, argument, width) for width in (1, 4)]
                print(f"{containment:10} {function:12} {rates[0]:6.0f}/s in a row, {rates[1]:6.0f}/s four at a time")
        finally:
            await host.executor.close()


def yardstick() -> float:
    """The same shell, forked and executed by Python alone, as often a second."""
    began = clock.boottime()
    for _ in range(JOBS):
        subprocess.run(["/bin/sh", "-c", "true"], check=True)
    return JOBS / (clock.boottime() - began)


if __name__ == "__main__":
    print(f"yardstick  subprocess.run {yardstick():5.0f}/s")
    for kind in ("auto", "subreaper"):
        asyncio.run(main(kind))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU: {(used.ru_utime + used.ru_stime) / (8 * JOBS + JOBS) * 1000:.1f} ms a job, of all children")
