"""Typed text to plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common import typed
from common.typed import guess, parse, scalar

STEADY = settings(deadline=None, derandomize=True)
"""The same cases each time, however busy the machine is."""


@pytest.mark.parametrize(("text", "value"), [
    ("null", None), ("~", None), ("true", True), ("False", False), ("0", 0), ("-12", -12), ("+3", 3), ("0x1f", 31),
    ("0o17", 15), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("18446744073709551615", 2**64 - 1),
    # what YAML 1.1 would turn into something else
    ("yes", "yes"), ("no", "no"), ("on", "on"), ("007", "007"), ("12:30:45", "12:30:45"), ("1_000", "1_000"),
    ("2026-01-02", "2026-01-02"), ("2026-01-02 03:04:05", "2026-01-02 03:04:05"), (".inf", ".inf"), (".nan", ".nan"),
    # what could not be sent
    ("20260102030405123456", "20260102030405123456"), ("18446744073709551616", "18446744073709551616"),
    ("-9223372036854775809", "-9223372036854775809"), ("1e999", "1e999"), ("1" * 5000, "1" * 5000),
    ("word", "word"), ("-", "-"), ("1.2.3", "1.2.3"), ("", ""),
])
def test_scalar(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.fixture(params=["C", "Python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's readers: hosts without its C part must read the same."""
    if request.param == "Python":
        monkeypatch.setattr(typed, "_LOADER", yaml.SafeLoader)


@pytest.mark.usefixtures("reader")
class TestParse:
    @pytest.mark.parametrize(("text", "value"), [
        ("[a, 1, null, 'x, y', \"2\", yes]", ["a", 1, None, "x, y", "2", "yes"]),
        ("{a: 1, b: {c: [true]}}", {"a": 1, "b": {"c": [True]}}),
        ("{80: web, true: x, null: y}", {"80": "web", "true": "x", "null": "y"}),
        ("{a: , b: ''}", {"a": None, "b": ""}),
        ("- a\n- b: 2\n", ["a", {"b": 2}]),
        ("a: 2026-01-02", {"a": "2026-01-02"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("{a: =, b: 1:30}", {"a": "=", "b": "1:30"}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("!!str 5", 5), ("'5'", "5"), ("", None), ("[]", []), ("{}", {}),
        ("grüße", "grüße"),
    ])
    def test_values(self, text: str, value: Any) -> None:
        assert parse(text) == value

    @pytest.mark.parametrize(("text", "reason"), [
        ("[1, 2", "at character"),
        ("{a: 1, a: 2}", "the key 'a' stands there twice"),
        ("{[1]: 2}", "the keys of a map must be text"),
        ("&a [1]", "anchors"), ("[&a 1, *a]", "anchors"), ("*a", "anchors"),
        ("!!python/object/apply:os.system ['true']", "is no plain data"),
        ("!!python/name:os.system x", "is no plain data"),
        ("!!set {a, b}", "is no plain data"), ("!!binary aGk=", "is no plain data"), ("!thing 1", "is no plain data"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ("[" * 60 + "x" + "]" * 60, "it is nested deeper than 50"),
        ("[" * 100_000, "it is nested deeper than 50"),
        ("a: b: c", "at character"), ("--- 1\n--- 2", "at character"), ("\x07", ""),
    ])
    def test_what_is_refused(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError) as caught:
            parse(text)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_bomb_of_anchors(self) -> None:
        steps = zip("abcdefg", "bcdefgh", strict=True)
        bomb = "a: &a [x]\n" + "".join(f"{name}: &{name} [*{last},*{last}]\n" for last, name in steps)
        with pytest.raises(ValueError, match="anchors"):
            parse(bomb)


@pytest.mark.usefixtures("reader")
class TestGuess:
    @pytest.mark.parametrize(("text", "value"), [
        ("5", 5), ("'5'", "5"), ('"a\\tb"', "a\tb"), ("true", True), ("null", None), ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}), ("a: 1", {"a": 1}),
        # text stays the very text
        ("", ""), ("  ", "  "), ("two  words ", "two  words "), ("word # not a remark", "word # not a remark"),
        ("# remark", "# remark"), ("*.log", "*.log"), ("&", "&"), ("@home", "@home"), ("%d", "%d"), ("!x", "!x"),
        ("a: b: c", "a: b: c"), ("`x`", "`x`"), ("C:\\dir", "C:\\dir"), ("'open", "'open"),
        ("line\nline", "line\nline"), ("> x", "> x"), ("\x07", "\x07"),
    ])
    def test_values(self, text: str, value: Any) -> None:
        assert guess(text) == value

    @pytest.mark.parametrize("text", ["{a: 1", "[1, 2", "[&a 1, *a]", " {a: 1, a: 2}"])
    def test_a_slip_within_brackets_is_told(self, text: str) -> None:
        with pytest.raises(ValueError):
            guess(text)


@STEADY
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        guess(text)
        reason = ""
    except ValueError as error:
        reason = str(error)
    assert len(reason.splitlines()) <= 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=10)


@STEADY
@given(plain)
def test_json_reads_as_itself(value: Any) -> None:
    assert parse(json.dumps(value)) == value


def test_json_of_other_programs() -> None:
    assert parse('["\\ud83d\\ude00"]') == ["\U0001f600"]
    assert parse('[20260102030405123456, 1e999, 1.5]') == ["20260102030405123456", "1e999", 1.5]
    assert parse('{"a": NaN}') == {"a": "NaN"}
