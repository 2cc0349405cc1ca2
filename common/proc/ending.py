"""From what a supervisor saw to the return it writes. Pure: the words of `messages.Return`, as plain maps."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from common.proc.output import NOTHING, Excerpt
from common.proc.processes import Seen
from common.proc.report import NIL, Report, clean
from common.proc.spool import Packed, pack_map
from common.proc.stop import Ask, Why

SHOWN = 100
"""Processes that evidence names at most."""
_NAME = 200


@dataclass(slots=True)
class Ending:
    """How a job ended here."""

    state: str
    ended: float
    """Epoch seconds."""
    retcode: int | None = None
    value: bytes | None = None
    """Packed; None for a command."""
    stdout: Excerpt = NOTHING
    stderr: Excerpt = NOTHING
    truncated: bool = False
    """The value was cut."""
    started: float | None = None
    duration: float | None = None
    pid: int | None = None
    usage: dict[str, Any] | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def judge(status: int | None, report: Report, ask: Ask | None, ended: float) -> Ending:
    """The end of a payload with the wait status `status`, None when it outlived its KILL.

    `ask` is the first reason to end it that came before the exit was observed.
    """
    ending = Ending(state="failed", ended=ended, retcode=_retcode(status), evidence=_seen(status))
    if ask is not None and ask.why is not Why.SWEPT:
        ending.state = ask.why.value
        ending.evidence |= _asked(ask)
    elif report.error is not None:
        reason, ending.retcode = report.error
        ending.evidence["reason"] = reason
    elif report.command:
        ending.state = "succeeded" if status == 0 else "failed"
    else:
        _judge_function(ending, status, report)
    return ending


def sent(request: dict[str, Any] | None) -> dict[str, Any]:
    """Who sent the signal that ended a payload, when it came through jr; `request` is what asked for it."""
    if request is None:
        return {}
    return {"by": clean(str(request.get("by"))), "asked": request.get("at"), "asked_signal": request["signal"]}


def not_started(record: dict[str, Any], state: str, reason: str, now: float, ask: Ask | None = None) -> Ending:
    """The end of a job of which nothing ran."""
    evidence = {"reason": clean(reason)} if ask is None else _asked(ask) | {"reason": clean(reason)}
    return Ending(state=state, ended=now, evidence=evidence | {"boot_id": record["deadline_boot_id"]})


def listed(found: Iterable[Seen]) -> list[dict[str, Any]]:
    """Processes as evidence names them."""
    return [{"pid": one.pid, "name": clean(one.name, _NAME), "state": one.state} for one in found][:SHOWN]


def encode(record: dict[str, Any], ending: Ending) -> bytes:
    """The frame of the return, just as `codec.encode` would make it."""
    fields: dict[str, Any] = {
        "kind": "return", "v": 1, "jid": record["jid"], "job": _job(record), "state": ending.state,
        "retcode": ending.retcode, "stdout": ending.stdout.data, "stderr": ending.stderr.data,
        "truncated": ending.truncated or ending.stdout.cut or ending.stderr.cut, "accepted": record["accepted"],
        "started": ending.started, "ended": ending.ended, "duration": ending.duration, "pid": ending.pid,
        "usage": ending.usage, "evidence": ending.evidence,
    }
    if ending.value is not None:
        fields["value"] = Packed(ending.value)
    return pack_map(fields)


def _job(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "function": record["function"], "args": Packed(base64.b64decode(record["args_packed"])),
        "kwargs": Packed(base64.b64decode(record["kwargs_packed"])), "user": record["user"],
        "schedule": record.get("schedule"), "timeout": record.get("timeout"), "grace": record["grace"],
        "typed": record.get("typed", False), "metadata": record.get("metadata", {}),
        "left_behind": record.get("left_behind_asked"),
    }


def _judge_function(ending: Ending, status: int | None, report: Report) -> None:
    ending.value, ending.truncated = NIL, False
    if report.value is None or (status != 0 and report.failed is None):
        ending.retcode = ending.retcode or 1
        ending.evidence.setdefault("reason", "the function ended its process and returned nothing")
        return
    ending.value, ending.truncated = report.value, report.cut
    if report.failed is None:
        ending.state, ending.retcode = "succeeded", 0
    else:
        ending.retcode = 1
        ending.evidence["reason"] = report.failed


def _retcode(status: int | None) -> int | None:
    """As a shell counts: the exit code, or 128 + n after signal n."""
    if status is None:
        return None
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _seen(status: int | None) -> dict[str, Any]:
    if status is None:
        return {}
    if not os.WIFSIGNALED(status):
        return {"exit_code": os.WEXITSTATUS(status)}
    number = os.WTERMSIG(status)
    return {"signal": number, "reason": f"ended by {_signal_name(number)}"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals between the first and the last have no name


def _asked(ask: Ask) -> dict[str, Any]:
    evidence: dict[str, Any] = {"asked_signal": int(ask.number), "reason": ask.reason}
    if ask.by is not None:
        evidence["by"] = clean(ask.by)
    if ask.at is not None:
        evidence["asked"] = ask.at
    return evidence
