"""What picks the minions of a job, as plain matching on names. Pure: who exists is told from outside.

A further kind (facts, compound) is one more class with `match` and one more line in `_PARSERS`.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Protocol

from common.errors import UsageError
from common.ids import MASTER, MinionId
from common.text import escape, nearest

TEXT_LIMIT = 1_000
"""Characters of a glob or a regular expression."""
LIST_LIMIT = 10_000
"""Ids in a list."""

# Python's engine backtracks: a repeated group that itself repeats can take for ever on a name of 63 characters, unless
# a dot, dash or underscore that must be there tells one round from the next.
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_NESTED = re.compile(r"\(([^()]*[*+}][^()]*)\)[*+{]")
_BORDER = re.compile(r"\\\.(?![*?{])|[-_](?![*?{])")


class Target(Protocol):
    """An expression that was found to be right."""

    @property
    def kind(self) -> str:
        """glob, list or regex: the `target_type` of the job."""

    @property
    def text(self) -> str:
        """The expression as it was typed."""

    def match(self, ids: Iterable[MinionId]) -> list[MinionId]:
        """The targets, sorted, each once; never `master`, which is reserved for runner jobs."""


class _Pattern:
    """A target that is matched against each known id."""

    def __init__(self, kind: str, text: str, pattern: re.Pattern[str]) -> None:
        self.kind = kind
        self.text = text
        self._pattern = pattern

    def match(self, ids: Iterable[MinionId]) -> list[MinionId]:
        return sorted({id for id in ids if id != MASTER and self._pattern.match(id)})


class _Named:
    """A list: the ids it names are the targets, whether they are known or not; the unknown end `undelivered`."""

    kind = "list"

    def __init__(self, text: str, named: list[MinionId]) -> None:
        self.text = text
        self._named = named

    def match(self, ids: Iterable[MinionId]) -> list[MinionId]:
        return list(self._named)


def parse(kind: str, text: str) -> Target:
    """The target that `text` means.

    glob: `*`, `?`, `[a-c]`, `[!x]`, of the whole id, upper and lower case told apart (ids are lower case).
    list: ids between commas or blanks. regex: Python's, from the start of the id and not to its end, so that `web`
    picks `web1` and `web$` does not. Raises UsageError.
    """
    if kind not in _PARSERS:
        raise UsageError(
            f"cannot use the target type '{_short(kind)}': it is one of {', '.join(_PARSERS)}{nearest(kind, _PARSERS)}"
        )
    if not text.strip():
        raise UsageError("cannot use the target: it is empty")
    return _PARSERS[kind](text)


def _glob(text: str) -> Target:
    _check_length("glob", text)
    return _Pattern("glob", text, _compiled(fnmatch.translate(text)))


def _regex(text: str) -> Target:
    _check_length("regular expression", text)
    for body in _NESTED.findall(_CLASS.sub("c", text)):
        if not _BORDER.search(body):
            raise UsageError(f"cannot use the regular expression '{_short(text)}': ({_short(body)}) repeats twice over")
    try:
        return _Pattern("regex", text, _compiled(text))
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"cannot use the regular expression '{_short(text)}': {error}") from error


def _list(text: str) -> Target:
    words = text.replace(",", " ").split()
    if len(words) > LIST_LIMIT:
        raise UsageError(f"cannot use the list: it has {len(words)} ids, and {LIST_LIMIT} are allowed")
    if not words:
        raise UsageError("cannot use the list: it names nobody")
    return _Named(text, sorted({_named(word) for word in words}))


def _named(word: str) -> MinionId:
    try:
        id = MinionId(word)
    except ValueError as error:
        raise UsageError(f"cannot use the list: {error}") from error
    if id == MASTER:
        raise UsageError('cannot use the list: "master" is reserved for runner jobs')
    return id


def _compiled(text: str) -> re.Pattern[str]:
    # Python warns of what a later version may read differently, on stderr, where the operator does not look.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(text)


def _short(text: str) -> str:
    return escape(text if len(text) <= 100 else f"{text[:97]}...")


def _check_length(what: str, text: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise UsageError(f"cannot use the {what}: it has {len(text)} characters, and {TEXT_LIMIT} are allowed")


_PARSERS: dict[str, Callable[[str], Target]] = {"glob": _glob, "list": _list, "regex": _regex}
