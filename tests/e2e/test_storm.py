"""B02: the short form of `make chaos`, which plays 1,000 jobs."""

from __future__ import annotations

from tests.chaos.storm import storm


def test_no_job_is_lost_in_a_storm_of_kills() -> None:
    """B02, R-A3: while daemons are killed at random, no job is lost, run twice or left without a state."""
    outcome = storm(60, 1, 12.0)
    assert outcome.good, outcome.report()
    assert outcome.verdict.line() == "lost 0, run twice 0, without a state 0"
    assert outcome.printed >= 60
    assert sum(outcome.kills.values()) > 3
