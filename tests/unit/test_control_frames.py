"""Frames of the control sockets: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.control_frames import ANSWER_LIMIT, HEADER, FrameError, length, pack, unpack

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(
        st.characters(exclude_categories=["Cs"])) | st.binary()
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


@given(st.dictionaries(st.sampled_from(["v", "verb", "x"]), VALUES))
def test_there_and_back(body: dict[str, Any]) -> None:
    frame = pack(body, ANSWER_LIMIT)
    assert length(frame, ANSWER_LIMIT) == len(frame) - HEADER
    assert unpack(frame[HEADER:]) == body


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_map_or_an_error(data: bytes) -> None:
    body: object = {}
    with contextlib.suppress(FrameError):
        body = unpack(data)
    assert isinstance(body, dict)


def test_the_limit_counts_the_body() -> None:
    body = {"key": "value"}  # 1 byte for the map, 4 for the key, 6 for the value
    assert len(pack(body, 11)) == HEADER + 11
    with pytest.raises(FrameError, match="cannot send 11 bytes at once: the limit is 10"):
        pack(body, 10)


def test_a_length_above_the_limit() -> None:
    assert length(b"\x00\x00\x00\x05rest", 5) == 5
    with pytest.raises(FrameError, match="cannot read a message of 6 bytes: the limit is 5"):
        length(b"\x00\x00\x00\x06", 5)


def test_other_types_are_not_sent() -> None:
    with pytest.raises(FrameError, match="cannot send a message"):
        pack({"x": {1, 2}}, 100)
    with pytest.raises(FrameError, match="not valid UTF-8"):
        pack({"x": "\udc80"}, 100)


@pytest.mark.parametrize("data", [
    b"", b"\x80\x80", b"\xdf\xff\xff\xff\xff", b"\x81\xa1x\xdd\x00\x01\x86\xa1", b"\x81" * 600,
    b"\x81\xa1x\xc7\x00\x05", b"\x81\xa1x\xd6\xff\x00\x00\x00\x00",
])
def test_damaged_and_hostile_bodies(data: bytes) -> None:
    with pytest.raises(FrameError):
        unpack(data)
