"""Entries and periods of files that no daemon has read, for looking ahead: a settings file, a file of schedule.d, or a
folder of them."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path

from common.errors import UsageError
from common.schedule.ahead.simulate import Member
from common.schedule.entries.calendars import read_periods
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import lacks
from common.schedule.model import Entry
from config.document import read_document
from config.load import Source
from config.parts import PERIODS, SCHEDULE, folder_part, settings_part
from config.schedules import problem_at
from config.shelf import shelf_of

Problem = tuple[str | None, str]
"""The entry that a line is about, and the line: None for no entry, empty for a period."""


def member_of(path: Path, zone: tzinfo) -> tuple[Member, list[Problem]]:
    """What the file, or all files of the folder, say: a member of this name, and a line for each thing that cannot be
    used. `zone` is that of times which name none. Raises UsageError for what cannot be read at all.
    """
    if path.is_dir():
        return _of_folder(path, zone)
    document = read_document(path)
    if not document.values:
        raise UsageError(f"cannot use {path}: {'it says nothing' if path.exists() else 'there is no such file'}")
    whole = any(key in document.values for key in (SCHEDULE, PERIODS))
    part = settings_part(path, {}) if whole else folder_part(path)
    problems: list[Problem] = [(part.about.get(line), line) for line in part.problems]
    periods, wrong = read_periods({name: filed.fields for name, filed in part.periods.items()}, zone)
    problems += [("", problem_at(part.periods[name].origin, problem)) for name, problem in wrong.items()]
    lost = part.lost | {name: part.periods[name].origin for name in wrong}
    entries: dict[str, Entry] = {}
    for name, filed in part.entries.items():
        try:
            # The file may be meant for a master.
            entry = parse_entry(name, filed.fields, master=True, zone=zone)
            # Periods that are not there may stand in another file.
            if problem := lacks(entry, {*entry.during, *entry.excepting}, lost):
                raise UsageError(f"cannot use the schedule '{name}': {problem}")
            entries[name] = entry
        except UsageError as error:
            problems.append((name, problem_at(filed.origin, str(error))))
    return Member(path.name, entries, periods, zone), problems


def _of_folder(path: Path, zone: tzinfo) -> tuple[Member, list[Problem]]:
    """A folder such as /etc/jr, with settings and schedule.d, or such as schedule.d itself."""
    inner = path / "schedule.d"
    settings = path / "minion.yaml" if inner.is_dir() else path / "there-are-no-settings"
    shelf = shelf_of(Source(settings, inner if inner.is_dir() else path, runs=False), master=True)
    return Member(path.name, shelf.entries, shelf.periods, zone), shelf.told
