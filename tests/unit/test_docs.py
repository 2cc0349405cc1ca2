"""Pages that are printed from the code are those that the code prints."""

from __future__ import annotations

import re
import runpy
from datetime import UTC
from pathlib import Path
from typing import Any

import yaml

from common.schedule.entries.calendars import parse_period, read_periods
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.fields import READERS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_states_is_printed_from_the_table() -> None:
    made = runpy.run_path(str(DOCS / "make_states.py"))
    assert (DOCS / "states.md").read_text("utf-8") == made["page"]()


def test_links_between_pages_lead_somewhere() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    for page in pages:
        for link in page.read_text("utf-8").split("](")[1:]:
            target = link.split(")", 1)[0].split("#", 1)[0]
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_option_of_an_entry_has_an_example_that_is_right() -> None:
    entries, periods = re.findall(r"\| option \| example \| \|\n\|---\|---\|---\|\n((?:\|.*\n)+)",
                                  (DOCS / "schedules.md").read_text("utf-8"))
    named: set[str] = set()
    for row in entries.splitlines():
        option, example, _ = (cell.strip() for cell in row.strip("|").split(" | ", 2))
        keys, fields = set(re.findall("`([a-z_]+)`", option)), _mapping(example)
        assert keys <= fields.keys(), row
        parse_entry("one", {"function": "test.ping", **fields}, master=True)
        named |= keys
    assert named == READERS.keys()
    known = {name: parse_period({"monday": "00:00-24:00"}, {}, UTC) for name in ("night", "holidays")}
    for row in periods.splitlines():
        parse_period(_mapping(row.split(" | ")[1]), known, UTC)


def test_the_examples_of_schedules_are_right() -> None:
    found: dict[str, Any] = {"schedule": {}, "periods": {}}
    for text in re.findall(r"```yaml\n(.*?)```", (DOCS / "schedules.md").read_text("utf-8"), re.DOTALL):
        for key, section in yaml.safe_load(text).items():
            found[key] |= section
    entries = {name: parse_entry(name, fields, master=True) for name, fields in found["schedule"].items()}
    periods, problems = read_periods(found["periods"], UTC)
    assert problems == {}
    for entry in entries.values():
        assert {*entry.during, *entry.excepting} <= periods.keys()
        assert {follow.entry for follow in (*entry.then, *entry.on_failure)} <= entries.keys()


def _mapping(example: str) -> dict[str, Any]:
    fields = yaml.safe_load(f"{{{example.strip().strip('`')}}}")
    assert isinstance(fields, dict)
    return fields


def test_the_examples_of_a_schedule_in_the_default_settings_are_right() -> None:
    for daemon in ("minion", "master"):
        text = (DOCS.parent / "config" / "defaults" / f"{daemon}.yaml").read_text("utf-8")
        examples = [re.sub("^# ", "", example, flags=re.MULTILINE) for example in
                    re.findall(r"((?:^#   .*\n)+)(?:schedule|periods): \{\}", text, re.MULTILINE)]
        found = {key: section for example in examples for key, section in yaml.safe_load(example).items()}
        for name, fields in found["schedule"].items():
            parse_entry(name, fields, master=daemon == "master")
        assert read_periods(found["periods"], UTC)[1] == {}
        for line in re.findall(r"^#       # (\w.*?)(?:  .*)?$", text, re.MULTILINE):  # what stands there instead
            parse_entry("other", {"function": "test.ping", **yaml.safe_load(line)})
