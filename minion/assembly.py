"""The parts of a minion, put together the same way for the agent and for a lone jr-call."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Raw

from common import clock
from common.codec import RETURN_LIMIT, pack
from common.host.core import Host
from common.host.job import Limits
from common.host.out import Out
from common.host.planner import TablePlanner
from common.host.shell import HostShell
from common.link import Key
from common.messages import Enrol
from common.proc.limits import most_jobs
from common.proc.loader import load
from common.version import VERSION
from config.settings import MinionSettings
from config.shelf import Shelf
from minion.asking import Asker
from minion.core.agent import Agent, Identity
from minion.core.keychain import Keychain
from minion.facts import collect
from minion.handle import Handle
from minion.journal import Journal
from minion.scheduler import Scheduler

FUNCTIONS = "minion.functions"
ENTRY_POINTS = "jr.functions"


class Parts(NamedTuple):
    """What a minion is made of."""

    host: Host
    agent: Agent
    scheduler: Scheduler
    hands: HostShell
    asker: Asker
    inline: Mapping[str, Callable[..., Any]]
    """The functions that answer inside the agent, by name."""


def assemble(settings: MinionSettings, state: Path, start: int, token: str | None, out: Out,
             keys: Keychain | None = None, shelf: Shelf | None = None) -> Parts:
    """Make the parts; `start` counts the starts of the agent, `out` carries messages away, `keys` open its line.

    `shelf` has the schedule; without it there is none.

    Raises JrError when the state folder cannot be used.
    """
    loaded = load({"packages": [FUNCTIONS]})
    inline = {name: loaded.functions[name] for name, info in loaded.table.items() if info["inline"]}
    facts = collect(settings.id, settings.facts)
    limits = Limits(boot_id=clock.boot_id(), start=start, max_jobs=most_jobs(settings.max_jobs),
                    output_limit=settings.output_limit, return_limit=RETURN_LIMIT, left_behind=settings.left_behind)
    host = Host(limits, TablePlanner(lambda: handle.functions(), lambda: handle.hands.executor.broken),
                followed=shelf is not None)
    identity = Identity(version=VERSION, boot_id=clock.boot_id(), start=start, facts=Raw(pack(facts)),
                        claim=Enrol(id=settings.id, version=VERSION, token=token))
    agent = Agent(identity, host, random.random, keys or Keychain(Key(""), None, [Key("")]))
    if shelf is not None:
        agent.schedule_problems = lambda: len(shelf.problems)
    scheduler = Scheduler(settings, Journal(state), shelf)
    handle = Handle(settings, host, agent, scheduler, facts, loaded)
    config: dict[str, Any] = {"packages": [FUNCTIONS], "dirs": list(settings.function_dirs),
                              "entry_points": ENTRY_POINTS, "containment": settings.containment}
    handle.hands = HostShell(host, state, config, out, inline, handle)
    return Parts(host, agent, scheduler, handle.hands, Asker(inline, config, handle), inline)
