"""The secrets of a job on its way into its payload: opened by the supervisor at the last moment, known to no record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

LIMIT = 2 * 1024 * 1024
"""Bytes of a job's packed secrets: 128 KiB of arguments, and the forms in which they may occur in a text."""
_HIDDEN = "***"


class Opened(NamedTuple):
    """A call with its secrets in their places."""

    args: list[Any]
    kwargs: dict[str, Any]
    texts: list[str]
    """What must not stand in texts that jr writes about the call, the longest first."""


def unseal(args: Sequence[Any], kwargs: dict[str, Any], sealed: bytes) -> Opened:
    """Put the secrets that `common.secrets.seal` took out back in. Raises ValueError when they are damaged."""
    if not sealed:
        return Opened(list(args), kwargs, [])
    try:
        kept = msgpack.unpackb(sealed, raw=False, strict_map_key=False)
        full = [kept["args"].get(place, value) for place, value in enumerate(args)]
        return Opened(full, {**kwargs, **kept["kwargs"]}, list(kept["texts"]))
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.exceptions.UnpackException):
        raise ValueError("its secrets are damaged") from None  # the reason might quote them


def redact(text: str, texts: Sequence[str]) -> str:
    """`text` without the secrets in it."""
    for secret in texts:
        text = text.replace(secret, _HIDDEN)
    return text
