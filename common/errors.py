"""The errors jr raises on purpose. Each carries the exit code a command ends with; nothing else lives here."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """What a command's exit code means. The numbers are a promise to scripts: they never change."""

    OK = 0
    FAILED = 1
    """Some pair failed, was killed or timed out."""
    USAGE = 2
    NOT_FOUND = 3
    """Nothing matched the target, or the jid is unknown."""
    DENIED = 4
    UNREACHABLE = 5
    """The master, or the minion's agent, does not answer."""
    INCOMPLETE = 6
    """Some pair is undelivered, lost or refused."""
    WAITED = 124
    """`--wait` ran out; the same number as timeout(1)."""
    DETACHED = 130
    """Interrupted from the keyboard: 128 + SIGINT."""


class JrError(Exception):
    """Base of every error that a user may see: one line that reads "cannot X: reason"."""

    exit: Exit = Exit.FAILED

    @property
    def lines(self) -> list[str]:
        """What a command says: one line, unless several things are wrong at once."""
        return [str(self)]


class UsageError(JrError):
    """The request itself is wrong; repeating it will not help."""

    exit = Exit.USAGE


class NotFoundError(JrError):
    """The named thing does not exist."""

    exit = Exit.NOT_FOUND


class DeniedError(JrError):
    """The caller may not do this."""

    exit = Exit.DENIED


class UnreachableError(JrError):
    """The other side is not there; the same request may succeed later."""

    exit = Exit.UNREACHABLE


class DetachedError(JrError):
    """Interrupted from the keyboard while it waited for a job, which goes on."""

    exit = Exit.DETACHED


class StateError(JrError):
    """A step that the state table does not allow. A fault of the program, never of its user."""


BY_EXIT: dict[int, type[JrError]] = {
    error.exit: error for error in (JrError, UsageError, NotFoundError, DeniedError, UnreachableError)
}
"""The error class for an exit code that came over a socket."""
