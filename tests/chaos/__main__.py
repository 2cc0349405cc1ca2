"""`python -m tests.chaos [NAME] [options]`: one long scenario on a real fleet. Exit code 1 when a promise broke.

Each scenario is a module of this package by its name, with `options(parser)` and `run(options)`, which returns the exit
code. Without a name it is the storm.
"""

from __future__ import annotations

import argparse
import importlib
import sys

SCENARIOS = {
    "storm": "jobs on a fleet whose daemons are killed at random",
    "crash": "three jobs, and a process that is killed at its n-th system call, for every n",
    "slow": "jobs on a disk where each sync takes half a second longer",
    "partition": "the link to a minion is down in the middle of a stream of jobs (R-A18)",
    "restarts": "one daemon is killed every two seconds (R-A2)",
    "clocks": "wall clocks step by an hour, a day, ten years (R-B31)",
    "pauses": "each process is stopped for a minute and goes on (R-B36)",
    "outage": "the master is away while jobs end on a minion (R-A4)",
    "returns": "the master is killed while thousands of returns come in (R-A3)",
}


def main() -> int:
    """Run the scenario that is named."""
    words = sys.argv[1:]
    name = words.pop(0) if words and not words[0].startswith("-") else "storm"
    if name not in SCENARIOS:
        print("cannot run", name, "- there are:", *(f"\n  {one:10} {what}" for one, what in SCENARIOS.items()))
        return 2
    scenario = importlib.import_module(f"tests.chaos.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m tests.chaos {name}", description=scenario.__doc__)
    scenario.options(parser)
    code: int = scenario.run(parser.parse_args(words))
    return code


if __name__ == "__main__":
    sys.exit(main())
