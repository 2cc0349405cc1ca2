"""The scheduler with 100,000 entries: what an hour of it costs, and what it costs when nothing is due.

The yardstick, of the same process: 100,000 small dictionaries in and out of a heap. `python -m tests.bench.schedules`.
"""

from __future__ import annotations

import heapq
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime

from common.ids import Jid, mint
from common.schedule.engine.engine import Engine
from common.schedule.model import Begin, Entry, Moment
from common.states import State
from tests.lib.driven import at_once

ENTRIES = 100_000
START = 1_767_571_200.0
HOUR = 3_600.0


class Minting:
    """Jids in order."""

    def __init__(self) -> None:
        self._last: Jid | None = None

    def __call__(self, now: float) -> Jid:
        self._last = mint(now, self._last)
        return self._last


def a_day(number: int) -> Entry:
    """What a site has: some run once a day or every few hours, at all times of the day."""
    minute, hour = number * 7 % 60, number * 11 % 24
    fields: dict[str, object] = [
        {"at": (f"{hour:02}:{minute:02}",)}, {"cron": f"{minute} {hour} * * *"}, {"every": 86_400.0},
        {"every": 21_600.0, "base": "grid"}, {"cron": f"{minute} {hour} * * {number % 7}"}][number % 5]
    return Entry(name=f"entry-{number}", function="test.ping", splay=60.0 if number % 3 == 0 else 0.0, **fields)


def an_hour(number: int) -> Entry:
    """The worst of it: all of them run in the hour."""
    return Entry(name=f"entry-{number}", function="test.ping", every=HOUR,
                 anchor=datetime.fromtimestamp(START - number % HOUR, UTC).isoformat())


class Figures:
    """One engine, run for an hour of its own time; seconds are those of this process's CPU."""

    def __init__(self, make: Callable[[int], Entry]) -> None:
        entries = {entry.name: entry for entry in map(make, range(ENTRIES))}
        self.engine = Engine("bench", UTC, Minting(), {}, None, Moment(START, 0.0))
        begin = time.process_time()
        at_once(self.engine.load(entries, {}, Moment(START, 0.0)))
        at_once(self.engine.changed())
        self.load = time.process_time() - begin
        self.runs = self.wakes = 0
        begin = time.process_time()
        boot = 0.0
        while (wait := self.engine.wait(Moment(START + boot, boot))) is not None and boot + wait <= HOUR:
            boot += wait
            self._wake(Moment(START + boot, boot))
        self.hour = time.process_time() - begin

    def _wake(self, now: Moment) -> None:
        self.wakes += 1
        for decision in self.engine.due(now):
            assert isinstance(decision, Begin)
            assert decision.occurrence.jid is not None
            self.runs += 1
            self.engine.ended(decision.occurrence.jid, State.SUCCEEDED, now)
        at_once(self.engine.changed())


def idle() -> float:
    """Seconds of CPU for 1,000 questions to an engine with 100,000 entries of which none is due."""
    entries = {f"e{number}": Entry(name=f"e{number}", function="test.ping", once="2030-01-01T00:00:00")
               for number in range(ENTRIES)}
    engine = Engine("bench", UTC, Minting(), {}, None, Moment(START, 0.0))
    at_once(engine.load(entries, {}, Moment(START, 0.0)))
    begin = time.process_time()
    for number in range(1_000):
        now = Moment(START + 60.0 * number, 60.0 * number)
        assert not engine.due(now)
        engine.wait(now)
    return time.process_time() - begin


def yardstick(count: int) -> float:
    """Seconds of CPU for so many small dictionaries in and out of a heap."""
    begin = time.process_time()
    heap: list[tuple[float, int, dict[str, object]]] = []
    for number in range(count):
        heapq.heappush(heap, (number * 7919 % 86_400, number, {"name": f"entry-{number}", "planned": number, "by": ""}))
    while heap:
        heapq.heappop(heap)[2].clear()
    return time.process_time() - begin


def main() -> None:
    """Print the figures."""
    for what, make in (("mixed: each once a day to four times", a_day), ("worst: each once an hour", an_hour)):
        figures = Figures(make)
        print(f"{ENTRIES} entries, {what}: load {figures.load:.2f} s, an hour {figures.hour:.3f} s of CPU for "
              f"{figures.runs} runs and {figures.wakes} wakes; yardstick, {ENTRIES} dictionaries through a heap: "
              f"{yardstick(ENTRIES):.3f} s")
    print(f"{ENTRIES} entries, none due: {idle() * 1000:.1f} us of CPU for each time that it is asked")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
