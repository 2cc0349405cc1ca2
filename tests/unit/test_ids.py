"""Names that cannot hold anything else. # R-A8"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import CodecError, from_minion
from common.ids import MASTER, Jid, MinionId, mint
from common.packing import pack
from tests.lib.stored import NOON, jid

GOOD_JIDS = ["20260102030405123456", "00000000000000000000", "20260102030405123456-0123456789abcdef"]
GOOD_MINIONS = ["a", "0", "web1", "db-2.example.org", "a_b", "a..", "x" * 63, "master"]

BAD = [
    "", " ", ".", "..", "/", "\\", "-", "_", "~", "*", "?", "%", "\x00", "\n", "\t",
    "\u00a0", "\ufeff", "\u202e", "\U0001f600",
    "../x", "./x", "/etc/passwd", "a/b", "a\\b", "a b", " a", "a ", "a\n", "\na", "a\x00", "a\x00b", "a\r", "a\x1b[31m",
    ".a", "-a", "_a", "--help", "-rf", "A", "Web1", "aB", "\u00e9",
    "a\u00e9", "\u0430", "\uff41", "a\u0301", "\u0661", "a:b", "a;b", "a|b", "a&b", "a$b",
    "$(id)", "`id`", "a'b", 'a"b', "a*", "a?", "a[1]", "a{b}", "a=b", "a,b", "a@b", "x" * 64, "x" * 10_000,
]
"""What must never become a path, a query or a log line."""
BAD_JIDS = [
    *(bad for bad in BAD if bad), "2026010203040512345", "202601020304051234567", "2026010203040512345x",
    "20260102030405123456-", "20260102030405123456-0123456789abcde", "20260102030405123456-0123456789abcdeg",
    "20260102030405123456-0123456789ABCDEF", "20260102030405123456-0123456789abcdef0", "20260102030405123456\n",
    "-20260102030405123456", "2026010203040512345\u0661", "20260102030405123456_0123456789abcdef",
    "20260102030405123456.json", "../20260102030405123456", "20260102030405123456/..",
]


@pytest.mark.parametrize("text", GOOD_JIDS)
def test_a_jid(text: str) -> None:
    assert Jid(text) == text
    assert Jid(Jid(text)) is not text
    assert Jid(text).suffix == text[21:]


@pytest.mark.parametrize("text", GOOD_MINIONS)
def test_a_minion_id(text: str) -> None:
    assert MinionId(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_minion_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a minion id: it takes a-z") as caught:
        MinionId(text)
    assert str(caught.value).isprintable()  # no log line and no terminal is painted by it
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", BAD_JIDS)
def test_what_is_no_jid(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a jid: 20 digits") as caught:
        Jid(text)
    assert str(caught.value).isprintable()


def test_the_corpus_is_large() -> None:
    assert len(set(BAD)) >= 60
    assert len(set(BAD_JIDS)) >= 60


@given(st.text(max_size=80))
def test_whatever_is_taken_is_safe_in_a_path(text: str) -> None:
    for kind in (Jid, MinionId):
        try:
            name = kind(text)
        except ValueError:
            continue
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
        assert name[0] not in ".-_"
        assert len(name) <= 63


@pytest.mark.parametrize("value", [5, None, 1.5, b"20260102030405123456", [], {}, True, "../x", "x" * 500])
def test_bad_names_do_not_pass_the_wire(value: Any) -> None:  # P8
    with pytest.raises(CodecError, match=r"^cannot decode a message: "):
        from_minion.decode(pack({"v": 1, "kind": "started", "jid": value, "pid": 1, "at": 1.0}))


def test_a_jid_says_when_it_was_minted() -> None:
    assert jid(1).minted.timestamp() == NOON + 1
    assert jid(1) == "20260528202641000000"
    with pytest.raises(ValueError, match=r"must be in"):
        Jid("9" * 20).minted  # noqa: B018


def test_minting_never_goes_back() -> None:
    assert mint(NOON, None) == mint(NOON, Jid("19990101000000000000"))
    assert mint(NOON, jid(60)) == f"{jid(60)[:-1]}1"
    assert mint(NOON, Jid("20261231235959999999")) == "20270101000000000000"


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=20))
def test_jids_grow_whatever_the_clock_does(times: list[float]) -> None:
    last = None
    for time in times:
        new = mint(time, last)
        assert last is None or new > last
        last = new


def test_no_two_hosts_mint_the_same() -> None:
    one, two = mint(NOON, None, MinionId("m1")), mint(NOON, None, MinionId("m2"))
    assert one != two
    assert one.suffix == MinionId("m1").suffix == hashlib.sha256(b"m1").hexdigest()[:16]
    assert mint(NOON, one, MinionId("m1")) > one
    assert MASTER == "master"
