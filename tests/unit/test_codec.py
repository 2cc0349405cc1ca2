"""Bytes to messages and back: limits, types, directions, versions. # P8"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from common import codec, messages
from common.codec import FRAME_LIMIT, CodecError, encode, pack, unpack
from common.ids import MinionId
from common.messages import (
    HELD_PAGE,
    OCCURRENCES_PAGE,
    Accepted,
    Ack,
    Enrol,
    Enrolled,
    Held,
    HeldJob,
    Hello,
    Noted,
    Occurrences,
    Ping,
    Pong,
    Publish,
    Refused,
    Return,
    Started,
    Stop,
    Stopped,
    Welcome,
)
from common.schedule.model import REASON, Occurrence
from common.states import OPEN, State
from tests.lib.cores import FIELDS, returned
from tests.lib.stored import jid

HELLO = Hello(version="1", boot_id="b", start=1, connection=1, facts=Raw(b"\x80"))
UP: list[Any] = [
    HELLO, Held(jobs=[HeldJob(jid(1), State.RUNNING)], last=True), Ping(n=1), Pong(n=1),
    Accepted(jid=jid(1), at=1.0, job=FIELDS, queued=True), Refused(jid=jid(1), reason="no"),
    Started(jid=jid(1), pid=1, at=1.0), returned(jid(1)), Stopped(stop="s", jid=jid(1), outcome="stopping"),
    Occurrences(n=3, items=[Occurrence(schedule="tidy", planned=1.0, verdict="ran", at=1.5, jid=jid(1))])]
DOWN: list[Any] = [
    Welcome(master="us", time=1.0, return_limit=1), Publish(jid=jid(1), job=FIELDS, start_by=1.0), Ping(n=1), Pong(n=1),
    Stop(stop="s", jid=jid(1), how="term", signal=15, grace=1.0, by="ann", start_by=1.0), Ack(jid=jid(1)),
    Noted(n=3)]


@pytest.mark.parametrize(("message", "decoder"), [
    *[(message, codec.from_minion) for message in UP], *[(message, codec.from_master) for message in DOWN],
    (Enrol(id=MinionId("m1"), version="1"), codec.enrol), (Enrolled(status="pending"), codec.enrolled)])
def test_there_and_back(message: Any, decoder: Any) -> None:
    assert decoder.decode(encode(message)) == message
    assert msgpack.unpackb(encode(message))["v"] == 1
    assert msgpack.unpackb(encode(message))["kind"] == type(message).__name__.lower()


@pytest.mark.parametrize("message", [message for message in UP if not isinstance(message, (Ping, Pong))])
def test_a_message_in_the_wrong_direction_is_none(message: Any) -> None:
    with pytest.raises(CodecError):
        codec.from_master.decode(encode(message))
    with pytest.raises(CodecError):
        codec.enrol.decode(encode(message))


def test_no_message_has_a_sender() -> None:  # DESIGN 5
    for kind in vars(messages).values():
        if isinstance(kind, type) and issubclass(kind, messages.Message) and kind is not Enrol:
            assert not {"id", "minion", "sender"} & set(kind.__struct_fields__)


def changed(message: Any, **fields: Any) -> bytes:
    return pack({**msgpack.unpackb(encode(message)), **fields})


@pytest.mark.parametrize("frame", [
    b"", b"\x00", b"\xc1", b"\xff" * 100, b"GET / HTTP/1.1\r\n", b"\x91" * 100_000,
    b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    pack([]), pack("hello"), pack({}), pack({"v": 1}), pack({"kind": "ping", "n": 1, "v": 2}), pack({"kind": 5}),
    pack({"v": 1, "kind": "no.such"}), changed(HELLO, more=1), changed(HELLO, start="1"), changed(HELLO, start=None),
    changed(HELLO, version="x" * 201), changed(HELLO, boot_id="x" * 65), encode(HELLO)[:-1], encode(HELLO) + b"\x00",
    changed(Started(jid=jid(1), pid=1, at=1.0), at=math.nan), changed(Started(jid=jid(1), pid=1, at=1.0), at=math.inf),
    changed(Accepted(jid=jid(1), at=1.0), at=math.nan), changed(returned(jid(1)), ended=math.nan),
    changed(returned(jid(1)), accepted=-math.inf), changed(returned(jid(1)), state="done"),
    changed(returned(jid(1)), stdout=b"x" * 262_145), changed(Refused(jid=jid(1), reason=""), reason="x" * 4001),
    changed(Held(jobs=[], last=True), jobs=[[jid(1), "running"]] * (HELD_PAGE + 1)),
    b"\x82\xa1v\x01\xa4kind\xa4\xff\xfe\xfd\xfc"])
def test_what_is_no_message(frame: bytes) -> None:
    with pytest.raises(CodecError, match=r"^cannot decode a message: "):
        codec.from_minion.decode(frame)


@given(st.binary(max_size=200))
def test_garbage_ends_in_one_kind_of_error(garbage: bytes) -> None:
    for decoder in (codec.from_minion, codec.from_master, codec.enrol, codec.enrolled):
        try:
            decoder.decode(garbage)
        except CodecError:
            continue


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_message_ends_in_one_kind_of_error(place: int, byte: int) -> None:
    frame = bytearray(encode(returned(jid(1))))
    frame[place % len(frame)] = byte
    try:
        codec.from_minion.decode(bytes(frame))
    except CodecError:
        return


def test_users_data_is_not_opened_on_the_way() -> None:
    message = Return(jid=jid(1), job=FIELDS, state=State.SUCCEEDED, value=Raw(pack({"deep": [1]})), ended=1.0)
    decoded = codec.from_minion.decode(encode(message))
    assert isinstance(decoded.value, Raw)
    assert unpack(decoded.value) == {"deep": [1]}


def test_a_frame_has_a_limit() -> None:
    with pytest.raises(CodecError, match=rf"^cannot send Return: \d+ bytes, .*{FRAME_LIMIT}.* a frame$"):
        encode(Return(jid=jid(1), job=FIELDS, state=State.FAILED, value=Raw(pack(b"x" * FRAME_LIMIT)), ended=1.0))


def test_the_largest_return_fits_a_frame() -> None:
    whole = Return(jid=jid(1), job=FIELDS, state=State.FAILED, value=Raw(pack(b"x" * (codec.RETURN_LIMIT - 5))),
                   stdout=b"x" * 131_072, stderr=b"x" * 131_072, ended=1.0)
    largest = len(encode(whole)) + codec.ARGS_LIMIT
    assert largest < FRAME_LIMIT


@pytest.mark.parametrize("value", [
    None, True, 0, -1, 2**64 - 1, 1.5, "", "\u00e9", b"\x00", [], [1, [2]], {}, {"a": {"b": None}}, {1: 2}])
def test_plain_data(value: Any) -> None:
    assert unpack(pack(value)) == value
    assert unpack(memoryview(pack(value))) == value


@pytest.mark.parametrize("packed", [
    b"", b"\xc1", b"\x91" * 5000 + b"\x00", b"\x00\x00", b"\xd4\x05\x00", b"\xd6\xff\x00\x00\x00\x00", b"\xa2\xff\xfe",
    b"\xdd\x00\x01\x86\xa1", b"\x81\x90\x00", b"\xdd\xff\xff\xff\xff"])
def test_what_does_not_unpack(packed: bytes) -> None:
    with pytest.raises(CodecError, match=r"^cannot unpack a value: ."):
        unpack(packed)


def test_a_value_above_its_limit() -> None:
    with pytest.raises(CodecError, match=r"^cannot unpack 12 bytes: the limit is 11$"):
        unpack(pack("x" * 11), limit=11)


def test_only_ids_are_packed_beside_plain_types() -> None:
    with pytest.raises(TypeError, match="cannot pack object"):
        codec._encoder.encode(object())


# what a minion may say, and how much of it


@pytest.mark.parametrize("state", sorted({*OPEN, State.REFUSED, State.UNDELIVERED}))
def test_a_return_must_say_an_end_that_a_minion_can_see(state: State) -> None:  # P5, P8
    with pytest.raises(ValueError, match=f"^a return cannot say {state}$"):
        returned(jid(1), state)
    frame = encode(returned(jid(1), State.LOST)).replace(b"\xa4lost", bytes([0xa0 + len(state)]) + state.encode())
    with pytest.raises(CodecError, match=f"cannot decode a message: a return cannot say {state}"):
        codec.from_minion.decode(frame)


@pytest.mark.parametrize("metadata", [{str(n): "" for n in range(201)}, {"n" * 201: ""}, {"n": "x" * 4001}])
def test_metadata_is_bounded(metadata: dict[str, str]) -> None:  # P8
    fields = structs.replace(FIELDS, metadata=metadata)
    with pytest.raises(CodecError, match="metadata"):
        codec.from_minion.decode(encode(Accepted(jid=jid(1), at=1.0, job=fields)))
    fields = structs.replace(FIELDS, metadata={"n" * 200: "x" * 4000, **{str(n): "" for n in range(199)}})
    assert codec.from_minion.decode(encode(Accepted(jid=jid(1), at=1.0, job=fields))).job == fields


def test_a_page_of_the_longest_verdicts_fits_one_frame() -> None:
    long, time, many = "\U0001f4a5" * 200, 1e11 / 3, 1_000_000_000
    longest = Occurrence(schedule=long, planned=time, attempt=many, verdict="failed_to_start", at=time, by=long,
                         jid=jid(1, "m1"), cause="run_on_start", count=many, last=time, reason=long * 9)
    assert len(longest.reason) == REASON
    page = Occurrences(n=2**53 - 1, items=[longest] * OCCURRENCES_PAGE)
    assert codec.from_minion.decode(encode(page)) == page


@pytest.mark.parametrize("fields", [
    {"reason": "x" * (REASON + 1)}, {"schedule": "x" * 201}, {"planned": math.inf}, {"count": 0}, {"count": 10**10},
    {"attempt": -1}, {"verdict": "unknown"}, {"jid": "../x"}])
def test_a_verdict_that_no_store_takes_is_none(fields: dict[str, Any]) -> None:
    item = {"schedule": "tidy", "planned": 1.0, "verdict": "ran", "at": 1.0}
    codec.from_minion.decode(pack({"v": 1, "kind": "occurrences", "n": 1, "items": [item]}))
    with pytest.raises(CodecError):
        codec.from_minion.decode(pack({"v": 1, "kind": "occurrences", "n": 1, "items": [{**item, **fields}]}))
    for n in (-1, 2**53):
        with pytest.raises(CodecError):
            codec.from_minion.decode(pack({"v": 1, "kind": "occurrences", "n": n, "items": [item]}))
