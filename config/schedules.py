"""The files of a schedule: the settings file, the folder beside it, and in there the file of saved changes.

A running daemon learns of edits by looks, each a few calls of stat(2). A file counts once two looks found it alike, so
that none is taken half written; one that cannot be read any more leaves in force what it said before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from common import clock
from common.errors import DeniedError, JrError, UsageError
from common.schedule.entries.calendars import PERIODS_LIMIT, read_periods
from common.schedule.entries.layers import Filed, Files
from common.schedule.times.doubts import doubts
from common.schedule.times.periods import Period
from common.text import escape
from config.document import dead_link
from config.load import Source
from config.parts import Part, check_owners, folder_part, saved_part, settings_part
from config.saved import NAME, SavedFile

SETTLE = 1.0
"""Seconds after which a file that has changed is looked at again."""
FILES_LIMIT = 500
"""Files in the folder."""
ENTRIES_LIMIT = 10_000
"""Entries of one host."""
_HEADER = """\
# Written by schedule.save: what was added, changed and deleted at run time. It wins over the other files.
# It may be edited; the next save writes it anew. 'schedule' has whole entries, 'changed' only the fields that differ,
# 'deleted' the names of entries.
"""
_NO_PART = Part()


class Stamp(NamedTuple):
    """What is another one when a file is another one. The change time also tells of rights, and of times set back."""

    inode: int
    size: int
    modified: int
    changed: int


class Reading(NamedTuple):
    """What all files say together."""

    files: Files
    periods: Mapping[str, Period]
    problems: tuple[str, ...]
    """One line for each thing that cannot be used; entries that make no sense are the book's to tell."""
    warnings: tuple[str, ...]
    written: Mapping[str, Mapping[str, Any]] = {}
    """The periods as they are written."""
    origins: Mapping[str, str] = {}
    """Where each of them stands."""
    about: Mapping[str, str] = {}
    """The entry that a problem is about, where it is about one; empty where it is about a period."""
    blind: bool = False
    """Whether there may be entries of which not even the name could be read."""


class Reader:
    """Reads the files, again and again. It blocks: call it on a thread."""

    def __init__(self, source: Source, zone: tzinfo) -> None:
        """`zone` is the host's."""
        self._source = source
        self._saved = source.folder / NAME
        self._file = SavedFile(source.folder)
        self._zone = zone
        self._parts: dict[Path, Part] = {}
        self._taken: dict[Path, Stamp] = {}
        self._failed: dict[Path, str] = {}
        self._seen: dict[Path, Stamp | None] = {}
        self._ignored: list[str] = []

    @property
    def wait(self) -> float | None:
        """Seconds until the next look is due; None when none is."""
        return SETTLE if self.settling else self._source.look_every or None

    @property
    def settling(self) -> bool:
        """Whether some file has changed and waits for a second look."""
        return bool(self._seen)

    def read(self) -> Reading:
        """Take every file as it is now."""
        stamps = self._stamps()
        for path in {self._source.settings: None, **self._taken, **stamps}:
            self._take(path, stamps.get(path))
        self._seen = {}
        return self._reading()

    def look(self) -> Reading | None:
        """Take the files that have changed since they were taken, but not since the last look; None when none has."""
        folder, before = self._source.folder, self._failed.get(self._source.folder)
        stamps = self._stamps()
        changed = {path: stamps.get(path) for path in {**self._taken, **stamps}
                   if stamps.get(path) != self._taken.get(path)}
        settled = [path for path, stamp in changed.items() if path in self._seen and self._seen[path] == stamp]
        for path in settled:
            self._take(path, changed.pop(path))
        self._seen = changed
        return self._reading() if settled or before != self._failed.get(folder) else None

    def save(self, document: Mapping[str, Any]) -> Path:
        """Write the file of saved changes; `kept` or `unsave` follows.

        Raises JrError, also when something in the file as it was read last would be lost; then it says what it said.
        """
        path = self._saved
        lost = [self._failed[path]] if path in self._failed else self._parts.get(path, _NO_PART).problems
        if lost:
            raise UsageError(f"cannot save the schedule: what is wrong in {path} would be lost ({lost[0]}); mend it")
        text = _HEADER + yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True) if document else _HEADER
        try:
            self._file.write(text)
        except OSError as error:
            kind = DeniedError if isinstance(error, PermissionError) else JrError
            raise kind(f"cannot save the schedule to {path}: {error.strerror}") from error
        return path

    def unsave(self) -> None:
        """The file says again what it said before `save`. Raises JrError."""
        try:
            self._file.take_back()
        except OSError as error:
            raise JrError(f"cannot take back what {self._saved} says now: {error.strerror}") from error

    def kept(self) -> None:
        """What `save` wrote is not taken back any more."""
        with contextlib.suppress(OSError):  # a file that nobody reads is left
            self._file.keep()

    def _stamps(self) -> dict[Path, Stamp]:
        """Every file that is there, in the order in which they count."""
        source, names = self._source, self._names()
        wanted = [name for name in names if _counts(name)]
        self._ignored = [f"{source.folder / name} is not read: the name must end in .yaml" for name in names
                         if name.endswith(".yml")]
        if len(wanted) > FILES_LIMIT:
            self._failed[source.folder] = (f"cannot use all of {source.folder}: it has {len(wanted)} files, and "
                                           f"{FILES_LIMIT} are allowed")
        paths = [source.settings, *(source.folder / name for name in wanted[:FILES_LIMIT])]
        return {path: stamp for path in paths if (stamp := _stamp(path)) is not None}

    def _names(self) -> list[str]:
        """What is in the folder; while it cannot be read, the files that were read in there before."""
        folder = self._source.folder
        self._failed.pop(folder, None)
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            reason = dead_link(folder) if isinstance(error, FileNotFoundError) else error.strerror
        if not reason:
            return []
        self._failed[folder] = f"cannot read {folder}: {reason}"
        return [path.name for path in self._taken if path.parent == folder]

    def _take(self, path: Path, stamp: Stamp | None) -> None:
        self._taken.pop(path, None)
        self._failed.pop(path, None)
        if stamp is None and path != self._source.settings:
            self._parts.pop(path, None)
            return
        if stamp is not None:
            self._taken[path] = stamp
        try:
            self._parts[path] = self._part(path)
        except UsageError as error:
            kept = "; what it said before still holds" if path in self._parts else ""
            self._failed[path] = f"{error}{kept}"

    def _part(self, path: Path) -> Part:
        """Raises UsageError."""
        if path == self._source.settings:
            part = settings_part(path, self._source.given)
        else:
            part = saved_part(path) if path == self._saved else folder_part(path)
        if self._source.runs and _says(part, path):
            check_owners(path)
        return part

    def _reading(self) -> Reading:
        """What the parts say together; the settings file counts first, the others by name."""
        order = sorted(self._parts, key=lambda path: (path != self._source.settings, path.name))
        parts = [self._parts[path] for path in order]
        problems = [*self._failed.values(), *(line for part in parts for line in part.problems)]
        entries = _united([part.entries for part in parts], "schedule", ENTRIES_LIMIT, problems)
        named = _united([part.periods for part in parts], "period", PERIODS_LIMIT, problems)
        periods, wrong = read_periods({name: filed.fields for name, filed in named.items()}, self._zone)
        unusable = {problem_at(named[name].origin, problem): "" for name, problem in wrong.items()}
        problems.extend(unusable)
        doubtful = [f"{named[name].origin}: period '{name}': {doubt}" for name, period in periods.items()
                    for doubt in doubts(period, clock.wall())]
        saved = self._parts.get(self._saved, _NO_PART).saved
        lost = {name: origin for part in parts for name, origin in part.lost.items() if name not in named}
        lost |= {name: named[name].origin for name in wrong}
        return Reading(Files(entries, saved, periods, lost), periods, tuple(problems), (*self._ignored, *doubtful),
                       {name: named[name].fields for name in periods},
                       {name: named[name].origin for name in periods},
                       {line: name for part in parts for line, name in part.about.items()} | unusable,
                       any(path not in self._parts for path in self._failed) or any(part.problems for part in parts))


def _says(part: Part, path: Path) -> bool:
    """Whether anything in it stands in the file: settings may have no schedule, or a variable may say another."""
    origins = (filed.origin for filed in (*part.entries.values(), *part.periods.values()))
    return bool(part.saved) or any(origin.startswith(str(path)) for origin in origins)


def problem_at(origin: str, problem: str) -> str:
    """The line for what is wrong at a place: `cannot use FILE line N: schedule 'tidy': every is ...`."""
    reason = problem.removeprefix("cannot use the ").removeprefix("cannot use ")
    return f"cannot use {origin}: {reason}"


def _united(parts: list[dict[str, Filed]], word: str, most: int, problems: list[str]) -> dict[str, Filed]:
    """All of them; of two by one name the first."""
    united: dict[str, Filed] = {}
    for part in parts:
        if len(united) + len(part) > most:
            first = next(iter(part.values()))
            problems.append(f"cannot use {first.origin} and what follows there: there are more than {most} "
                            f"of the kind {word}")
            continue
        for name, filed in part.items():
            if name in united:
                problems.append(f"cannot use {filed.origin}: {word} '{escape(name[:100])}' stands in "
                                f"{united[name].origin} already")
            else:
                united[name] = filed
    return united


def _counts(name: str) -> bool:
    """Whether a file of the folder is meant: editors and we ourselves leave others there for a moment."""
    return name.endswith(".yaml") and not name.startswith(".")


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError as error:
        # A link that leads nowhere, or what nobody may look at, is there: who reads it will say what is wrong.
        gone = isinstance(error, (FileNotFoundError, NotADirectoryError)) and not path.is_symlink()
        return None if gone else Stamp(0, 0, 0, error.errno or 0)
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
