"""Paths of unix sockets, also those that are longer than the 107 bytes that fit into an address."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_ADDRESS_BYTES = 107


@contextlib.contextmanager
def address(path: str) -> Iterator[str]:
    """What to `connect` or `bind` to, good inside the `with`: the path, or a way to it through an open descriptor.

    Raises OSError when the folder is not there or may not be entered.
    """
    if len(os.fsencode(path)) <= _ADDRESS_BYTES:
        yield path
        return
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
