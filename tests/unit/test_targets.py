"""Which minions an expression picks. # S12"""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.ids import MinionId
from common.targets import LIST_LIMIT, TEXT_LIMIT, parse

FLEET = [MinionId(id) for id in ("web2", "web1", "web10", "db1", "db-2.example.org", "master", "a_b")]


def picked(kind: str, text: str) -> list[str]:
    return [str(id) for id in parse(kind, text).match(FLEET)]


@pytest.mark.parametrize(("text", "ids"), [
    ("*", ["a_b", "db-2.example.org", "db1", "web1", "web10", "web2"]),
    ("web*", ["web1", "web10", "web2"]),
    ("web?", ["web1", "web2"]),
    ("web[13]", ["web1"]),
    ("web[!1]", ["web2"]),
    ("*.example.org", ["db-2.example.org"]),
    ("web", []),
    ("WEB*", []),
    ("web1", ["web1"]),
    ("web[", []),
    ("master", []),
    ("mast*", []),
])
def test_a_glob_is_of_the_whole_id(text: str, ids: list[str]) -> None:
    assert picked("glob", text) == ids


@pytest.mark.parametrize(("text", "ids"), [
    ("web", ["web1", "web10", "web2"]),
    ("web1", ["web1", "web10"]),
    ("web1$", ["web1"]),
    ("1", []),
    (".*1", ["db1", "web1", "web10"]),
    ("(web|db)[0-9]$", ["db1", "web1", "web2"]),
    ("(?i)WEB2", ["web2"]),
    (r"[a-z]+(-[0-9]+)?(\.[a-z]+)*$", ["db-2.example.org"]),
    ("master", []),
])
def test_a_regex_begins_at_the_start_of_the_id(text: str, ids: list[str]) -> None:
    assert picked("regex", text) == ids


def test_a_list_names_its_targets_also_the_unknown() -> None:
    assert picked("list", "web1, gone,db1 web1") == ["db1", "gone", "web1"]


@pytest.mark.parametrize(("text", "word"), [
    ("web1,WEB2", "WEB2"), ("web1,../etc", "../etc"), ("web1,a\x1bb", "\\x1b"), ("web1,master", "reserved"),
    ("x" * 64, "63 characters"),
])
def test_a_list_refuses_a_bad_id_by_name(text: str, word: str) -> None:
    with pytest.raises(UsageError, match="cannot use the list: ") as caught:
        parse("list", text)
    assert word in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_targets_are_sorted_and_each_once() -> None:
    assert parse("glob", "*").match([MinionId("b"), MinionId("a"), MinionId("b")]) == ["a", "b"]


def test_the_target_keeps_what_was_typed() -> None:
    target = parse("glob", "web*")
    assert (target.kind, target.text) == ("glob", "web*")
    assert (parse("list", "a,b").kind, parse("list", "a,b").text) == ("list", "a,b")


@pytest.mark.parametrize(("kind", "text", "message"), [
    ("globb", "*", 'one of glob, list, regex; did you mean "glob"?'),
    ("facts", "os:Debian", "it is one of glob, list, regex"),
    ("glob", "", "cannot use the target: it is empty"),
    ("list", "  ", "cannot use the target: it is empty"),
    ("list", ",", "cannot use the list: it names nobody"),
    ("regex", "web(", "cannot use the regular expression 'web('"),
    ("regex", "*", "cannot use the regular expression '*'"),
    ("regex", "\x1b(", r"\x1b("),
    ("glob", "x" * (TEXT_LIMIT + 1), "1001 characters"),
    ("regex", "x" * (TEXT_LIMIT + 1), "1001 characters"),
    ("list", "a " * (LIST_LIMIT + 1), "10001 ids"),
])
def test_what_is_no_target_is_refused_with_the_reason(kind: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(kind, text)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["(a+)+$", r"(\w*)*x", "([a-z0-9.-]+)+!", "(.*){9}x", "(a{2,}){3,}$", "(-*a*)*x"])
def test_a_regex_that_could_take_for_ever_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="repeats twice over"):
        parse("regex", text)


@given(st.text("ab1*?[]!-.", min_size=1, max_size=8))
def test_globs_are_those_of_fnmatch(text: str) -> None:
    ids = [MinionId(id) for id in ("a", "b1", "a-b", "ab.1", "1")]
    if text.strip():
        assert parse("glob", text).match(ids) == sorted(id for id in ids if fnmatch.fnmatchcase(id, text))


@given(st.text(max_size=30), st.sampled_from(["glob", "list", "regex"]))
def test_whatever_is_typed_is_a_target_or_one_clear_line(text: str, kind: str) -> None:
    try:
        found = parse(kind, text).match(FLEET)
    except UsageError as error:
        refusal = str(error)
    else:
        assert "master" not in found
        return
    assert re.match("cannot use the ", refusal)
    assert "\n" not in refusal
