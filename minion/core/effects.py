"""What the agent's core wants done about its line to the master, beside the effects of the host core."""

from __future__ import annotations

from msgspec import Struct

from common.host import effects as host
from common.link import Key
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


class MakeKey(Struct, frozen=True):
    """Make this minion's next key pair and keep it, or find the one that is kept; `Agent.made` is told."""


class TakeUpKey(Struct, frozen=True):
    """The next key pair is the one from here on; the old one goes."""


class KeepMasters(Struct, frozen=True):
    """Keep these as the keys by which the master is known; `Agent.kept` is told."""

    keys: list[Key]


class CatchUp(Struct, frozen=True):
    """The state folder is an older copy: keep this as the number of starts, so that the next one is above all."""

    starts: int


class Complain(Struct, frozen=True):
    """Something an operator must put right: say so in the log."""

    reason: str


class VerdictsNoted(Struct, frozen=True):
    """The master has the verdicts of the schedule up to this place of the journal."""

    place: int


Effect = (OpenLine | OpenEnrol | CloseLine | SendLine | MakeKey | TakeUpKey | KeepMasters | CatchUp | Complain
          | VerdictsNoted | host.Effect)
