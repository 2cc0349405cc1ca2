"""Plain data to packed bytes. Apart from `codec`, so that a supervisor can pack without the message types."""

from __future__ import annotations

from typing import Any

import msgpack


def pack(value: Any) -> bytes:
    """Plain data (None, bool, int, float, str, bytes, list, dict), packed. Raises TypeError that names another type."""
    try:
        packed: bytes = msgpack.packb(value, use_bin_type=True, strict_types=False)
        # What the other side could not open again must fail here, where its owner is told.
        msgpack.unpackb(packed, raw=False, strict_map_key=False, max_array_len=len(packed), max_map_len=len(packed))
    except (ValueError, RecursionError) as error:
        raise TypeError(f"cannot pack the value: {error}") from error
    except (TypeError, OverflowError) as error:
        raise TypeError(f"cannot pack {_culprit(value)}: only plain data can be sent") from error
    return packed


def _culprit(value: Any, path: str = "the value") -> str:
    """Where in `value` the first thing stands that is not plain data, with its type's name."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, (list, tuple, dict)):
                return f"a key of {path}, a {type(key).__name__}"
            if (found := _culprit(key, f"a key of {path}")) or (found := _culprit(item, f"{path}[{key!r}]")):
                return found
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            if found := _culprit(item, f"{path}[{number}]"):
                return found
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{path}, an integer of more than 64 bits"
    elif value is not None and not isinstance(value, (bool, int, float, str, bytes)):
        return f"{path}, a {type(value).__name__}"
    return ""
