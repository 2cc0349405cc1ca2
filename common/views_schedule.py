"""Tables of schedules, for people: planned runs with their verdicts, entries, and where one stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common import clock
from common.style import Style, columns, listed, standing, tree, word
from common.text import escape, local_time, span

_CAUSES = {"then": "after", "on_failure": "after the failure of", "by_hand": "by", "run_on_start": "at the start"}
_TIMES = frozenset({"next", "planned", "due", "at", "since", "last_planned", "last_started", "last_ended",
                    "last_skipped", "skips", "moved"})
"""Keys under which numbers are times."""
_TOLD = frozenset({"changed", "done"})
"""Keys for programs: `origin` says it in words."""
_ETC = "Etc/"
_BY_WALL = ("at", "cron", "calendar", "once")
_EMPTY: tuple[Any, ...] = (None, "", [], {})


def _runs(value: Any, style: Style, width: int) -> str:
    rows = [
        [local_time(run.get("planned")), escape(str(run.get("schedule", ""))), escape(str(run.get("minion", ""))),
         escape(str(run.get("verdict", ""))), escape(str(run.get("jid") or "")),
         standing(run["states"]) if run.get("states") else "", _about_run(run)]
        for run in listed(value, "runs")
    ]
    titles = ("PLANNED", "SCHEDULE", "MINION", "VERDICT", "JID", "STATES", "WHY")
    return columns(titles, rows, style, width, states="VERDICT", flexible=("WHY",),
                   spare=("STATES", "JID")) if rows else ""


def _about_run(run: Mapping[str, Any]) -> str:
    """How often, for whom, how late and why, in one line."""
    count, late = run.get("count", 1), run.get("at", 0.0) - run.get("planned", 0.0)
    by, cause = str(run.get("by") or ""), str(run.get("cause", "plan"))
    parts = [
        f"{count} runs until {local_time(run.get('last'))}" if count > 1 else "",
        f"{span(late)} late" if run.get("verdict") in ("late", "caught_up") else "",
        f"retry {run['attempt']}" if run.get("attempt") else "",
        "" if cause in ("plan", "retry") else f"{_CAUSES.get(cause, cause)}{f' {by}' if by else ''}",
        str(run.get("reason") or ""),
    ]
    return escape("; ".join(filter(None, parts)))


def _schedules(value: Any, style: Style, width: int) -> str:
    here = str(clock.local_zone())
    rows = [
        [escape(str(entry.get("name", ""))), _status(entry), _does(entry),
         _when(entry, here), _next(entry), _last(entry), _where(entry)]
        for entry in listed(value, "schedules")
    ]
    titles = ("NAME", "STATUS", "RUNS", "WHEN", "NEXT", "LAST", "FROM")
    return columns(titles, rows, style, width, flexible=("RUNS", "WHEN", "FROM"),
                   spare=("LAST", "RUNS")) if rows else ""


def _next(entry: Mapping[str, Any]) -> str:
    """Nothing for what a person must let go on first."""
    return "" if entry.get("status") == "paused" else local_time(entry.get("next"))


def _status(entry: Mapping[str, Any]) -> str:
    return "broken" if _problem(entry) else escape(str(entry.get("status", "")))


def _problem(entry: Mapping[str, Any]) -> str:
    return str(entry.get("broken") or entry.get("problem") or "")


def _does(entry: Mapping[str, Any]) -> str:
    on = f" on {entry['target']}" if entry.get("target") else ""
    return escape(str(entry.get("function", ""))) + "".join(f" {word(arg)}" for arg in entry.get("args") or ()) + \
        escape(on)


def _when(entry: Mapping[str, Any], here: str) -> str:
    """The trigger as it was written, or `by hand`; with the zone of its times when that is not `here`."""
    for trigger in ("every", "at", "cron", "calendar", "once", "continuous"):
        if written := entry.get(trigger):
            if isinstance(written, Mapping):
                written = [f"{field}={text}" for field, text in written.items()]
            text = ", ".join(map(str, written)) if isinstance(written, list) else str(written)
            zone = entry.get("timezone") or entry.get("zone") if trigger in _BY_WALL else None
            # `UTC` and `Etc/UTC` are one zone.
            there = f" ({zone})" if zone and str(zone).removeprefix(_ETC) != here.removeprefix(_ETC) else ""
            return escape("continuous" if trigger == "continuous" else f"{trigger} {text}{there}")
    return "" if _problem(entry) else "by hand"


def _last(entry: Mapping[str, Any]) -> str:
    told = [str(entry.get("last_verdict") or ""), str(entry.get("last_state") or "")]
    return escape(", ".join(filter(None, told)))


def _where(entry: Mapping[str, Any]) -> str:
    problem = _problem(entry)
    return escape("; ".join(filter(None, (str(entry.get("origin") or ""), str(entry.get("why") or ""), problem))))


def _schedule(value: Any, style: Style, width: int) -> str:
    """Any answer about entries or their runs; what is not so is left out."""
    return "" if value == [] else "\n".join(tree(_dated(value), width))


def returned(value: Any, style: Style, width: int) -> list[str]:
    """The lines for what a function `schedule.*` returned."""
    if isinstance(value, list) and value and all(map(_is_entry, value)):
        return _schedules(value, style, width).splitlines()
    return tree(_dated(value), width)


def _is_entry(value: Any) -> bool:
    """Whether it looks like one: whoever returned it may have returned anything."""
    return isinstance(value, Mapping) and ("status" in value or "broken" in value) \
        and isinstance(value.get("args") or [], list) and isinstance(value.get("next") or 0.0, (int, float))


def _dated(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _dated(item, name) for name, item in value.items() if item not in _EMPTY and name not in _TOLD}
    if isinstance(value, list):
        return [_dated(item, key) for item in value]
    if key in _TIMES and isinstance(value, (int, float)) and not isinstance(value, bool):
        return local_time(value)
    return value


TABLES: dict[str, Callable[[Any, Style, int], str]] = {
    "runs": _runs, "schedules": _schedules, "schedule": _schedule}
