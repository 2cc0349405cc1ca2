"""Tables of a look ahead: what `schedule.simulate` and `schedule.explain` answer, for people. Takes plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.style import GAP, Style
from common.text import escape, span

_BAR = 40
"""Characters of the longest bar."""
_IDS = 3
"""Ids that are named before the others are counted."""
_RUNS = 3
"""Runs of an entry that are shown."""


def simulation(value: Any, style: Style) -> str:
    """The entries with their runs and what is wrong with them, then the load."""
    parts = ["\n".join(_entry(entry, style)) for entry in value["entries"]]
    parts.append("\n".join(_load(value["load"])))
    parts.append(_problems(value["problems"], style))
    return "\n\n".join(part for part in parts if part)


def explanation(value: Any, style: Style) -> str:
    """The sentences, the first of them by itself, and the next runs."""
    first, *more = value["explained"]
    lines = [style.paint("bold", escape(first)), *(f"{GAP}- {escape(line)}" for line in more)]
    return "\n".join([*lines, *(f"{GAP}{_time(time)}" for time in value["next"])])


def _entry(entry: Mapping[str, Any], style: Style) -> Iterable[str]:
    yield (f"{style.paint('bold', escape(entry['name']))}{GAP}{escape(entry['function'])} on "
           f"{escape(_named(entry['members']))}")
    yield f"{GAP}{escape(entry['explained'][0])}"
    if entry.get("finished"):
        yield f"{GAP}finished: {escape(entry['finished'])}"
        return
    times = [_time(time) for time in entry["next"][:_RUNS]]
    more = ", ..." if entry["runs"] > len(times) else ""
    yield f"{GAP}{entry['runs']} run{'' if entry['runs'] == 1 else 's'}{': ' if times else ''}{', '.join(times)}{more}"
    if (past := entry["durations"]) and past["runs"] < 2:
        yield f"{GAP}{'the last run took' if past['runs'] else 'a run is said to take'} {span(past['usual'])}"
    elif past:
        yield (f"{GAP}half of the last {past['runs']} took {span(past['usual'])} at most, "
               f"95 of 100 {span(past['slow'])}, the longest {span(past['longest'])}")
    for line in entry["problems"]:
        yield f"{GAP}{style.paint('red', f'! {escape(line)}')}"
    for line in entry["warnings"]:
        yield f"{GAP}{style.paint('yellow', f'- {escape(line)}')}"


def _load(load: Mapping[str, Any]) -> Iterable[str]:
    busiest = load["busiest"]
    if not busiest:
        return
    jobs = "1 job begins" if load["starts"] == 1 else f"{load['starts']} jobs begin"
    yield f"{jobs} in all; the busiest minutes of the day, each on its worst day"
    most = busiest[0]["starts"]
    width = max(len(str(item["starts"])) for item in busiest)
    for item in busiest:
        bar = "#" * max(1, round(_BAR * item["starts"] / most))
        named = ", ".join(f"{escape(name)} {count}" for name, count in item["entries"].items())
        yield f"{item['minute']}{GAP}{bar:{_BAR}}{GAP}{item['starts']:{width}}{GAP}{item['day']}: {named}"


def _problems(problems: Sequence[str], style: Style) -> str:
    if not problems:
        return ""
    head = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    return "\n".join([style.paint("red", head), *(f"{GAP}{escape(line)}" for line in problems)])


def _named(ids: Sequence[str]) -> str:
    if len(ids) <= _IDS + 1:
        return ", ".join(ids)
    return f"{', '.join(ids[:_IDS])} and {len(ids) - _IDS} more"


def _time(iso: str) -> str:
    """`2026-01-02 03:04:05 +01:00` of an ISO time."""
    return f"{iso[:10]} {iso[11:19]} {iso[19:]}".rstrip()
