"""Frames of the control sockets: 4 bytes of big-endian length, then a msgpack map. Bytes and limits, no sockets.

Kept apart from the bus's codec, because a command must start without loading it.
"""

from __future__ import annotations

from typing import Any

import msgpack

from common.errors import JrError

VERSION = 1
HEADER = 4
"""Bytes of the length that opens a frame."""
REQUEST_LIMIT = 1024 * 1024
"""Bytes of a frame that a client may send."""
ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes of a frame that a server may send."""
_ITEMS_LIMIT = 100_000
"""Entries of one list or map, as on the bus: msgpack reserves room for what a header claims, nested ones included."""


class FrameError(JrError):
    """What came in, or was to go out, is no frame of this socket. It costs the connection it came from."""


def pack(body: dict[str, Any], limit: int) -> bytes:
    """The frame of `body`. Raises FrameError when it is longer than `limit` or holds what is not plain data."""
    try:
        packed: bytes = msgpack.packb(body, use_bin_type=True)
    except UnicodeEncodeError as error:
        raise FrameError(f"cannot send {error.object!a}: it is not valid UTF-8") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FrameError(f"cannot send a message: {error}") from error
    if len(packed) > limit:
        raise FrameError(f"cannot send {len(packed)} bytes at once: the limit is {limit}")
    return len(packed).to_bytes(HEADER, "big") + packed


def length(header: bytes | bytearray, limit: int) -> int:
    """How many bytes follow this header. Raises FrameError when that is more than `limit`."""
    size = int.from_bytes(header[:HEADER], "big")
    if size > limit:
        raise FrameError(f"cannot read a message of {size} bytes: the limit is {limit}")
    return size


def unpack(packed: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The map in the body of a frame. Raises FrameError, whatever is in it."""
    size = len(packed)
    try:
        body = msgpack.unpackb(packed, raw=False, strict_map_key=False, max_str_len=size, max_bin_len=size,
                               max_array_len=_ITEMS_LIMIT, max_map_len=_ITEMS_LIMIT, max_ext_len=0,
                               ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise FrameError(f"cannot read a message: {error or type(error).__name__}") from error
    if not isinstance(body, dict):
        raise FrameError(f"cannot read a message: it is a {type(body).__name__}, not a map")
    return body


def _no_extension(code: int, data: bytes) -> Any:
    """A limit of 0 lets extensions of no bytes through: they are no plain data either."""
    raise ValueError(f"extension type {code}")
