"""Carries frames between the agent's core and its line, and wakes the core when it wants to be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from common import clock, codec
from common.alarm import Alarm
from common.errors import JrError
from common.host.desk import now
from common.link import Closed, Line
from common.log import limited
from common.messages import Message, Return
from common.zmqline import open_enrol, open_line
from minion.assembly import Parts
from minion.core import effects as do
from minion.core.agent import Agent, Stage
from minion.keeping import KEPT, Keeping
from minion.pki import Pki
from minion.scheduler import Scheduler
from minion.stages import Stages
from minion.starts import Starts
from minion.where import Where

_log = logging.getLogger("jr.minion.link")

LINE = (do.OpenLine, do.OpenEnrol, do.CloseLine, do.SendLine, *KEPT, do.Complain, do.VerdictsNoted)


class Link:
    """The agent's hands: everything that has to do with the line; the host's hands do the rest."""

    def __init__(self, master: Where | None, pki: Pki, starts: Starts, fatal: Callable[[str], None]) -> None:
        """Without a master the agent runs its schedules and jr-call, and spools what they return."""
        self._starts = starts
        self._master = master
        self._pki = pki
        self._fatal = fatal
        self._parts: Parts | None = None
        self._keeping: Keeping | None = None
        self._stages: Stages | None = None
        self._line: Line | None = None
        self._alarm = Alarm(self._tick)
        self._started = False

    def open(self, parts: Parts) -> None:
        """Whom frames are for."""
        self._parts = parts
        self._keeping = Keeping(self._pki, self._starts, None if self._master is None else self._master.key, parts,
                                self._apply)
        self._stages = Stages(parts.agent, parts.scheduler)

    @property
    def _agent(self) -> Agent:
        assert self._parts is not None  # nothing is told to a link before it is open
        return self._parts.agent

    @property
    def _scheduler(self) -> Scheduler:
        assert self._parts is not None
        return self._parts.scheduler

    def start(self) -> None:
        """Connect, and keep connected."""
        self._started = True
        if self._master is None:
            _log.warning("no master is configured: set master and master_key, or join by jr-minion --join; until then "
                         "only schedules and jr-call start jobs here", extra={"action": "bus.none"})
        self.changed()

    def close(self) -> None:
        """No line and no timer after this."""
        self._started = False
        self._alarm.cancel()
        self._end_line()

    # what the line tells: see `LineEvents`

    def opened(self) -> None:
        """The handshake succeeded."""
        self._apply(self._agent.opened(now()))

    def received(self, frame: bytes) -> None:
        """A frame of the master, whose key the transport has proved."""
        decoder = codec.enrolled if self._agent.stage is Stage.ENROLLING else codec.from_master
        try:
            message = decoder.decode(frame)
        except codec.CodecError as error:
            limited(_log, "codec").error("%s", error, extra={"action": "bus.garbage"})
            return
        if self._parts is not None and self._parts.hands.queue.crowded:
            limited(_log, "full").warning("dropping messages until the disk has caught up: the master repeats them",
                                          extra={"action": "bus.full"})
            return
        self._apply(self._agent.received(message, now()))

    def closed(self, why: Closed) -> None:
        """The line is over."""
        self._line = None
        self._apply(self._agent.closed(why, now()))

    # what the host's shell wants: see `Out`

    def send(self, message: Message) -> None:
        """Send if there is a connection; what matters is sent again until it is answered."""
        if self._agent.stage is Stage.ONLINE:
            self._send(message)

    def send_frame(self, frame: bytes) -> None:
        """The same for a message that is encoded already."""
        if self._agent.stage is Stage.ONLINE and self._line is not None and self._line.send(frame):
            self._agent.pulse.said(now().boot)

    def ended(self, message: Return) -> None:
        """A job ended."""
        if self._parts is not None:
            self._parts.scheduler.ended(message)

    def fatal(self, reason: str) -> None:
        """The agent cannot go on."""
        self._fatal(reason)

    def other(self, effect: Any) -> None:
        """The effects of the connection itself."""
        if isinstance(effect, KEPT):
            if self._keeping is not None:
                self._keeping.do(effect)
            return
        match effect:
            case do.OpenLine() | do.OpenEnrol():
                self._open_line(enrol=isinstance(effect, do.OpenEnrol))
            case do.CloseLine():
                self._end_line()
            case do.SendLine(message):
                self._send(message)
            case do.VerdictsNoted(place):
                self._scheduler.noted(place)
            case do.Complain(reason):
                limited(_log, "identity").error("%s", reason, extra={"action": "identity.wrong"})

    def changed(self) -> None:
        """Wake when the core wants to be, and tell when the connection changed."""
        if self._stages is not None:
            self._stages.look()
        if self._parts is None or not self._started:
            return
        at = self._parts.agent.next() if self._master is not None else self._parts.host.held.next()
        self._alarm.set(None if at is None else at - clock.boottime())

    # inside

    def _tick(self) -> None:
        if self._parts is not None:
            self._apply((self._parts.agent if self._master is not None else self._parts.host).tick(now()))

    def _apply(self, effects: Sequence[Any]) -> None:
        """What concerns the connection itself never waits for the disk; the rest is the host's."""
        if self._parts is None or not self._started:
            return
        for effect in effects:
            if isinstance(effect, LINE):
                self.other(effect)
        self._parts.hands.queue.apply([effect for effect in effects if not isinstance(effect, LINE)])

    def _open_line(self, *, enrol: bool) -> None:
        self._end_line()
        assert self._master is not None  # without a master the agent core is never woken
        opener, port = (open_enrol, self._master.enrol_port) if enrol else (open_line, self._master.port)
        try:
            chain = self._agent.keys
            self._line = opener(self._master.host, port, chain.master, self._pki.pair(chain.own), self)
        except JrError as error:
            limited(_log, "open").error("%s", error, extra={"action": "bus.failed"})
            asyncio.get_running_loop().call_soon(self.closed, Closed.FAILED)

    def _end_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _send(self, message: Message) -> None:
        if self._line is None:
            return
        try:
            sent = self._line.send(codec.encode(message))
        except codec.CodecError as error:
            _log.error("%s", error, extra={"action": "send.failed"})
            return
        if sent:
            self._agent.pulse.said(now().boot)
