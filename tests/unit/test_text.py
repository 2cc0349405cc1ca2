"""Text for people: what is escaped, how times and lengths of time read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.text import closest, escape, escape_json, local_time, nearest, span

HOSTILE = "\x1b[2J\x07\r\n\t\x00\x7f\x9b\u202e\u2066\u2028\ud800"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    assert escape(HOSTILE) == (
        "\\x1b[2J\\x07\\r\\n\\t\\x00\\x7f\\x9b\\u202e\\u2066\\u2028\\ud800".replace("\\x9b", "\\u009b")
    )


def test_ordinary_text_stays() -> None:
    assert escape("a'b\"c\\d äöü 漢字 €") == "a'b\"c\\d äöü 漢字 €"


def test_what_is_to_be_kept_stays() -> None:
    assert escape("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"


@given(st.text(max_size=50))
def test_an_escaped_text_can_be_printed_and_encoded(text: str) -> None:
    assert escape(text).encode().decode() == escape(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in escape(text))
    assert escape(escape(text)) == escape(text)


@given(st.text(max_size=50))
def test_escaped_json_means_the_same(text: str) -> None:
    made = escape_json(json.dumps({"a": text}, ensure_ascii=False, indent=1))
    assert json.loads(made) == {"a": text}
    assert "\x9b" not in made


def test_a_time_is_shown_in_the_zone_of_the_host(berlin: None) -> None:
    assert local_time(1_767_323_045.9) == "2026-01-02 04:04:05"
    assert local_time(1_782_961_445) == "2026-07-02 05:04:05"


def test_no_time_and_no_date() -> None:
    assert local_time(None) == ""
    assert local_time(1e300) == "1e+300"
    assert local_time(float("nan")) == "nan"


@pytest.mark.parametrize(("seconds", "shown"), [
    (None, ""), (0, "0ms"), (0.0123, "12ms"), (0.9994, "999ms"), (0.9996, "1.0s"), (4.21, "4.2s"), (59.94, "59.9s"),
    (59.96, "1m"), (60, "1m"), (185, "3m 5s"), (3_600, "1h"), (3_661, "1h 1m"), (187_200, "2d 4h"), (86_400, "1d"),
    (-5, "-5.0s"), (float("inf"), "inf"), (float("nan"), "nan"),
])
def test_a_length_of_time_reads_well(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


def test_the_nearest_name_is_offered() -> None:
    assert nearest("prot", ["port", "bind"]) == '; did you mean "port"?'
    assert nearest("xyzzy", ["port", "bind"]) == ""
    assert closest("cmd.rn", ["cmd.run", "test.ping"]) == "cmd.run"
    assert closest("zzz", ["cmd.run"]) is None
    assert closest("c" * 100_000, ["cmd.run"]) is None
    assert nearest("prot" + " " * 100_000, ["port"]) == ""
