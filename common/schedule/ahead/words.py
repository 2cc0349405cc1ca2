"""Times and numbers in words, for `explain.py`. Pure. What is told is the set of values, never how it was written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence

DAY = 86_400
_HOUR = 3_600
_MINUTE = 60
_UNITS = ((7 * DAY, "week"), (DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1, "second"))
_SHOWN = 6
"""Times of day that are named one by one."""
_STRETCHES = 3
"""Parts of a day that are told one by one."""
FEWEST = 4
"""Times from which on an even row is told as such."""


def listed(items: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def length(seconds: float) -> str:
    """A length of time: `5 minutes`, `1 hour 30 minutes`, `2 weeks`, `0.5 seconds`."""
    whole, rest = divmod(seconds, 1)
    if rest:
        return f"{seconds:g} seconds"
    left, parts = int(whole), []
    for size, unit in _UNITS:
        count, rest_of = divmod(left, size)
        # Ten days are no week and three days.
        if count and not (unit == "week" and rest_of):
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
            left = rest_of
    return " ".join(parts) or "0 seconds"


def each(seconds: float) -> str:
    """`every minute`, `every 5 minutes`."""
    text = length(seconds)
    return f"every {text.removeprefix('1 ')}" if text.count(" ") == 1 else f"every {text}"


def ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def stretches(values: Iterable[int]) -> list[tuple[int, int]]:
    """The values as runs of numbers that follow one another, each by its first and its last."""
    found: list[tuple[int, int]] = []
    for value in sorted(set(values)):
        if found and found[-1][1] == value - 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def ranged(values: Iterable[int], name: Callable[[int], str] = str) -> str:
    """`Monday to Friday and Sunday`: the values, of which there is one at least."""
    return listed(parts(values, name))


def parts(values: Iterable[int], name: Callable[[int], str] = str) -> list[str]:
    """The values by name, three and more in a row as from the first to the last."""
    found: list[str] = []
    for first, last in stretches(values):
        if last - first < 2:
            found.extend(name(value) for value in range(first, last + 1))
        else:
            found.append(f"{name(first)} to {name(last)}")
    return found


def even(values: Sequence[int]) -> int:
    """The distance of ascending values that are evenly apart; 0 when they are not, or fewer than two."""
    steps = {later - earlier for earlier, later in itertools.pairwise(values)}
    return steps.pop() if len(steps) == 1 else 0


def clock(seconds: int) -> str:
    """A time of day: `09:30`, `09:30:15`."""
    hours, rest = divmod(seconds, _HOUR)
    minutes, second = divmod(rest, _MINUTE)
    return f"{hours:02}:{minutes:02}" + (f":{second:02}" if second else "")


def times_of_day(hours: Collection[int], minutes: Collection[int], seconds: Collection[int]) -> tuple[str, bool]:
    """The times of a day at which all three match, and whether that goes round the clock evenly."""
    count = len(hours) * len(minutes) * len(seconds)
    within = sorted(minute * _MINUTE + second for minute in minutes for second in seconds)
    times = [hour * _HOUR + time for hour in sorted(hours) for time in within]
    step = even(times)
    if count >= FEWEST and step:
        return _even(times, step)
    if count <= _SHOWN:
        return f"at {listed([clock(time) for time in times])}", False
    return _by_stretch(hours, within) or _by_field(hours, minutes, seconds), len(hours) == 24


def _even(times: Sequence[int], step: int) -> tuple[str, bool]:
    first, last = times[0], times[-1]
    goes_round = first + DAY - last == step
    if goes_round and step == _HOUR and first:
        return f"every hour at {_past(first)}", True
    if goes_round and step <= _HOUR and not first:
        return each(step), True
    return f"{each(step)} from {clock(first)} to {clock(last)}", goes_round and step <= _HOUR


def _past(seconds: int) -> str:
    minute, second = divmod(seconds, _MINUTE)
    return f"minute {minute}" + (f" and {second} second{'' if second == 1 else 's'}" if second else "")


def _by_stretch(hours: Collection[int], within: Sequence[int]) -> str:
    """`every 5 minutes from 00:00 to 05:55 and from 22:00 to 23:55`; empty when it is not like that."""
    runs = stretches(hours)
    if len(runs) > _STRETCHES:
        return ""
    steps, shown = set(), []
    for first, last in runs:
        times = [hour * _HOUR + time for hour in range(first, last + 1) for time in within]
        steps.add(even(times))
        shown.append(f"from {clock(times[0])} to {clock(times[-1])}")
    step = steps.pop()
    return f"{each(step)} {listed(shown)}" if step and not steps else ""


def _by_field(hours: Collection[int], minutes: Collection[int], seconds: Collection[int]) -> str:
    fields = [_of(minutes, "minute", 60), _of(hours, "hour", 24)]
    if set(seconds) != {0}:
        fields.insert(0, _of(seconds, "second", 60))
    return f"at {' of '.join(fields)}"


def _of(values: Collection[int], unit: str, whole: int) -> str:
    """`minute 5`, `the minutes 0 and 7`, `every 7th minute from 0 to 56`."""
    ordered = sorted(values)
    if len(ordered) == whole:
        return f"every {unit}"
    if len(ordered) == 1:
        return f"{unit} {ordered[0]}"
    step = even(ordered)
    if len(ordered) >= FEWEST and step > 1:
        return f"every {ordinal(step)} {unit} from {ordered[0]} to {ordered[-1]}"
    return f"the {unit}s {ranged(ordered)}"
