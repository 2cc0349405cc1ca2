"""What `schedule.simulate` looks at: the entries of the fleet or of a file, and how long their runs took."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from common import clock
from common.durations import parse_duration
from common.errors import JrError, NotFoundError, UsageError
from common.ids import MASTER, MinionId
from common.schedule.ahead.asked import LATEST, asked_time, explained
from common.schedule.ahead.known import Known
from common.schedule.ahead.simulate import Durations, Member, durations, simulate
from common.schedule.engine.splay import offset
from common.schedule.entries.calendars import read_periods
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.fields import READERS
from common.schedule.model import Entry
from common.schedule.times.wall import iso
from common.targets import parse
from common.text import escape, nearest
from runners.api import Item, Master

if TYPE_CHECKING:
    from config.lookahead import Problem  # a fleet needs none of it

DAYS = 7.0
DAYS_LIMIT = 400.0
PAST = 20
"""Past runs of an entry whose durations count."""
PAST_LIMIT = 2_000
"""Past runs that are looked up in all."""
PATIENCE = 30.0
"""Seconds for the minions to say what they have."""

_DAY = 86_400.0
_ALL = "*"
_TOOK = "took."
_OPTIONS = ("from", "days", "name", "minion", "file", "took.ENTRY")


class Options(NamedTuple):
    """What to look at."""

    begin: float
    end: float
    name: str = _ALL
    """A glob of entries."""
    minion: str = _ALL
    """A glob of minions."""
    file: Path | None = None
    """Files in the place of the fleet."""
    took: Mapping[str, float] = {}
    """How long a run of an entry takes, in seconds, by its name; wins over the past."""


def options(given: Mapping[str, str], now: float) -> Options:
    """The options as they are typed; `now` is epoch seconds. Raises UsageError."""
    for key in given:
        if key not in _OPTIONS and not key.startswith(_TOOK):
            raise UsageError(f"cannot simulate with {escape(key[:100])}=: the options are {', '.join(_OPTIONS)}"
                             f"{nearest(key, _OPTIONS)}")
    days = _days(given.get("days", f"{DAYS:g}"))
    begin = asked_time(given["from"], clock.local_zone()) if "from" in given else now
    end = begin + days * _DAY
    if end >= LATEST:
        raise UsageError(f"cannot simulate days={days:g} from {escape(given.get('from', 'now')[:100])}: the years 1970 "
                         "to 8999 are allowed")
    took = {key.removeprefix(_TOOK): _length(key, text) for key, text in given.items() if key.startswith(_TOOK)}
    return Options(begin, end, given.get("name", _ALL), given.get("minion", _ALL),
                   Path(given["file"]) if "file" in given else None, took)


def ahead(master: Master, wanted: Options) -> dict[str, Any]:
    """The simulation, as plain data. Without a file it asks the fleet; with one it needs no master. Raises JrError."""
    if wanted.file is not None:
        return _ahead(*_of_file(wanted.file), wanted, {})
    members, problems = _of_fleet(master, wanted.minion)
    if not members and not problems:
        raise NotFoundError(f"cannot find a minion '{escape(wanted.minion[:100])}' to look at")
    names = sorted({name for member in members for name in member.entries if fnmatch.fnmatchcase(name, wanted.name)})
    return _ahead(members, problems, wanted, _past(master, names))


def of_file(given: Mapping[str, str]) -> dict[str, Any]:
    """The simulation of files alone, for those who have no master. Raises UsageError."""
    wanted = options(given, clock.wall())
    assert wanted.file is not None
    if not wanted.file.is_absolute():
        raise UsageError(f"cannot use {wanted.file}: it must be an absolute path, since jobs run in /")
    return _ahead(*_of_file(wanted.file), wanted, {})


def explanation(entry: Any, count: int, file: str | None) -> dict[str, Any]:
    """An entry in words, with its next `count` runs, as plain data. A name is one in the file. Raises UsageError."""
    names = _known(file)
    return explained(entry, iso(clock.wall(), names.zone), count, names)


def _known(file: str | None) -> Known:
    """What names mean: the entries and periods of a file, or nothing. Raises UsageError."""
    if file is None:
        return Known({}, {}, clock.local_zone())
    (member,), problems = _of_file(Path(file))
    return Known(member.entries, member.periods, member.zone, broken={name: line for name, line in problems if name})


# inside


def _ahead(members: Sequence[Member], problems: Sequence[Problem], wanted: Options,
           past: Mapping[str, Durations]) -> dict[str, Any]:
    names = {*(name for member in members for name in member.entries), *(name for name, _ in problems if name)}
    _check_names(names, wanted)
    told = [line for name, line in problems if name is None or fnmatch.fnmatchcase(name, wanted.name)]
    past = {**past, **{name: Durations(0, seconds, seconds, seconds) for name, seconds in wanted.took.items()}}
    found = simulate([_chosen(member, wanted.name) for member in members], wanted.begin, wanted.end, past, offset,
                     clock.local_zone())
    found["problems"][:0] = [*told, *(line for member in members for line in _unfollowed(member, wanted.name))]
    return found


def _check_names(names: Collection[str], wanted: Options) -> None:
    """Raises NotFoundError for what is asked for and is not there."""
    for name in wanted.took:
        if name not in names:
            raise NotFoundError(f"cannot simulate with {_TOOK}{escape(name[:100])}: there is no such entry"
                                f"{nearest(name, names)}")
    if wanted.name != _ALL and not any(fnmatch.fnmatchcase(name, wanted.name) for name in names):
        raise NotFoundError(f"cannot find an entry '{escape(wanted.name[:100])}'{nearest(wanted.name, names)}")


def _unfollowed(member: Member, name: str) -> Iterator[str]:
    """What the chosen entries name to come after them, and is not there."""
    for entry in _chosen(member, name).entries.values():
        for key in ("then", "on_failure"):
            for follow in getattr(entry, key):
                if follow.entry not in member.entries:
                    yield (f"{member.id}: {entry.name}: {key} names '{follow.entry}', and there is no such entry"
                           f"{nearest(follow.entry, member.entries)}")


def _of_file(path: Path) -> tuple[list[Member], list[Problem]]:
    from config.lookahead import member_of  # a fleet needs none of it

    member, problems = member_of(path, clock.local_zone())
    return [member], problems


def _of_fleet(master: Master, minion: str) -> tuple[list[Member], list[Problem]]:
    """The master's own entries, and those of every minion that answers; the others are named."""
    rows = _answers(master, minion, "schedule.list")
    periods = _answers(master, minion, "schedule.periods")
    members, problems = _own(master) if fnmatch.fnmatchcase(MASTER, minion) else ([], [])
    for id, (state, value) in sorted(rows.items()):
        if state != "succeeded" or periods.get(id, ("", None))[0] != "succeeded":
            problems.append((None, f"cannot ask {id} for its schedule: {state}"))
            continue
        try:
            member, wrong = _member(id, value, periods[id][1])
        except (JrError, LookupError, TypeError, ValueError, OverflowError, OSError):
            problems.append((None, f"cannot use what {id} says of its schedule"))  # it may say anything
            continue
        members.append(member)
        problems += wrong
    return members, problems


def _own(master: Master) -> tuple[list[Member], list[Problem]]:
    """The master's own entries; a run of one with a target is as many jobs as it has minions now."""
    member, problems = _member(str(MASTER), master.schedule("list"), master.schedule("periods"))
    targeted = {name: entry for name, entry in member.entries.items() if entry.target is not None}
    ids = [MinionId(id) for id in master.presence()] if targeted else []
    sizes = {name: len(parse(entry.target_type, entry.target or "").match(ids)) for name, entry in targeted.items()}
    return [replace(member, sizes=sizes)], problems


def _answers(master: Master, minion: str, function: str) -> dict[str, tuple[str, Any]]:
    """The state and the value by minion."""
    found: dict[str, tuple[str, Any]] = {}
    stream: Iterator[Item] = master.publish(minion, "glob", function, [], {}, until=clock.boottime() + PATIENCE)
    with contextlib.suppress(NotFoundError):  # a fleet without such minions
        found.update(_streamed(stream))
    return found


def _streamed(stream: Iterator[Item]) -> Iterator[tuple[str, tuple[str, Any]]]:
    try:
        for item in stream:
            if item.get("event") == "pair":
                yield item["minion"], (item["pair"]["state"], item["pair"].get("return"))
    except TimeoutError:
        return  # who has not answered is told as such


def _member(
    id: str, rows: Iterable[Mapping[str, Any]], given: Mapping[str, Any],
) -> tuple[Member, list[Problem]]:
    """A minion with its entries, from what it says of them."""
    zone = ZoneInfo(given["timezone"]) if given["timezone"] else clock.local_zone()
    periods, _ = read_periods(given["periods"], zone)
    entries: dict[str, Entry] = {}
    runs: dict[str, int] = {}
    problems: list[Problem] = []
    for row in rows:
        name = row["name"]
        if "broken" in row:
            problems.append((name or None, f"{id}: {row['broken']}"))
            continue
        # Secret values are shown as *** and do not matter here.
        fields = {key: value for key, value in row.items() if key in READERS and key not in ("kwargs", "secret")}
        try:
            entries[name] = parse_entry(name, fields, master=True, zone=zone)
        except UsageError as error:
            problems.append((name, f"{id}: {error}"))
        runs[name] = int(row.get("runs", 0))
    return Member(id, entries, periods, zone, repr(given), runs), problems


def _chosen(member: Member, name: str) -> Member:
    entries = {key: entry for key, entry in member.entries.items() if fnmatch.fnmatchcase(key, name)}
    return replace(member, entries=entries)


def _past(master: Master, names: Iterable[str]) -> dict[str, Durations]:
    """How long the last runs of each entry took, as far as the ledger has them."""
    found: dict[str, Durations] = {}
    left = PAST_LIMIT
    for name in names:
        jobs = master.jobs(limit=PAST, cursor=None, filters={"schedule": name})["jobs"] if left > 0 else []
        took = durations(seconds for job in jobs for seconds in _took(master, str(job["jid"])))
        left -= len(jobs)
        if took is not None:
            found[name] = took
    return found


def _took(master: Master, jid: str) -> Iterator[float]:
    """The durations of one job, a minion each."""
    try:
        for item in master.watch(jid, follow=False):
            seconds = item["pair"].get("duration") if item.get("event") == "pair" else None
            if seconds is not None and item["pair"].get("pid") is not None:
                yield float(seconds)
    except JrError:
        return  # it was purged meanwhile


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 < days <= DAYS_LIMIT:
        raise UsageError(f"cannot simulate days={escape(text[:100])}: from 0 to {DAYS_LIMIT:g} days are allowed")
    return days


def _length(key: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"cannot simulate with {escape(f'{key}={text}'[:100])}: it must be {error}") from error
