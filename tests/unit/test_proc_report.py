"""What payloads tell their supervisors: packed, cut, cleaned, and robust against garbage. Pipes, no processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from common import codec
from common.proc import report
from common.proc.report import Report


def told(tell: Callable[[int], None], limit: int = 1000) -> Report:
    """What a supervisor makes of it, fed byte by byte."""
    reader, writer = os.pipe()
    try:
        tell(writer)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    found = Report(limit)
    for byte in data:
        found.feed(bytes([byte]))
    return found


def test_nothing_told() -> None:
    found = told(lambda fd: None)
    assert (found.command, found.error, found.failed, found.value, found.cut) == (False, None, None, None, False)


def test_a_command_and_its_error() -> None:
    def tell(fd: int) -> None:
        report.command(fd)
        report.error(fd, "cannot run x:\nno", 127)
    found = told(tell)
    assert (found.command, found.error) == (True, ("cannot run x: no", 127))


@pytest.mark.parametrize("value", [None, 0, "x", [1, {"a": b"\x00"}], {1: 2}])
def test_values(value: Any) -> None:
    found = told(lambda fd: report.end(fd, value, 1000))
    assert found.value is not None
    assert (codec.unpack(found.value), found.failed, found.cut) == (value, None, False)


@pytest.mark.parametrize(("value", "reason"), [
    ({1}, "cannot pack the value, a set: only plain data can be sent"),
    ([0, object()], "cannot pack the value[1], a object: only plain data can be sent"),
    ({"a": [{"b": 1j}]}, "cannot pack the value['a'][0]['b'], a complex: only plain data can be sent"),
])
def test_values_that_cannot_be_sent(value: Any, reason: str) -> None:
    found = told(lambda fd: report.end(fd, value, 1000))
    assert (found.value, found.failed) == (report.NIL, reason)


@pytest.mark.parametrize(("value", "reason"), [
    (2**64, "the value, an integer of more than 64 bits"), ([-(2**63) - 1], "the value[0], an integer of more than"),
    ("\ud800", "the value: "),
])
def test_values_out_of_range(value: Any, reason: str) -> None:
    found = told(lambda fd: report.end(fd, value, 1000))
    assert found.value == report.NIL
    assert found.failed is not None
    assert found.failed.startswith(f"cannot pack {reason}")


def test_a_failure_outranks_a_value_that_cannot_be_sent() -> None:
    assert told(lambda fd: report.end(fd, {1}, 1000, "disk full")).failed == "disk full"


@pytest.mark.parametrize(("value", "text"), [
    ("x" * 200, "x" * 95), ("ä" * 200, "ä" * 47), (b"x" * 200, "x" * 95), ([1, "a"] * 99, ('[' + '1, "a", ' * 99)[:95]),
    ({"1, 2": "x" * 200}, ('{"1, 2": "' + "x" * 200)[:95])])
def test_values_above_the_limit_are_cut_to_text(value: Any, text: str) -> None:
    packed, cut = report.fit(value, 100)
    assert cut
    assert len(packed) <= 100
    assert codec.unpack(packed) == text


def test_a_limit_of_nothing() -> None:
    assert report.fit("x" * 100, 0) == (codec.pack(""), True)


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x00", b"\x90", b"\x80", b"\xdf\xff\xff\xff\xff",
                                     codec.pack({"kind": "error"}),
                                     codec.pack({"kind": "end", "failed": None, "value": None, "cut": 0}),
                                     codec.pack({"kind": "error", "reason": 1, "retcode": "x"}),
                                     *(codec.pack({"kind": "end", "failed": None, "value": value, "cut": False})
                                       for value in (b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\xc4\xff",
                                                     b"\x91" * 9999, codec.pack("x" * 2000), "text", None)),
                                     bytes(range(255, 0, -1)) * 20])
def test_garbage_is_dropped(garbage: bytes) -> None:
    found = Report(1000)
    found.feed(garbage)
    assert found.value is None
    assert found.error is None


def test_more_than_a_report_holds_is_dropped() -> None:
    found = Report(1000)
    for _ in range(100):
        found.feed(b"\xdb\xff\xff\xff\xff" + b"x" * 60_000)
    assert found.value is None


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(("failure", "text"), [
    (ValueError("x y"), "ValueError: x y"), (KeyError(), "KeyError"), (SystemExit(3), "SystemExit: 3"),
    (Nasty(), "Nasty: <no text: RuntimeError>")])
def test_descriptions(failure: BaseException, text: str) -> None:
    assert report.describe(failure) == text


def test_clean_text() -> None:
    assert report.clean("a\n\tb\u2028c \ud800") == "a b c ?"
    assert len(report.clean("x" * 100_000)) == 4000
