"""Prints docs/states.md from the table in common/states.py, so that the picture cannot go stale.

    python docs/make_states.py            writes the page
    python docs/make_states.py --check    ends with 1 when the page differs from the table
"""

from __future__ import annotations

import sys
from pathlib import Path

from common.states import NEXT, OBSERVED, OPEN, TERMINAL, State

PAGE = Path(__file__).parent / "states.md"

MEANING = {
    State.PLANNED: "Committed, and not sent: the minion has just connected, or is about to come back.",
    State.SENT: "On its way. Committed before the first byte leaves, so that a restart of the master sends it again.",
    State.ACCEPTED: "The minion has made the job's record durable.",
    State.QUEUED: "Accepted, and waiting for its turn (`max_jobs`).",
    State.RUNNING: "The payload runs; its pid is known.",
    State.SUCCEEDED: "Exit code 0, or the function returned. Somebody saw it happen.",
    State.FAILED: "Another exit code, an exception, or a signal; who sent it through `jobs.signal` is in the evidence.",
    State.TIMED_OUT: "The job's own time limit ran out, and its processes were ended.",
    State.KILLED: "Somebody asked for it; the evidence says who and when.",
    State.LOST: "Nobody saw an end: the supervisor died, the host went away, it could not start, or no answer came.",
    State.REFUSED: "The minion answered that it will not run it; the evidence says why.",
    State.UNDELIVERED: "It never left the master: the minion was not there.",
}


def page() -> str:
    """The whole page."""
    lines = [
        "# States of a job on a minion", "",
        "*Made from `common/states.py` by `docs/make_states.py`; do not edit.*", "",
        "The ledger has one row for each (jid, minion). Its state moves along these arrows and along no others; an",
        "illegal step changes nothing. A minion's word of a later state moves the row there directly.", "",
        "```mermaid", "stateDiagram-v2", "    [*] --> planned",
        *(f"    {state} --> {to}" for state in State for to in State if to in NEXT[state]),
        *(f"    {state} --> [*]" for state in State if not NEXT[state]), "```", "",
        "| state | kind | meaning | may become |", "|---|---|---|---|",
        *(f"| `{state}` | {_kind(state)} | {MEANING[state]} | {_next(state)} |" for state in State), "",
        "A job is **done**, once, when all its rows are terminal. `lost` is the one terminal state that can still",
        "change: a late true return replaces it, the change is logged as `job.corrected`, nothing is fired again.", "",
    ]
    return "\n".join(lines)


def _kind(state: State) -> str:
    if state in OPEN:
        return "open"
    return "terminal, observed" if state in OBSERVED else "terminal"


def _next(state: State) -> str:
    return ", ".join(f"`{to}`" for to in State if to in NEXT[state]) or "nothing"


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text("utf-8") != page())
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    assert set(MEANING) == set(State)
    assert set(TERMINAL) | set(OPEN) == set(State)
    sys.exit(main())
