"""Pages that are printed from the code are those that the code prints."""

from __future__ import annotations

import runpy
from pathlib import Path

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
