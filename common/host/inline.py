"""Runs the functions that answer inside the agent: built-in ones only, at once, and never for long."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from common import clock
from common.codec import pack
from common.functions import Agent, Failed, Job, invoke
from common.messages import Evidence, Return
from common.proc.record import JobRecord, fields_of
from common.proc.seal import Opened, redact, unseal
from common.states import State

LONGEST = 120.0
"""Seconds that an inline function may wait, whatever it waits for."""


async def call(function: Callable[..., Any], record: JobRecord, agent: Agent | None, sealed: bytes = b"") -> Return:
    """Call it, and give its return. An exception is a failed job, with its text as the reason.

    `sealed` are the packed secrets that the record does not show.
    """
    given = unseal(record.args, record.kwargs, sealed)
    begun = clock.boottime()
    wall = clock.wall()
    try:
        value = await _run(function, record, given, agent)
        packed, truncated = _fit(value, record.return_limit)
        state, evidence = State.SUCCEEDED, Evidence()
    except Failed as error:
        packed, truncated = _fit(error.value, record.return_limit)
        state, evidence = State.FAILED, _reason(error, given)
    except TimeoutError:
        packed, truncated, state = pack(None), False, State.TIMED_OUT
        evidence = Evidence(reason=f"it took more than {LONGEST:.0f} s")
    except Exception as error:  # user-visible functions may raise anything, and all of it is the job's own failure
        packed, truncated, state, evidence = pack(None), False, State.FAILED, _reason(error, given)
    duration = clock.boottime() - begun
    return Return(jid=record.jid, job=fields_of(record), state=state, retcode=0 if state is State.SUCCEEDED else 1,
                  value=Raw(packed), truncated=truncated, accepted=record.accepted, started=wall, ended=wall + duration,
                  duration=duration, evidence=evidence)


async def _run(function: Callable[..., Any], record: JobRecord, given: Opened, agent: Agent | None) -> Any:
    job = Job(jid=record.jid, function=record.function, user=record.user)
    value = invoke(function, given.args, given.kwargs, agent=agent, job=job)
    if inspect.isawaitable(value):
        async with asyncio.timeout(LONGEST if record.timeout is None else min(LONGEST, record.timeout)):
            value = await value
    return value


def _fit(value: Any, limit: int) -> tuple[bytes, bool]:
    """The packed value; above the limit its text, cut."""
    packed = pack(value)
    if len(packed) <= limit:
        return packed, False
    return pack(str(value)[:limit // 4]), True


def _reason(error: Exception, given: Opened) -> Evidence:
    text = redact(str(error), given.texts) or type(error).__name__
    return Evidence(reason=text[:4000] if isinstance(error, Failed) else f"{type(error).__name__}: {text}"[:4000])
