"""What the agent's core wants done about its line to the master, beside the effects of the host core."""

from __future__ import annotations

from msgspec import Struct

from common.host import effects as host
from common.messages import Enrol, Message


class OpenLine(Struct, frozen=True):
    """A fresh socket to the main port."""


class OpenEnrol(Struct, frozen=True):
    """A fresh socket to the enrolment port."""


class CloseLine(Struct, frozen=True):
    """End whichever line is open. Its `closed` is not told."""

    reason: str


class SendLine(Struct, frozen=True):
    """A message of the connection itself, or a claim: it never waits for the disk."""

    message: Message | Enrol


Effect = OpenLine | OpenEnrol | CloseLine | SendLine | host.Effect
