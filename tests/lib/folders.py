"""Records, returns and stop requests to put into the folders of a host."""

from __future__ import annotations

import base64
from typing import Any

from common import codec
from common.ids import Jid
from common.messages import JobFields, Return
from common.proc.record import JobRecord, StopRequest
from common.states import State

A, B, C = (Jid(f"2026010203040512345{n}") for n in range(3))


def record(jid: Jid = A, **fields: Any) -> JobRecord:
    return JobRecord(**{
        "jid": jid, "function": "cmd.run", "args": ["true"], "kwargs": {}, "user": "root", "state": State.ACCEPTED,
        "accepted": 1.0, "deadline_boot_id": "b", "deadline": 2.0,
        "args_packed": base64.b64encode(codec.pack(["true"])).decode(),
        "kwargs_packed": base64.b64encode(codec.pack({})).decode(), **fields})


def returned(jid: Jid = A, state: State = State.SUCCEEDED) -> Return:
    return Return(jid=jid, job=JobFields(function="cmd.run", user="root"), state=state, ended=1.0)


def request(stop: str = "s") -> StopRequest:
    return StopRequest(stop=stop, how="term", signal=15, grace=10.0, by="u@h", at=1.0)
