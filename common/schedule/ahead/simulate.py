"""What the entries of a fleet will do over some days: their runs, the changes of the clock, runs that get into each
other's way, the load of the fleet, and what can never run. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, NamedTuple

import msgspec

from common.schedule.ahead.explain import explain
from common.schedule.ahead.forecast import (
    RUNS_LIMIT,
    Outlook,
    Run,
    doubtful,
    finished,
    forecast,
    never,
    oddities,
    outlook,
)
from common.schedule.ahead.words import length
from common.schedule.model import Entry
from common.schedule.times.periods import Period
from common.schedule.times.wall import iso

ALL_RUNS = 400_000
"""Runs that are looked at in all, evenly among the entries: cron takes some 40 us for each."""
BUSIEST = 10
"""Minutes of the day that the load names."""

_MINUTE = 60
_FEWEST = 100
"""Runs of one entry that are looked at, however many entries there are."""


class Durations(NamedTuple):
    """How long the last runs of an entry took, in seconds."""

    runs: int
    usual: float
    """Half of them took no longer."""
    slow: float
    """95 of 100 took no longer."""
    longest: float


@dataclass(frozen=True)
class Member:
    """One host with its entries: a minion, or the master under the id `master`."""

    id: str
    entries: Mapping[str, Entry]
    periods: Mapping[str, Period]
    zone: tzinfo
    mark: str = ""
    """The same for members that have the same periods."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """By entry, how many there were."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """By entry, on how many minions a run is; 1 where it is not named."""


class _Group(NamedTuple):
    """Members that have the same entry."""

    entry: Entry
    member: Member
    """The first of them."""
    ids: list[str]


Splay = Callable[[str, str, float], float]
"""Seconds, from the member's id, the entry's name and the entry's splay."""


def durations(seconds: Iterable[float]) -> Durations | None:
    """What the durations of past runs say; None when there were none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Durations(len(ordered), _part(ordered, 0.5), _part(ordered, 0.95), ordered[-1])


def simulate(members: Sequence[Member], begin: float, end: float, history: Mapping[str, Durations], splay: Splay,
             zone: tzinfo, shown: int = 10) -> dict[str, Any]:
    """All of it as plain data; times are ISO with their offset. `history` is by entry, `zone` that of the load.

    `problems` names what can never run and what must overlap; it is empty when all is well.
    """
    load: Counter[int] = Counter()
    by_entry: dict[int, Counter[str]] = {}
    told = []
    groups = _groups(members)
    most = min(RUNS_LIMIT, max(_FEWEST, ALL_RUNS // max(1, len(groups))))
    for group in groups:
        name = group.entry.name
        past = history.get(name)
        look = outlook(group.entry, group.member.zone, group.member.periods, group.member.runs.get(name, 0),
                       0.0 if past is None else past.usual)
        runs = forecast(look, begin, end, most)
        for minute, count in _starts(group, runs, splay).items():
            load[minute] += count
            by_entry.setdefault(minute, Counter())[name] += count
        told.append(_entry(group, look, runs, past, begin, end, shown))
        if len(runs) >= most:
            told[-1]["warnings"].append(f"only its first {most} runs are looked at")
    problems = [f"{item['name']}: {problem}" for item in told for problem in item["problems"]]
    return {"from": iso(begin, zone), "until": iso(end, zone), "entries": told,
            "load": _load(load, by_entry, zone), "problems": problems}


# inside


def _groups(members: Sequence[Member]) -> list[_Group]:
    """Each entry once, with all members that have it alike."""
    found: dict[tuple[Any, ...], _Group] = {}
    for member in members:
        for name, entry in member.entries.items():
            key = (name, msgspec.json.encode(entry), str(member.zone), member.sizes.get(name, 1),
                   member.mark if entry.during or entry.excepting else "",
                   0 if entry.max_runs is None else member.runs.get(name, 0))
            found.setdefault(key, _Group(entry, member, [])).ids.append(member.id)
    return list(found.values())


def _entry(group: _Group, look: Outlook, runs: Sequence[Run], past: Durations | None, begin: float, end: float,
           shown: int) -> dict[str, Any]:
    entry = group.entry
    begins = [run.begins for run in runs if run.begins is not None]
    problems, warnings = [], []
    if why := never(look, begin):
        problems.append(f"it can never run: {why}")
    if past is not None:
        crowded = _overlaps(entry, begins, past.usual)
        if crowded:
            problems.append(_crowded(entry, crowded, len(begins), "usually", past.usual))
        elif crowded := _overlaps(entry, begins, past.slow) or _overlaps(entry, begins, past.longest):
            warnings.append(_crowded(entry, crowded, len(begins), "at times", past.longest))
    skipped = len(runs) - len(begins)
    if skipped:
        warnings.append(f"{skipped} of {len(runs)} planned runs are outside its window and are skipped")
    warnings += doubtful(look, begin)
    warnings += [oddity.text for oddity in oddities(look, begin, end)]
    return {"name": entry.name, "function": entry.function, "members": group.ids, "zone": str(look.zone),
            "explained": explain(entry, str(look.zone)), "runs": len(begins), "skipped_window": skipped,
            "next": [iso(time, look.zone) for time in begins[:shown]],
            "durations": None if past is None else past._asdict(), "finished": finished(look, begin),
            "problems": problems, "warnings": warnings}


def _overlaps(entry: Entry, begins: Sequence[float], takes: float) -> int:
    """How many of these runs are due while as many go on as may, when each takes so long."""
    most = entry.allow if entry.overlap == "allow" else 1
    ends: list[float] = []
    crowded = 0
    if entry.base == "end" or entry.continuous:
        return 0
    for time in begins:
        ends = [end for end in ends if end > time]
        if len(ends) < most:
            ends.append(time + takes)
            continue
        crowded += 1
        if entry.overlap == "queue":
            ends = [min(ends) + takes]
        elif entry.overlap == "kill":
            ends = [time + takes]
    return crowded


def _crowded(entry: Entry, crowded: int, count: int, often: str, takes: float) -> str:
    fate = {"skip": "are skipped", "queue": "have to wait", "kill": "kill the one before",
            "allow": f"are skipped, with {entry.allow} going on"}[entry.overlap]
    return (f"its runs overlap: one {often} takes {length(_rounded(takes))}, so {crowded} of {count} {fate}")


def _starts(group: _Group, runs: Sequence[Run], splay: Splay) -> Counter[int]:
    """Jobs that begin, by the minute of the epoch, on all members of the group."""
    size = group.member.sizes.get(group.entry.name, 1)
    delays = Counter(round(splay(id, group.entry.name, group.entry.splay)) for id in group.ids)
    # Few seconds of the minute are there among planned times, so the delays are rounded to minutes once for each.
    shifts: dict[int, Counter[int]] = {}
    found: Counter[int] = Counter()
    for run in runs:
        if run.begins is None:
            continue
        minute, second = divmod(int(run.begins), _MINUTE)
        if second not in shifts:
            shifts[second] = Counter()
            for delay, count in delays.items():
                shifts[second][(second + delay) // _MINUTE] += count * size
        for shift, count in shifts[second].items():
            found[minute + shift] += count
    return found


def _load(load: Counter[int], by_entry: Mapping[int, Counter[str]], zone: tzinfo) -> dict[str, Any]:
    """The minutes of the day in which most jobs begin, each by its worst day."""
    worst: dict[str, tuple[int, int]] = {}
    days: Counter[str] = Counter()
    for minute, count in load.items():
        clock = iso(minute * _MINUTE, zone)[11:16]
        days[clock] += 1
        worst[clock] = max(worst.get(clock, (0, 0)), (count, -minute))
    busiest = sorted(worst.items(), key=lambda item: (-item[1][0], item[0]))[:BUSIEST]
    return {"starts": load.total(), "busiest": [
        {"minute": clock, "starts": count, "days": days[clock], "day": iso(-minute * _MINUTE, zone)[:10],
         "entries": dict(by_entry[-minute].most_common(3))}
        for clock, (count, minute) in busiest]}


def _part(ordered: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _rounded(seconds: float) -> float:
    return round(seconds) if seconds >= 10 else round(seconds, 1)
