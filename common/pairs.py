"""What one minion answered, as the plain map that operators and programs get."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, to_builtins

from common.codec import CodecError, unpack
from common.messages import Evidence, Return
from common.states import State


def pair_document(state: State, *, retcode: int | None, value: bytes | None, stdout: bytes, stderr: bytes,
                  started: float | None, ended: float | None, duration: float | None, pid: int | None,
                  evidence: Evidence, truncated: bool = False, expired: bool = False) -> dict[str, Any]:
    """One pair. Output is text, with what is no UTF-8 replaced; times are epoch seconds.

    `value` is packed; where there is none the return is what a command wrote, without its last newline.
    """
    out, err = (text.decode("utf-8", "replace") for text in (stdout, stderr))
    told: dict[str, Any] = {
        "state": str(state), "retcode": retcode, "return": None, "stdout": out, "stderr": err, "started": started,
        "ended": ended, "duration": duration, "pid": pid, "evidence": to_builtins(evidence) or None}
    if value is not None:
        told["return"] = opened(value)
    elif retcode is not None and not expired:
        told["return"] = out.removesuffix("\n")
    if truncated:
        told["truncated"] = True
    if expired:
        told["expired"] = True
    return told


def of_return(message: Return) -> dict[str, Any]:
    """The pair that a return makes."""
    return pair_document(
        message.state, retcode=message.retcode, value=None if message.value is UNSET else bytes(message.value),
        stdout=message.stdout, stderr=message.stderr, started=message.started, ended=message.ended,
        duration=message.duration, pid=message.pid, evidence=message.evidence, truncated=message.truncated)


def opened(value: bytes) -> Any:
    """What a minion packed; a value that does not unpack within the limits is told as text that says so."""
    try:
        return unpack(value)
    except CodecError as error:
        return str(error)
