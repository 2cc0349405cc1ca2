"""Asks an entry's `should_run`: a function of the agent in here, any other one and commands in a process of their own.

It is no job: a question that is asked each minute would fill the ledger with what nobody looks for, and an answer is
worth nothing once the run has its verdict. What it starts is killed when it has answered, or when its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import packing
from common.errors import JrError
from common.functions import Agent, Failed, inline_reads, invoke
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


class Asker:
    """Asks on behalf of one agent."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], sources: dict[str, Any], agent: Agent) -> None:
        """`functions` are those of the agent; `sources` is where all others come from, as the spawner is told."""
        self._functions = functions
        self._sources = sources
        self._agent = agent

    async def ask(self, check: Check, jid: Jid) -> bool:
        """Whether it says yes: a function by its value, a command by its exit code. `jid` marks its processes.

        Raises JrError when it gives no answer: it fails, crashes, takes too long, or is not there.
        """
        function = self._functions.get(check.function)
        if function is not None:
            return await self._inside(function, check)
        question = {"function": check.function, "args": check.args, "kwargs": check.kwargs, "jid": jid,
                    "timeout": SECONDS, "sources": self._sources, "files": limits.given()}
        answer = await _outside(question)
        if "failed" in answer:
            raise JrError(f"{check.function}: {answer['failed']}")
        return bool(answer["yes"])

    async def _inside(self, function: Callable[..., Any], check: Check) -> bool:
        if not inline_reads(function):
            raise JrError(f"{check.function} changes something, and is no question")
        try:
            async with asyncio.timeout(SECONDS):
                value = invoke(function, check.args, check.kwargs, agent=self._agent)
                return bool(await value if inspect.isawaitable(value) else value)
        except TimeoutError:
            raise JrError(f"{check.function} took more than {SECONDS:.0f} s") from None
        except Failed as error:
            raise JrError(str(error)) from error
        except Exception as error:  # a function may raise anything, and none of it is the agent's own failure
            raise JrError(f"{check.function}: {type(error).__name__}: {error}") from error


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
            out, _ = await process.communicate(json.dumps(question).encode())
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
