"""Many simulated worlds, one after the other: `python -m tests.sim.soak [WORLDS] [FIRST SEED]`; 1 when one fails.

A failing world prints its seed and its transcript; run it again with `python -m tests.sim.soak 1 SEED`.
"""

from __future__ import annotations

import sys

from tests.sim.test_world import test_every_job_ends_whatever_dies_when as live


def main() -> int:
    """Run them, and count."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failed = 0
    for seed in range(first, first + worlds):
        try:
            live(seed)
        except AssertionError as error:
            failed += 1
            print(f"world {seed} failed:\n{error}", flush=True)
    print(f"{worlds} worlds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
