"""Where the files of a host's jobs lie. Paths only: nothing is read or written here."""

from __future__ import annotations

from pathlib import Path

from common.ids import Jid

FOLDERS = ("proc", "claims", "secrets", "stops", "spool", "output", "quarantine")
"""All of them, below the state folder."""


class Layout:
    """The paths below one state folder. A name is built from a Jid and from nothing else."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.proc = state / "proc"
        self.claims = state / "claims"
        self.secrets = state / "secrets"
        self.stops = state / "stops"
        self.spool = state / "spool"
        self.output = state / "output"
        self.quarantine = state / "quarantine"

    def record_of(self, jid: Jid) -> Path:
        """The proc record."""
        return self.proc / f"{jid}.json"

    def claim_of(self, jid: Jid) -> Path:
        """The claim, which is the supervisor's lock file."""
        return self.claims / jid

    def secrets_of(self, jid: Jid) -> Path:
        """The secrets among the arguments, until the payload starts."""
        return self.secrets / jid

    def stops_of(self, jid: Jid) -> Path:
        """The stop requests."""
        return self.stops / f"{jid}.json"

    def spool_of(self, jid: Jid) -> Path:
        """The return, until it is acknowledged."""
        return self.spool / f"{jid}.msgpack"

    def output_of(self, jid: Jid) -> tuple[Path, Path]:
        """What was captured of stdout and of stderr. A stream that stayed silent has no file."""
        return self.output / f"{jid}.out", self.output / f"{jid}.err"
