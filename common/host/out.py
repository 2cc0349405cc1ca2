"""Whom the hands of a host core speak to: the daemon around them."""

from __future__ import annotations

from typing import Any, Protocol

from common.messages import Message, Return


class Out(Protocol):
    """Where messages go, and the effects that are not the host's."""

    def send(self, message: Message) -> None:
        """Send if there is somebody to send to."""

    def send_frame(self, frame: bytes) -> None:
        """The same for a message that is encoded already."""

    def other(self, effect: Any) -> None:
        """An effect of the agent."""

    def changed(self) -> None:
        """The core was told something: look when it wants to be woken."""

    def ended(self, message: Return) -> None:
        """A job of this host ended."""

    def fatal(self, reason: str) -> None:
        """The host cannot go on: the disk or the spawner fails. The daemon ends, jobs live on."""
