"""Jobs for processes that are to die, and what an agent finds of them afterwards."""

from __future__ import annotations

import os
from typing import Any

from common import clock, codec
from common.ids import Jid
from common.messages import Return
from common.proc.directory import JobFolders
from common.proc.record import JobRecord
from common.states import State
from tests.process.host import make_record
from tests.process.inline_supervisor import fork_supervisor


def accept(folders: JobFolders, script: str, **fields: Any) -> JobRecord:
    record = make_record("run.shell", script, **fields)
    assert folders.claims.add(record.jid, clock.boottime() + 3600)
    folders.records.write(record)
    return record


def recover(folders: JobFolders, jid: Jid) -> State:
    """What an agent does after a crash: settle, or start again what never started."""
    state = folders.settle(jid)
    if state is None:
        assert os.waitpid(fork_supervisor(folders.layout, jid), 0)[1] == 0
        state = folders.settle(jid)
    assert state is not None
    return state


def settled(folders: JobFolders, jid: Jid) -> Return:
    assert folders.settle(jid) is not None
    message = codec.from_minion.decode(folders.spool.read(jid))
    assert isinstance(message, Return)
    return message
