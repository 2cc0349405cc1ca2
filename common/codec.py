"""Bytes to messages and back, with limits on everything that comes from outside. Dicts and raw text stop here."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from common.errors import JrError
from common.messages import Enrol, Enrolled, FromMaster, FromMinion, Message
from common.packing import pack as pack

FRAME_LIMIT = 1024 * 1024
"""Bytes in one frame of the bus."""
ENROL_LIMIT = 4 * 1024
RETURN_LIMIT = 512 * 1024
"""Bytes of a packed value; DESIGN fixes it so that a return with its output always fits one frame."""
ARGS_LIMIT = 128 * 1024
"""Bytes of packed arguments, for the same reason."""

M = TypeVar("M", bound=Message)


class CodecError(JrError):
    """What came in is not a message. It costs its sender the connection, and nobody else anything."""


def _build(kind: type, value: Any) -> Any:
    """msgspec's hook for the types it does not know: the ids, built by their own check."""
    return kind(value)


def _plain(value: Any) -> Any:
    """msgspec's hook for encoding the ids, which are text."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"cannot pack {type(value).__name__}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)


class Decoder(Generic[M]):
    """Decodes and checks one direction of one port."""

    def __init__(self, kinds: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(kinds, dec_hook=_build)

    def decode(self, frame: bytes | memoryview) -> M:
        """The message in `frame`. Raises CodecError, whatever is in it."""
        try:
            return self._decoder.decode(frame)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CodecError(f"cannot decode a message: {error}") from error


from_minion: Decoder[Any] = Decoder(FromMinion)
from_master: Decoder[Any] = Decoder(FromMaster)
enrol: Decoder[Enrol] = Decoder(Enrol)
enrolled: Decoder[Enrolled] = Decoder(Enrolled)
"""One for each direction of each port: a message in the wrong direction does not decode."""


def encode(message: Message) -> bytes:
    """The frame of a message. Raises CodecError when it is above the limit of a frame."""
    frame = _encoder.encode(message)
    if len(frame) > FRAME_LIMIT:
        kind = type(message).__name__
        raise CodecError(f"cannot send {kind}: {len(frame)} bytes, above the {FRAME_LIMIT} of a frame")
    return frame


def unpack(packed: bytes | memoryview | msgspec.Raw, limit: int = FRAME_LIMIT) -> Any:
    """The plain data in `packed`. Raises CodecError when it is malformed, too deep, or holds other types."""
    data = bytes(packed)
    if len(data) > limit:
        raise CodecError(f"cannot unpack {len(data)} bytes: the limit is {limit}")
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, max_str_len=limit, max_bin_len=limit,
                               max_array_len=limit, max_map_len=limit, max_ext_len=0,
                               ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise CodecError(f"cannot unpack a value: {str(error) or type(error).__name__}") from error


def _no_extension(code: int, data: bytes) -> Any:
    """msgpack's hook for its extension types, which are no plain data."""
    raise ValueError(f"extension type {code}")
