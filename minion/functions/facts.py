"""What this minion says about its host."""

from __future__ import annotations

from typing import Any

from common.functions import Agent, inline


@inline(reads=True)
def get(key: str, default: Any = None, *, agent: Agent) -> Any:
    """One fact; a colon steps into it. A fact that is not there gives the default.

    Example: jr '*' facts.get memory:total
    """
    value: Any = agent.facts()
    for step in key.split(":"):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step)]
        else:
            return default
    return value


@inline(reads=True)
def items(*, agent: Agent) -> dict[str, Any]:
    """All facts.

    Example: jr 'web*' facts.items
    """
    return agent.facts()
