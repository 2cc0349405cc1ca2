"""The schedule of this minion."""

from __future__ import annotations

from typing import Any

from common.functions import Agent, inline


@inline(reads=True)
def list_(*, agent: Agent) -> list[dict[str, Any]]:
    """The entries of this minion's schedule, each with its state and its next run.

    Example: jr '*' schedule.list
    """
    return agent.schedules()
