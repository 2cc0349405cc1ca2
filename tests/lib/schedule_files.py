"""The files of a schedule, as an administrator writes them."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from common.schedule.entries.book import Book
from common.schedule.entries.entries import parse_entry
from common.schedule.model import Entry
from config import schedules
from config.load import Source
from config.schedules import Reader, Reading

EVERY = "{function: test.ping, every: %s}"


class Files:
    """A settings file and its folder."""

    def __init__(self, base: Path) -> None:
        self.settings = base / "minion.yaml"
        self.folder = base / "schedule.d"
        self.folder.mkdir()
        self.source = Source(self.settings, self.folder)
        self.reader = self.again()

    def again(self, **given: tuple[Any, str]) -> Reader:
        return Reader(self.source._replace(given=given), UTC)

    def write(self, name: str, text: str) -> Path:
        """Replace a file at once, as a careful program does."""
        path = self.settings if name == "minion.yaml" else self.folder / name
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text)
        beside.rename(path)
        return path

    def shown(self, text: str) -> str:
        return text.replace(str(self.folder), "D").replace(str(self.settings), "S")

    def problems(self, reading: Reading) -> list[str]:
        """All that is wrong, as a daemon tells it."""
        made = Book(parse_entry)
        made.load(reading.files)
        return [self.shown(line) for line in
                (*reading.problems, *(schedules.problem_at(each.origin, each.problem) for each in made.broken))]


def entries(reading: Reading | None) -> dict[str, Entry]:
    assert reading is not None
    made = Book(parse_entry)
    made.load(reading.files)
    return made.entries
