"""Many simulated worlds, one after the other: `python -m tests.sim.soak [WORLDS] [FIRST SEED]`; 1 when one fails.

A failing world prints its transcript, which begins with its seed; run it again with `python -m tests.sim.soak 1 SEED`,
or save the transcript, change it, and play it with `python -m tests.sim.stories FILE`.
"""

from __future__ import annotations

import sys
from collections import Counter

from tests.sim.commands import Commands
from tests.sim.nemesis import Nemesis
from tests.sim.world import Broken, World


def live(seed: int) -> World:
    """The whole life of one world. Raises Broken with its transcript."""
    nemesis = Nemesis(seed)
    world = World(seed, nemesis.minions, max_jobs=nemesis.max_jobs, lost_after=nemesis.lost_after,
                  scheduled=nemesis.scheduled)
    commands = Commands(world)
    for line in nemesis.commands():
        commands.play(line)
    return world


def main() -> int:
    """Run them, and count."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failed = events = jobs = pairs = 0
    verdicts: Counter[str] = Counter()
    for seed in range(first, first + worlds):
        try:
            world = live(seed)
        except Broken as error:
            failed += 1
            print(f"world {seed} failed:\n{error}", flush=True)
            continue
        events += world.events
        jobs += len(world.truth.jobs)
        pairs += len(world.truth.pairs)
        verdicts.update(one.verdict for one in world.truth.verdicts.given.values())
    print(f"{worlds} worlds, {failed} failed; {events} events, {jobs} jobs on {pairs} (job, minion) pairs")
    counts = ", ".join(f"{name} {count}" for name, count in verdicts.most_common())
    print(f"{verdicts.total()} verdicts on planned runs: {counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
