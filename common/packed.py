"""Structs as the journal of a minion and the store of a master keep those of a schedule: msgpack, names as text."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def packed(item: msgspec.Struct) -> bytes:
    """A struct as it is kept."""
    return msgspec.msgpack.encode(item, enc_hook=_plain)


def unpacked(body: bytes, kind: type[T]) -> T:
    """What was kept. Raises msgspec.MsgspecError, ValueError for what this version cannot read."""
    return msgspec.msgpack.decode(body, type=kind, dec_hook=_build)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"cannot pack {type(value).__name__}")


def _build(kind: type, value: Any) -> Any:
    return kind(value)
