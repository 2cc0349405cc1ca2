"""jr-call on a host whose agent does not run: the same jobs, with no daemon and no master.

A job gets a claim, a record and a supervisor as ever. As soon as the supervisor has it, this process lets go of the
state folder, so that an agent can start meanwhile and adopt the job; the return waits in the spool for the master.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Raw, structs

from common import clock
from common.control import AGENT
from common.control_frames import VERSION
from common.errors import JrError, UnreachableError, UsageError
from common.files import FolderLock, private_folder
from common.functions import works_alone
from common.ids import Jid, mint
from common.messages import JobFields, Message, Return
from common.pairs import of_return
from common.proc import lock
from common.proc.directory import JobFolders
from common.requests import CallRequest, checked, job_and_secrets
from config.load import HOST_NAME, Loaded, load_minion, source_of
from config.paths import Paths
from config.settings import MinionSettings
from config.shelf import Shelf, shelf_of
from minion.assembly import Parts, assemble

ENDING = 30.0
"""Seconds for what is left to do once the supervisor is gone."""


class Alone:
    """There is nobody to send to. See `Out`."""

    def __init__(self) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, message: Message) -> None:
        """The spool keeps it."""

    def send_frame(self, frame: bytes) -> None:
        """The spool has it."""

    def other(self, effect: Any) -> None:
        """There is no line."""

    def changed(self) -> None:
        """Nothing here waits for the host core's timers: the agent has them when it starts."""

    def ended(self, message: Return) -> None:
        """Told through the future of the run."""

    def fatal(self, reason: str) -> None:
        """The disk or the spawner fails."""
        if not self.failure.done():
            self.failure.set_exception(JrError(reason))


def run_alone(paths: Paths, request: Mapping[str, Any], begun: Callable[[str], None],
              willing: Callable[[], None]) -> dict[str, Any]:
    """Answer the request that the agent's verb `call` would: the pair by minion id. Raises JrError.

    `willing` is called once nothing is in the way of doing without an agent; `begun` is told the jid of a job that goes
    on without this process from there on.
    """
    loaded = load_minion(paths)
    _check_root(paths, loaded)
    settings = loaded.settings
    shelf = shelf_of(source_of(loaded, paths.minion_settings, paths.minion_schedules))
    wanted = checked({"v": VERSION, "verb": "call", **request}, CallRequest)
    with _held_back() as interrupted:
        job, secrets = job_and_secrets(wanted, _user(), settings.grace)
        found = asyncio.run(call(settings, paths, job, secrets, shelf, willing))
    if isinstance(found, Path):
        begun(found.name)
    if interrupted:
        raise KeyboardInterrupt
    message = wait(paths, found) if isinstance(found, Path) else found
    return {str(settings.id): of_return(message)}


def _check_root(paths: Paths, loaded: Loaded[MinionSettings]) -> None:
    """Nothing is made in a folder that only a slip of the pen can have named. Raises UsageError."""
    if paths.root is None or loaded.origin("id") != HOST_NAME:
        return
    if not any(path.exists() for path in (paths.minion_settings, paths.minion_schedules, paths.minion_state)):
        raise UsageError(f"cannot use the root {paths.root}: no minion has its settings or its state there; name the "
                         "right one with --root or JR_ROOT, or a new minion with JR_MINION_ID")


@contextlib.contextmanager
def _held_back() -> Iterator[list[int]]:
    """Note a Ctrl-C for later: until a supervisor has the job nobody else could tell what became of it, and its jid is
    not known. The second one ends this process at once."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


async def call(settings: MinionSettings, paths: Paths, fields: JobFields, secrets: Raw,
               shelf: Shelf | None = None, willing: Callable[[], None] = lambda: None) -> Return | Path:
    """Run a function here, with the secrets that `fields` does not show, and give its return.

    The path of a claim instead: a supervisor has the job, and `wait` waits for its end without the state folder's lock.
    Raises JrError, UnreachableError when an agent holds the state folder and does not answer, or is needed.
    """
    state = private_folder(paths.minion_state)
    try:
        held = FolderLock(state)
    except UsageError as error:
        raise UnreachableError(f"cannot reach the minion's agent at {paths.minion_socket}, though one runs; "
                               "is it starting?") from error
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(held.release)
        out = Alone()
        # No agent is there to start what would have to wait, so nothing waits.
        parts = assemble(structs.replace(settings, max_jobs=0), state, 0, None, out, shelf=shelf)
        stack.push_async_callback(parts.hands.close)
        _check_alone(parts, fields.function, paths)
        willing()
        await parts.hands.open(patient=False)
        return await _run(parts, out, mint(clock.wall(), None, settings.id), fields, secrets)


def _check_alone(parts: Parts, function: str, paths: Paths) -> None:
    """Raises UnreachableError for what only an agent can answer: nothing of it is begun, filed or told the master."""
    code = parts.inline.get(function)
    if code is not None and not works_alone(code):
        raise UnreachableError(f"cannot reach the minion's agent at {paths.minion_socket}, which {function} needs; "
                               f"{AGENT.hint}")


async def _run(parts: Parts, out: Alone, jid: Jid, fields: JobFields, secrets: Raw) -> Return | Path:
    """Start it; done when it has ended, or when its supervisor holds the lock."""
    ended = await parts.hands.desk.run(jid, fields, secrets)
    claim = parts.hands.folders.layout.claim_of(jid)
    while not ended.done():
        # Nothing tells that a lock was taken, so it is looked at; the end itself wakes at once.
        await asyncio.wait([ended], timeout=0.02)
        if out.failure.done():
            out.failure.result()
        if lock.holder(claim) is not None:
            return claim
    return ended.result()


def wait(paths: Paths, claim: Path) -> Return:
    """Wait for the end of a job that has a supervisor. Raises JrError when its return was not found."""
    jid = Jid(claim.name)
    pidfd = lock.open_holder(claim)
    if pidfd is not None:
        try:
            select.select([pidfd], [], [])
        finally:
            os.close(pidfd)
    folders = JobFolders(paths.minion_state)
    deadline = clock.boottime() + ENDING
    while folders.settle(jid) is None and clock.boottime() < deadline:
        select.select([], [], [], 0.05)
    return folders.spool.message(jid)


