"""Says when the connection to the master comes and goes: in the log, and to the schedule."""

from __future__ import annotations

import logging

from common.log import limited
from minion.core.agent import Agent, Stage
from minion.scheduler import Scheduler

_log = logging.getLogger("jr.minion.link")


class Stages:
    """What was said last."""

    def __init__(self, agent: Agent, scheduler: Scheduler) -> None:
        self._agent = agent
        self._scheduler = scheduler
        self._told = Stage.IDLE

    def look(self) -> None:
        """Say what has changed."""
        stage, before = self._agent.stage, self._told
        if stage is before:
            return
        self._told = stage
        if stage is Stage.ONLINE:
            _log.info("connected to the master", extra={"action": "bus.connected"})
            self._scheduler.connected()
        elif before is Stage.ONLINE:
            _log.warning("not connected: %s", self._agent.why, extra={"action": "bus.disconnected"})
            self._scheduler.disconnected()
        elif stage is Stage.IDLE:
            limited(_log, f"idle {self._agent.why}").warning("%s", self._agent.why, extra={"action": "bus.waiting"})
