"""A question for a function or a command, in a process of its own that is gone when it has answered. No job.

It is killed, with all that it started, when its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from common import packing
from common.errors import JrError
from common.ids import Jid
from common.proc import limits, mark
from common.proc.processes import MARK
from common.schedule.model import Check

SECONDS = 10.0
"""How long an answer may take: `should_run` is for a look, and the run waits for it."""
_LOADING = 60.0
"""How long its process may take in all: the loader allows users' modules 30 s, and a slow host is slow."""
_ENDING = 5.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH")
_ROOT = Path(packing.__file__).resolve().parent.parent


async def ask(check: Check, jid: Jid, sources: dict[str, Any]) -> bool:
    """Whether it says yes: a function by its value, a command by its exit code. `jid` marks its processes, `sources` is
    where functions come from, as the spawner is told.

    Raises JrError when it gives no answer: it fails, crashes, takes too long, or is not there.
    """
    question = {"function": check.function, "args": check.args, "kwargs": check.kwargs, "jid": jid,
                "timeout": SECONDS, "sources": sources, "files": limits.given()}
    answer = await _outside(question)
    if "failed" in answer:
        raise JrError(f"{check.function}: {answer['failed']}")
    return bool(answer["yes"])


async def _outside(question: dict[str, Any]) -> dict[str, Any]:
    """What the process answers. It is gone, with all that it started, when this comes back. Raises JrError."""
    env = {name: value for name in _KEPT if (value := os.environ.get(name)) is not None}
    env |= {MARK: mark.BLANK, "PYTHONPATH": str(_ROOT)}
    try:
        process = await asyncio.create_subprocess_exec(
            # -P: the folder the daemon happens to be started in must not be a place that code comes from.
            sys.executable, "-P", "-m", "common.proc.question", env=env, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    except OSError as error:
        raise JrError(f"cannot start its process: {error.strerror}") from error
    try:
        async with asyncio.timeout(_LOADING):
            out, _ = await process.communicate(packing.pack(question))
        answer: dict[str, Any] = json.loads(out)
    except TimeoutError:
        raise JrError(f"it does not answer within {_LOADING:.0f} s") from None
    except ValueError as error:
        raise JrError("its process ended without an answer") from error
    finally:
        await _end(process)
    return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    """It kills what it started when it is told to end."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _ENDING)
    except TimeoutError:
        process.kill()
        await process.wait()
