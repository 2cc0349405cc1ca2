"""Names of jobs and minions as types that cannot hold anything else. Every path, query and log line takes these."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_JID = re.compile(r"[0-9]{20}(?:-[0-9a-f]{16})?")
_MINION_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_JID_TIME = "%Y%m%d%H%M%S%f"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Jid(str):
    """The name of a job: 20 digits of UTC time to the microsecond, plus `-` and 16 hex digits when a minion minted it.

    Raises ValueError for any other text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Jid:
        if type(text) is cls:
            return text
        if not _JID.fullmatch(text):
            raise ValueError(f"{_shown(text)} is not a jid: 20 digits, for example 20260102030405123456")
        return super().__new__(cls, text)

    @property
    def suffix(self) -> str:
        """The 16 hex digits of the minion that minted this jid; empty when the master did."""
        return self[21:]

    @property
    def minted(self) -> datetime:
        """The time in the jid, in UTC. Raises ValueError when the digits are no time."""
        # A tenth of what strptime takes, and jids are minted by thousands.
        return datetime(int(self[:4]), int(self[4:6]), int(self[6:8]), int(self[8:10]), int(self[10:12]),
                        int(self[12:14]), int(self[14:20]), tzinfo=UTC)


class MinionId(str):
    """The name of a minion: lower-case letters, digits, dot, underscore, dash; 63 characters at most.

    Raises ValueError for any other text, so that neither a path nor a query can be built from one.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> MinionId:
        if type(text) is cls:
            return text
        if not _MINION_ID.fullmatch(text):
            raise ValueError(
                f"{_shown(text)} is not a minion id: it takes a-z, 0-9, dot, underscore and dash, "
                "starts with a letter or digit, and has 63 characters at most"
            )
        return super().__new__(cls, text)

    @property
    def suffix(self) -> str:
        """What this minion appends to the jids it mints: 16 hex digits of the SHA-256 of its id."""
        # The spawner and the commands never ask, and are spared the 6 MiB of OpenSSL.
        from hashlib import sha256

        return sha256(self.encode()).hexdigest()[:16]


MASTER = MinionId("master")
"""The reserved id under which runner jobs stand in the ledger."""


def mint(now: float, last: Jid | None, minion: MinionId | None = None) -> Jid:
    """A jid for a job that begins at `now` (epoch seconds), greater than `last`, also when the clock stepped back.

    With `minion` the jid carries that minion's suffix, so that no two hosts can mint the same one.
    """
    when = _EPOCH + timedelta(microseconds=round(now * 1_000_000))
    if last is not None:
        when = max(when, last.minted + _MICROSECOND)
    # strftime drops leading zeros of the year on some platforms; no jr job was ever started before the year 1000.
    text = when.strftime(_JID_TIME)
    return Jid(text if minion is None else f"{text}-{minion.suffix}")


def _shown(text: object) -> str:
    """A bad id for an error line: quoted, control characters escaped, cut to a length that fits the line."""
    return ascii(text) if len(str(text)) <= 80 else ascii(str(text)[:77]) + "..."
