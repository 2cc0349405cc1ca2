"""Asks an entry's `should_run`: a function of the agent in here, any other one and commands in a process of their own.

It is no job: a question that is asked each minute would fill the ledger with what nobody looks for, and an answer is
worth nothing once the run has its verdict. What it starts is killed when it has answered, or when its time is up.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from common.asking import SECONDS, ask
from common.errors import JrError
from common.functions import Agent, Failed, inline_reads, invoke
from common.ids import Jid
from common.schedule.model import Check


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
        return await ask(check, jid, self._sources)

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
