"""A real control server on a loop of its own in a thread, with a handler that the test supplies."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.control_server import Authorise, Body, Caller, ControlServer, Handler, Limits, Reply, owner_only


@contextlib.contextmanager
def serving(path: Path, handler: Handler, limits: Limits | None = None,
            authorise: Authorise = owner_only) -> Iterator[ControlServer]:
    """A server at `path`, closed at the end of the `with`. What `open` raises is raised here."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ControlServer(path, handler, limits or Limits(), authorise)
    try:
        asyncio.run_coroutine_threadsafe(server.open(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(_settle(loop), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """Let cut connections be closed, so that none is left to the garbage collector; end the threads of the loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        await asyncio.wait(tasks, timeout=5)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await loop.shutdown_default_executor()


class Script:
    """A handler that plays a master: for each verb the items and the end that the test has written down.

    `requests` keeps what was asked. An exception in the script is raised; an Event in it is waited for, for ever: what
    then happens on a client's side is the test. `gone` is set when a waiting handler was cancelled.
    """

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = {verb.replace("_", "."): list(answer) for verb, answer in answers.items()}
        self.requests: list[Body] = []
        self.callers: list[Caller] = []
        self.gone = threading.Event()

    def last(self) -> Body:
        """The latest request without its version."""
        return {name: value for name, value in self.requests[-1].items() if name != "v"}

    async def __call__(self, request: Body, caller: Caller, reply: Reply) -> Body:
        self.requests.append(request)
        self.callers.append(caller)
        *items, end = self._next(request)
        for item in items:
            await self._play(item, reply)
        if not isinstance(end, dict):
            await self._play(end, reply)
        return dict(end)

    def _next(self, request: Body) -> list[Any]:
        """The answer for this request; `watch` without follow may have one of its own."""
        name = request["verb"]
        if name == "watch" and not request["follow"] and "look" in self.answers:
            name = "look"
        return self.answers[name]

    async def _play(self, step: Any, reply: Reply) -> None:
        if isinstance(step, BaseException):
            raise step
        if step == "wait":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.gone.set()
                raise
        await reply(step)
