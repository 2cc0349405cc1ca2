"""Where in its splay a host runs an entry: spread over the fleet, and the same each time. Pure."""

from __future__ import annotations

from random import Random


def offset(who: str, schedule: str, splay: float) -> float:
    """Seconds, in whole milliseconds, from 0 to `splay`: stable for this host and entry, even over the fleet."""
    if splay <= 0:
        return 0.0
    # Seeded with text it goes by SHA-512, the same in every process and version; OpenSSL's hashes cost a megabyte.
    return round(Random(f"{who}\0{schedule}").random() * splay, 3)
