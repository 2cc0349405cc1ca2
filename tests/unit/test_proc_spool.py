"""The bytes of spool files and of hand-made returns, against the message types."""

from __future__ import annotations

import base64
import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import codec
from common.messages import Return
from common.proc import ending, spool
from common.proc.ending import Ending
from common.proc.output import Excerpt
from common.proc.processes import Seen
from common.proc.report import NIL, Report
from common.proc.spool import Packed, SpoolError, pack_map, seal, unseal
from common.proc.stop import Ask, Why
from common.states import State

RECORD: dict[str, Any] = {
    "jid": "20260102030405123456", "function": "cmd.run", "user": "root", "accepted": 1.5, "grace": 10.0,
    "args_packed": base64.b64encode(codec.pack(["true", {"a": 1}])).decode(),
    "kwargs_packed": base64.b64encode(codec.pack({"cwd": "/"})).decode(), "deadline_boot_id": "boot",
}


def decoded(made: Ending, **record: Any) -> Return:
    message = codec.from_minion.decode(ending.encode(RECORD | record, made))
    assert isinstance(message, Return)
    return message


@given(st.binary(max_size=500))
def test_sealed_and_unsealed(frame: bytes) -> None:
    assert unseal(seal(frame)) == frame


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_flipped_bit_is_found(frame: bytes, data: st.DataObject) -> None:
    """R-B30."""
    sealed = bytearray(seal(frame))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SpoolError):
        unseal(bytes(sealed))


@pytest.mark.parametrize("cut", range(12))
def test_every_cut_is_found(cut: int) -> None:
    with pytest.raises(SpoolError):
        unseal(seal(b"frame")[:cut])


def test_a_return_is_never_overwritten(tmp_path: Path) -> None:
    assert spool.put(tmp_path / "r", b"first")
    assert not spool.put(tmp_path / "r", b"second")
    assert unseal((tmp_path / "r").read_bytes()) == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_return_whose_name_was_not_synced_is_not_durable_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-B33: the folder's sync failed after the rename; another try must not find the file and be content."""
    real, synced = os.fsync, []

    def fsync(fd: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
        if len(synced) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="error"):
        spool.put(tmp_path / "r", b"frame")
    assert not spool.put(tmp_path / "r", b"frame")
    assert synced[1:] == [tmp_path, tmp_path]


def test_maps_by_hand_are_maps() -> None:
    packed = pack_map({"a": 1, "b": {"c": [None, b"x"]}, "d": Packed(codec.pack({"e": 2.5}))})
    assert codec.unpack(packed) == {"a": 1, "b": {"c": [None, b"x"]}, "d": {"e": 2.5}}


def test_the_smallest_return() -> None:
    message = decoded(Ending(state="lost", ended=2.0))
    assert (message.state, message.ended, message.retcode, message.value) == (State.LOST, 2.0, None, msgspec.UNSET)
    assert (message.job.function, message.job.user, message.job.schedule) == ("cmd.run", "root", None)
    assert codec.unpack(message.job.args) == ["true", {"a": 1}]
    assert codec.unpack(message.job.kwargs) == {"cwd": "/"}
    assert message.job.timeout is None


def test_the_largest_return_fits_a_frame() -> None:
    """Value, both streams and arguments at their limits together, with all the evidence there can be."""
    record = {
        "args_packed": base64.b64encode(codec.pack("x" * (codec.ARGS_LIMIT - 5))).decode(), "schedule": "s" * 200,
        "timeout": 5, "typed": True}
    stream = Excerpt(b"x" * (128 * 1024 + 60), True)
    processes = ending.listed(Seen(4_194_304, 1, 1, "D", 1, "n" * 15) for _ in range(500))
    made = Ending(
        state="killed", ended=1.0, retcode=137, value=codec.pack("v" * (codec.RETURN_LIMIT - 5)), stdout=stream,
        stderr=stream, truncated=True, started=1.0, duration=2.0, pid=1, usage={"user": 1.0, "system": 1.0, "rss": 1},
        evidence={"reason": "r" * 4000, "by": "b" * 4000, "survivors": processes, "left_behind": processes,
                  "containment": "subreaper", "boot_id": "b" * 36, "lost_bytes": 2**50})
    message = decoded(made, **record)
    assert len(codec.encode(message)) < codec.FRAME_LIMIT
    assert (message.job.timeout, message.job.typed, len(message.evidence.survivors)) == (5.0, True, 100)


def report(**fields: Any) -> Report:
    made = Report(1000)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


OK, EXIT_3, KILLED = 0, 3 << 8, 9
STOP = Ask(Why.STOPPED, None, "u@h", 7.0)


@pytest.mark.parametrize(("status", "fields", "ask", "state", "retcode"), [
    (OK, {"command": True}, None, State.SUCCEEDED, 0),
    (EXIT_3, {"command": True}, None, State.FAILED, 3),
    (KILLED, {"command": True}, None, State.FAILED, 137),
    (127 << 8, {"command": True, "error": ("cannot run x: no", 127)}, None, State.FAILED, 127),
    (OK, {"value": b"\x01"}, None, State.SUCCEEDED, 0),
    (1 << 8, {"value": NIL, "failed": "no"}, None, State.FAILED, 1),
    (KILLED, {"value": b"\x01"}, None, State.FAILED, 137),
    (OK, {}, None, State.FAILED, 1),
    (EXIT_3, {}, None, State.FAILED, 3),
    (OK, {"command": True}, STOP, State.KILLED, 0),
    (KILLED, {"value": b"\x01"}, STOP, State.KILLED, 137),
    (None, {"command": True}, STOP, State.KILLED, None),
    (None, {"command": True}, Ask(Why.TIMED_OUT, 1.0, reason="late"), State.TIMED_OUT, None),
    (OK, {"command": True}, Ask(Why.SWEPT, None), State.SUCCEEDED, 0),
])
def test_verdicts(status: int | None, fields: dict[str, Any], ask: Ask | None, state: State,
                  retcode: int | None) -> None:
    """P5: `succeeded` takes an exit that was observed, with status 0, and a value when it is a function."""
    message = decoded(ending.judge(status, report(**fields), ask, 1.0))
    assert (message.state, message.retcode) == (state, retcode)
    if ask is STOP:
        assert (message.evidence.by, message.evidence.asked, message.evidence.asked_signal) == ("u@h", 7.0, 9)


def test_a_real_time_signal_has_a_number_at_least() -> None:
    assert ending.judge(40, report(command=True), None, 1.0).evidence["reason"] == "ended by signal 40"


def test_not_started() -> None:
    message = decoded(ending.not_started(RECORD, "killed", "stopped before it started", 3.0, STOP))
    assert (message.state, message.evidence.by, message.evidence.reason) == (
        State.KILLED, "u@h", "stopped before it started")
    assert (message.pid, message.started, message.evidence.boot_id) == (None, None, "boot")
