"""Where in its splay a host runs an entry: spread over the fleet, and the same each time. Pure."""

from __future__ import annotations

from hashlib import sha256

_BYTES = 8


def offset(who: str, schedule: str, splay: float) -> float:
    """Seconds, in whole milliseconds, from 0 to `splay`: stable for this host and entry, even over the fleet."""
    if splay <= 0:
        return 0.0
    digest = sha256(f"{who}\0{schedule}".encode()).digest()
    share: float = int.from_bytes(digest[:_BYTES], "big") / 256**_BYTES
    return round(share * splay, 3)
