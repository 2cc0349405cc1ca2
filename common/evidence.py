"""What the evidence of a pair says, in one line for people. Takes plain data; escapes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 20
"""Names in a row before the rest is only counted."""
_LISTED = 100
"""Processes that evidence lists at most (`common.messages.Evidence`)."""
_ENDED = ("killed", "timed_out")
"""States in which somebody ended the whole tree of the job."""


def names(known: Sequence[str], most: int = _SHOWN) -> str:
    """`m1, m2 and 80 more`: the first `most` of these names."""
    more = len(known) - most
    return ", ".join(known[:most]) + (f" and {more} more" if more > 0 else "")


def heading(pair: Mapping[str, Any]) -> str:
    """What follows the name of a state at once, before what `account` says; empty for most.

    `killed: 7 processes...`, `timed_out after 5 s: 3 processes...`.
    """
    evidence = pair.get("evidence") or {}
    if pair.get("state") not in _ENDED or evidence.get("signalled") is None:
        return ""
    limit = evidence.get("timeout")
    return f" after {limit:g} s:" if isinstance(limit, (int, float)) else ":"


def account(pair: Mapping[str, Any]) -> list[str]:
    """Why the pair is in its state: who was signalled and survived, who asked for it, the reason, what was left."""
    evidence = pair.get("evidence") or {}
    parts = [_tree(evidence), _reason(pair, evidence), f"by {evidence['by']}" if evidence.get("by") else ""]
    if pair.get("state") not in _ENDED:
        parts[0], parts[1] = parts[1], parts[0]
    # A tree was signalled after the end of a job that nobody stopped: what it left behind is no more.
    swept = pair.get("state") in ("succeeded", "failed") and evidence.get("signalled") is not None
    behind = "left behind and ended" if swept else "left behind"
    for name, text in (("survivors", "still alive"), ("left_behind", behind)):
        if processes := evidence.get(name):
            parts.append(f"{text}: {names([_process(process) for process in processes])}")
    return [part for part in parts if part]


def _tree(evidence: Mapping[str, Any]) -> str:
    """`7 processes, 0 left, 0.04 s`: what was signalled, what survived, and how long that took."""
    count, took = evidence.get("signalled"), evidence.get("took")
    parts = [] if count is None else [f"{count} process{'' if count == 1 else 'es'}"]
    if evidence.get("containment") == "unknown":
        parts.append("survivors unknown")
    elif count is not None:
        left = len(evidence.get("survivors") or ())
        parts.append(f"{left} left" if left < _LISTED else f"{left} or more left")
    if isinstance(took, (int, float)):
        parts.append(f"{max(0.01, round(took, 2)):g} s")
    return ", ".join(parts)


def _reason(pair: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    if evidence.get("timeout") is not None and pair.get("state") == "timed_out":
        return ""
    return str(evidence.get("reason") or _exit(pair, evidence))


def _exit(pair: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    if pair.get("state") == "running" and pair.get("pid"):
        return f"pid {pair['pid']}"
    if pair.get("state") == "planned":
        return "waits for the minion to connect"
    if pair.get("state") != "failed":
        return ""
    if signal := evidence.get("signal"):
        return f"signal {signal}"
    return "" if pair.get("retcode") is None else f"exit {pair['retcode']}"


def _process(process: Mapping[str, Any]) -> str:
    """`4711 sleep (D)`."""
    state = process.get("state")
    return f"{process.get('pid')} {process.get('name', '')}".strip() + (f" ({state})" if state else "")
