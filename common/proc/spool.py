"""The spool file of a return: a magic line, a checksum, and the very frame that goes over the bus.

A supervisor writes it without the message types, by hand-made maps; `tests/process` reads each one back through them.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgpack

from common.errors import JrError
from common.files import sync_folder, write_durable

MAGIC = b"jr1\n"
_HEAD = len(MAGIC) + 4
LIMIT = 1024 * 1024 + _HEAD
"""Bytes of a spool file: one frame of the bus, and what stands before it."""


class SpoolError(JrError):
    """A spool file does not hold what was written into it."""


class Packed(bytes):
    """Bytes that are packed already: they go into a map as they are."""


def pack_map(fields: dict[str, Any]) -> Packed:
    """A packed map of plain values, of further maps, and of what is packed already."""
    packer = msgpack.Packer(use_bin_type=True)
    parts = [packer.pack_map_header(len(fields))]
    for key, value in fields.items():
        parts.append(packer.pack(key))
        if isinstance(value, Packed):
            parts.append(value)
        elif isinstance(value, dict):
            parts.append(pack_map(value))
        else:
            parts.append(packer.pack(value))
    return Packed(b"".join(parts))


def seal(frame: bytes) -> bytes:
    """The bytes of a spool file for a frame."""
    return MAGIC + zlib.crc32(frame).to_bytes(4, "big") + frame


def unseal(data: bytes) -> bytes:
    """The frame in the bytes of a spool file. Raises SpoolError when a single bit of it has changed."""
    if data[:len(MAGIC)] != MAGIC:
        raise SpoolError("cannot read a spool file: it does not begin as one")
    frame = data[_HEAD:]
    if zlib.crc32(frame).to_bytes(4, "big") != data[len(MAGIC):_HEAD]:
        raise SpoolError("cannot read a spool file: its checksum does not fit")
    return frame


def put(path: Path, frame: bytes) -> bool:
    """Make a return durable; one that is there already stays, and the answer is False. Raises OSError.

    Only the holder of the job's lock, or the agent for a job without a supervisor, may call it.
    """
    if path.exists():
        sync_folder(path.parent)  # its writer may have failed at just that
        return False
    write_durable(path, seal(frame))
    return True
