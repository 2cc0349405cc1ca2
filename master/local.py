"""The master's own host, where runner jobs run: the same host core as on minions, at the end of connection 0."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from common import clock
from common.alarm import Alarm
from common.codec import from_minion
from common.host.core import Host
from common.host.desk import now
from common.host.shell import HostShell
from common.ids import MASTER
from common.messages import Ack, Message, Publish, Return, Stop
from master.core.core import LOCAL
from master.shell import Shell

_log = logging.getLogger("jr.master.host")


class Local:
    """Carries messages between the master's core and its own host core, in order, never from inside each other."""

    def __init__(self, shell: Shell, host: Host, fatal: Callable[[str], None]) -> None:
        self._shell = shell
        self._host = host
        self._fatal = fatal
        self._alarm = Alarm(self._tick)
        self.hands: HostShell | None = None

    # what the master's shell does

    def deliver(self, message: Message) -> None:
        """A message of the master."""
        asyncio.get_running_loop().call_soon(self._deliver, message)

    def restart(self) -> None:
        """The core knows nothing of what is held here: tell it."""
        at = self._shell.clock.now()
        self._shell.core.local_up(at)
        self._apply(self._host.welcomed(now(), at))

    # what the host's shell wants: see `Out`

    def send(self, message: Message) -> None:
        """A message for the master."""
        asyncio.get_running_loop().call_soon(self._receive, message)

    def send_frame(self, frame: bytes) -> None:
        """A return from the spool."""
        self.send(from_minion.decode(frame))

    def other(self, effect: Any) -> None:
        """There is no line, so there are no effects of one."""

    def ended(self, message: Return) -> None:
        """Nobody here waits for the end of a job."""

    def fatal(self, reason: str) -> None:
        """The host cannot go on, and without it the master would take runner jobs that it cannot run."""
        self._fatal(reason)

    def changed(self) -> None:
        """Wake when the host core wants to be."""
        at = self._host.held.next()
        self._alarm.set(None if at is None else at - clock.boottime())

    def close(self) -> None:
        """No timer fires after this."""
        self._alarm.cancel()

    # inside

    def _deliver(self, message: Message) -> None:
        at = self._shell.clock.now()
        match message:
            case Publish():
                self._apply(self._host.publish(message, now(), at))
            case Stop():
                self._apply(self._host.stop(message, now(), at))
            case Ack():
                self._apply(self._host.ack(message, now()))

    def _receive(self, message: Message) -> None:
        self._shell.apply(self._shell.core.received(LOCAL, MASTER, message, self._shell.clock.now()))

    def _apply(self, effects: Any) -> None:
        if self.hands is not None:
            self.hands.queue.apply(effects)

    def _tick(self) -> None:
        self._apply(self._host.tick(now()))
