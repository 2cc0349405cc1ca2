"""How jids and states are written. Round trips of whole records are held against every store in tests/contract."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.ids import Jid
from common.states import State
from master.records import Outcome
from master.store import rows
from tests.lib.stored import jid, job, pair, returned

JIDS = some.from_regex(r"[0-9]{20}(-[0-9a-f]{16})?", fullmatch=True).map(Jid)


@given(JIDS, JIDS)
def test_packed_jids_come_back_and_sort_as_text(one: Jid, other: Jid) -> None:
    packed = rows.pack_jid(one)
    assert rows.unpack_jid(packed) == one
    assert len(packed) == (17 if one.suffix else 9)
    assert (packed < rows.pack_jid(other)) == (one < other)


def test_a_suffix_sorts_after_none() -> None:
    names = [Jid("2" * 20), Jid("2" * 20 + "-" + "0" * 16), Jid("2" * 20 + "-" + "f" * 16), Jid("2" * 19 + "3")]
    assert all(rows.pack_jid(one) < rows.pack_jid(other) for one, other in itertools.pairwise(names))


@pytest.mark.parametrize("key", [b"\xff" * 9, b"\x05" + b"\xff" * 8 + b"x"])
def test_a_key_that_is_no_jid(key: bytes) -> None:
    with pytest.raises(ValueError):
        rows.unpack_jid(key)


def test_numbers_of_states_never_change() -> None:
    """They are on disks out there: a new state gets a new number, and none is used again."""
    assert {str(state): rows.state_number(state) for state in State} == {
        "planned": 0, "sent": 1, "accepted": 2, "queued": 3, "running": 4, "succeeded": 5, "failed": 6, "timed_out": 7,
        "killed": 8, "lost": 9, "refused": 10, "undelivered": 11}


def test_counts_come_back() -> None:
    counts = {State.SUCCEEDED: 9_999, State.LOST: 1}
    assert rows.unpack_counts(rows.pack_counts(counts)) == counts


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x81\xa1x\x01", b"\x81\x63\x01", b"text"])
def test_damaged_counts_are_refused(packed: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        rows.unpack_counts(packed)


@pytest.mark.parametrize("change", [{0: b"\xff" * 9}, {1: "NO ID"}, {2: 99}, {4: b"\xc1"}, {5: b"\x90"}])
def test_a_damaged_pair_is_refused(change: dict[int, object]) -> None:
    row = list(rows.pair_to_row(returned(jid(1), "a")))
    for column, value in change.items():
        row[column] = value
    with pytest.raises((ValueError, msgspec.DecodeError)):
        rows.pair_from_row(tuple(row))


def test_defaults_take_no_room() -> None:
    open_pair = rows.pair_to_row(pair(jid(1), "a"))
    assert open_pair[3:] == (None,) * 6
    done = rows.pair_to_row(returned(jid(1), "a", outcome=Outcome()))
    assert done[3:5] == (None, b"")
    assert done[6:] == (None, None, None)
    # timeout, grace, typed, then metadata, args, kwargs, queue and left_behind
    row = rows.job_to_row(job(1), 3)
    assert (row[7:10], row[12:]) == ((None,) * 3, (None,) * 5)
