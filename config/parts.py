"""What one file says of the schedule: its entries, its periods, the changes that were saved; each with its line.

A thing that makes no sense is told with file and line, and costs only itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.schedule.entries.layers import Change, Filed, Saved
from common.text import escape, nearest
from config.document import Document, read_document

SCHEDULE = "schedule"
PERIODS = "periods"
_SAVED = ("schedule", "changed", "deleted")
_YAML = {"None": "null", "True": "true", "False": "false"}
"""What is written in a file for what is no text."""
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Part:
    """What one file, or one variable, says."""

    entries: dict[str, Filed] = field(default_factory=dict)
    periods: dict[str, Filed] = field(default_factory=dict)
    saved: dict[str, Saved] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    """The entry that a problem is about, where it is about one; empty where it is about a period."""
    lost: dict[str, str] = field(default_factory=dict)
    """The periods that make no sense at the first look, and where they stand."""


def settings_part(path: Path, given: Mapping[str, tuple[Any, str]]) -> Part:
    """The `schedule:` and `periods:` of a settings file; `given` are those that a variable or a flag says instead,
    with the name of that. Raises UsageError when the file cannot be read.
    """
    document = read_document(path)
    part = Part()
    for key, into in ((SCHEDULE, part.entries), (PERIODS, part.periods)):
        value, origin = given.get(key, (document.values.get(key), None))
        _section(value, _origins(path, document, key, origin), key, into, part)
    return part


def folder_part(path: Path) -> Part:
    """A file of the folder: a mapping of names to entries, or one with `schedule` and `periods`. Raises UsageError."""
    document = read_document(path)
    part = Part()
    sections = (SCHEDULE, PERIODS)
    if not any(key in document.values for key in sections):
        inner = {(SCHEDULE, name): line for name, line in document.lines.items()}
        document = Document({SCHEDULE: document.values} if document.values else {}, {}, inner)
    part.problems.extend(_strange(path, document, sections))
    for key, into in ((SCHEDULE, part.entries), (PERIODS, part.periods)):
        _section(document.values.get(key), _origins(path, document, key), key, into, part)
    return part


def saved_part(path: Path) -> Part:
    """The file of saved changes, as `Book.saved` makes its document. Raises UsageError."""
    document = read_document(path)
    part = Part()
    part.problems.extend(_strange(path, document, _SAVED))
    for key, whole in (("schedule", True), ("changed", False)):
        found: dict[str, Filed] = {}
        _section(document.values.get(key), _origins(path, document, key), key, found, part)
        part.saved.update({name: Saved(Change(name=name, fields=dict(filed.fields), whole=whole), filed.origin)
                           for name, filed in found.items()})
    deleted = document.values.get("deleted") or []
    origin = f"{path}{document.line('deleted')}"
    if not isinstance(deleted, list) or not all(isinstance(name, str) for name in deleted):
        part.problems.append(f"cannot use {origin}: deleted must be a list of names")
    else:
        part.saved.update({name: Saved(Change(name=name, fields=None), origin) for name in deleted})
    return part


Origins = Callable[[str | None], str]
"""Where the section stands, or a name in it."""


def _origins(path: Path, document: Document, key: str, other: str | None = None) -> Origins:
    return lambda name: other or f"{path}{document.line(key, name)}"


def _section(value: Any, origins: Origins, key: str, into: dict[str, Filed], part: Part) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        part.problems.append(f"cannot use {origins(None)}: {key} must be a mapping of names to "
                             f"{'periods' if key == PERIODS else 'entries'}")
        return
    for name, fields in value.items():
        origin, wrong = origins(str(name)), _wrong(name, fields)
        if wrong:
            line = f"cannot use {origin}: {'period' if key == PERIODS else 'schedule'} {wrong}"
            part.problems.append(line)
            part.about[line] = "" if key == PERIODS else str(name)
            if key == PERIODS:
                part.lost[str(name)] = origin
        else:
            into[name] = Filed(fields, origin)


def _wrong(name: Any, fields: Any) -> str:
    """What is wrong with an entry or a period at the first look; empty when nothing is."""
    if not isinstance(name, str):
        return f"{_told(_YAML.get(str(name), name))}: a name is text; put it in quotes"
    if not isinstance(fields, dict):
        return f"'{_told(name)}': it must be a mapping"
    return "" if _ends(fields) else f"'{_told(name)}': an alias leads back to where it stands"


def _ends(value: Any) -> bool:
    """Whether nothing in it contains itself, as an alias can."""
    open_ids: set[int] = set()
    ended: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(value, False)]
    while waiting:
        node, left = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in ended:
            continue
        if left:
            open_ids.remove(id(node))
            ended.add(id(node))
            continue
        if id(node) in open_ids:
            return False
        open_ids.add(id(node))
        waiting.append((node, True))
        waiting.extend((item, False) for item in (node.values() if isinstance(node, dict) else node))
    return True


def _strange(path: Path, document: Document, sections: tuple[str, ...]) -> Iterator[str]:
    for key in document.values:
        if key not in sections:
            yield (f"cannot use {path}{document.line(key)}: there is no section \"{_told(key)}\" beside "
                   f"{' and '.join(sections)}{nearest(key, sections)}")


def check_owners(path: Path) -> None:
    """Raises UsageError when somebody other than this user and root may change what the file says: it runs as this one.

    The folder counts too, since whoever may write there can put another file in this one's place. One with the sticky
    bit lets nobody do that with a file of somebody else.
    """
    for place in dict.fromkeys((path, path.parent, path.resolve().parent)):
        try:
            status = os.stat(place)
        except OSError:
            continue  # it is gone, or who reads it will say what is wrong
        if status.st_uid not in (0, os.geteuid()):
            raise UsageError(f"cannot use {path}: {place} belongs to user {status.st_uid}, who could so run anything "
                             f"as this one; chown it to root or to this user")
        if status.st_mode & _WRITABLE and not (place != path and status.st_mode & stat.S_ISVTX):
            raise UsageError(f"cannot use {path}: {place} may be written to by others, who could so run anything as "
                             f"this user; chmod go-w {place}")


def _told(name: object) -> str:
    return escape(str(name)[:100])
