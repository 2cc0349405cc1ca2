"""How tables look: colours, columns that line up, and plain data as an indented tree; of jobs it knows the
states alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.text import escape

GAP = "  "
_NARROWEST = 10
_UNBOUNDED = 1_000_000
_CODES = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_STATES = {
    "succeeded": "green", "accepted": "green", "up": "green",
    "failed": "red", "timed_out": "red", "killed": "red", "rejected": "red", "quarantined": "red", "down": "red",
    "ran": "green", "late": "yellow", "caught_up": "yellow", "missed": "red", "failed_to_start": "red",
    "lost": "yellow", "refused": "yellow", "undelivered": "yellow", "pending": "yellow",
}
_ORDER = ("succeeded", "planned", "sent", "accepted", "queued", "running", "undelivered", "refused", "lost",
          "timed_out", "killed", "failed")
_BARE = re.compile(r"[A-Za-z0-9_./@:+,=%-]+")


class Style:
    """Colours, or none."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def paint(self, name: str, text: str) -> str:
        """`text` in a colour of `_CODES`. Pad before: the codes take room that is not seen."""
        return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if self.colour and text else text

    def state(self, state: str, text: str) -> str:
        """`text` in the colour of a state of a pair, a key or a minion; cyan while it is open."""
        return self.paint(_STATES.get(state, "cyan"), text)


def standing(counts: Mapping[str, int], colour: bool = False) -> str:
    """How many pairs are in which state, the worst last."""
    known = [state for state in _ORDER if counts.get(state)]
    other = sorted(state for state in counts if state not in _ORDER and counts[state])
    paint = Style(colour)
    return ", ".join(paint.state(state, escape(f"{counts[state]} {state}")) for state in known + other) or "no minions"


def listed(value: Any, name: str) -> list[Any]:
    """The list in an answer such as {"jobs": [...], "next": ...}, or the list itself."""
    found = value.get(name, []) if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def cut(text: str, width: int) -> str:
    """`text`, or its beginning with a mark when it is longer than `width`."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def columns(
    titles: Sequence[str], rows: Sequence[Sequence[str]], style: Style, width: int,
    *, flexible: Iterable[str] = (), spare: Sequence[str] = (), states: str = "",
) -> str:
    """Rows under their titles.

    Where a line would be wider than `width`, the columns named in `flexible` are cut. Where that is not enough those in
    `spare` shrink to a mark, in that order, and then the last ones are cut, so that a table that names any fits.
    Cells must be escaped already. The column `states` gets the colours of its states.
    """
    sizes = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    _fit(sizes, [titles.index(name) for name in flexible], [titles.index(name) for name in spare], width)
    head = [cut(title, size) for title, size in zip(titles, sizes, strict=True)]
    lines = [style.paint("bold", _line(head, sizes))]
    for row in rows:
        cells = [cut(cell, size).ljust(size) for cell, size in zip(row, sizes, strict=True)]
        if states:
            at = titles.index(states)
            cells[at] = style.state(row[at], cells[at])
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines)


def _line(cells: Sequence[str], sizes: Sequence[int]) -> str:
    return GAP.join(cell.ljust(size) for cell, size in zip(cells, sizes, strict=True)).rstrip()


def _fit(sizes: list[int], flexible: Sequence[int], spare: Sequence[int], width: int) -> None:
    """Take what is too much: from the flexible columns, the widest first, leaving each some room; then the spare ones
    whole, since a time or a number that was cut would be another one, and what is over of them goes to the flexible
    ones; then from the end."""
    whole = list(sizes)

    def surplus() -> int:
        return sum(sizes) + len(GAP) * (len(sizes) - 1) - width

    for at in sorted(flexible, key=lambda at: -sizes[at]):
        sizes[at] -= max(0, min(surplus(), sizes[at] - _NARROWEST))
    for at in spare:
        if surplus() > 0:
            sizes[at] = min(sizes[at], 1)
    for at in flexible:
        if at not in spare:
            sizes[at] += max(0, min(-surplus(), whole[at] - sizes[at]))
    for at in reversed(range(len(sizes) if spare else 0)):
        sizes[at] -= max(0, min(surplus(), sizes[at] - 1))


def word(value: Any) -> str:
    """A value in one line, as it would be typed: text bare where it can be, all else as in JSON."""
    if isinstance(value, str):
        quote = '"' if "'" in value else "'"
        return value if _BARE.fullmatch(value) else quote + escape(value) + quote
    if isinstance(value, list):
        return "[" + ", ".join(map(word, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{escape(key)}: {word(item)}" for key, item in value.items()) + "}"
    return scalar(value)


def scalar(value: Any) -> str:
    """One plain thing that is no list and no map, as people read it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return escape(str(value))


def tree(value: Any, width: int) -> list[str]:
    """Lines for plain data: maps as `key: value`, lists with dashes, a list of like maps as columns."""
    if isinstance(value, str):
        return [escape(line.expandtabs()) for line in value.removesuffix("\n").split("\n")]
    if isinstance(value, Mapping) and value:
        return [line for key, item in value.items() for line in _entry(escape(key), item, width)]
    if isinstance(value, list) and value:
        if table := _like_maps(value, width):
            return table
        return [line for item in value for line in _dashed(tree(item, width - 2))]
    return [word(value)]


def _entry(key: str, item: Any, width: int) -> list[str]:
    lines = tree(item, width - 2)
    nested = isinstance(item, (list, Mapping)) and bool(item)
    if len(lines) == 1 and not nested:
        return [f"{key}: {lines[0]}".rstrip()]
    return [f"{key}:", *(f"  {line}".rstrip() for line in lines)]


def _dashed(lines: list[str]) -> list[str]:
    return [f"- {lines[0]}".rstrip(), *(f"  {line}".rstrip() for line in lines[1:])]


def _like_maps(items: list[Any], width: int) -> list[str]:
    """Columns for maps that have the same keys and short values; empty when they do not suit."""
    first = items[0]
    if len(items) < 2 or not isinstance(first, Mapping) or not first:
        return []
    for item in items:
        if not isinstance(item, Mapping) or list(item) != list(first):
            return []
        if any(isinstance(cell, (list, Mapping)) or "\n" in str(cell) for cell in item.values()):
            return []
    rows = [[scalar(cell) for cell in item.values()] for item in items]
    lines = columns([escape(key) for key in first], rows, Style(False), _UNBOUNDED).split("\n")
    return lines if max(map(len, lines)) <= width else []
