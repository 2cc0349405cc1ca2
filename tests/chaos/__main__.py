"""`python -m tests.chaos`: jobs on a real fleet whose daemons are killed at random. Exit code 1 when a promise broke.

`--seed` fixes what is killed in which order and what the jobs are; the moments differ, since the machine is real.
"""

from __future__ import annotations

import argparse
import sys

from tests.chaos.storm import storm


def main() -> int:
    """Run the storm, and say what became of every job."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2.5, help="how long the storm lasts (default 2.5)")
    options = parser.parse_args()
    outcome = storm(options.jobs, options.seed, options.minutes * 60)
    print(outcome.report(), flush=True)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
