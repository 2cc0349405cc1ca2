"""Which keys an operator means: a minion id, a fingerprint, or the beginning of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from common.errors import NotFoundError, UsageError
from common.ids import MinionId
from common.link import Key
from master.records import Minion

_FINGERPRINT = re.compile(r"[0-9a-f]{2}:[0-9a-f:]*|[0-9a-f]{64}")
"""With a colon, as `jr-key finger` shows it, or whole: no minion id looks like either."""


def chosen(rows: Sequence[Minion], names: Sequence[str], fingerprint: Callable[[Key], str]) -> list[Key]:
    """The one key that each name means.

    Raises NotFoundError for a name that means none, UsageError for one that means several: they are named.
    """
    return [_one(rows, name, fingerprint) for name in names]


def _one(rows: Sequence[Minion], name: str, fingerprint: Callable[[Key], str]) -> Key:
    text = name.lower()
    if _FINGERPRINT.fullmatch(text):
        start = text.replace(":", "")
        found = [row for row in rows if fingerprint(row.key).replace(":", "").startswith(start)]
    else:
        minion = _id(name)
        # The next key of an id follows the one that is accepted.
        found = [row for row in rows if row.id == minion and row.state != "next"]
    if not found:
        raise NotFoundError(f"cannot find a key of {name}: jr-key list shows all")
    if len(found) > 1:
        raise UsageError(f"cannot tell which key {name} means, name it by its fingerprint: " + ", ".join(
            f"{fingerprint(row.key)} ({row.id}, {row.state})" for row in found))
    return found[0].key


def _id(name: str) -> MinionId:
    try:
        return MinionId(name)
    except ValueError as error:
        raise UsageError(f"cannot use {name!r}: it is no minion id, and no fingerprint as jr-key finger shows it"
                         ) from error
