"""What a minion can say about its host. Only the agent loads this; functions see the result."""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Mapping
from typing import Any

from common.ids import MinionId
from common.version import VERSION
from minion.addresses import addresses

_LOG = logging.getLogger("jr.facts")
_ADDRESSES = 64
"""Facts travel in one frame with each connection; a host of containers has thousands of addresses."""


def collect(minion: MinionId, custom: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of this host as plain data; `custom` are those of the settings, beside the ones found here.

    It reads files and asks no name server, so it takes milliseconds. A custom fact cannot take the place of a found
    one, since targets go by these.
    """
    found = {
        "id": str(minion), "host": socket.gethostname(), "os": _os(), "kernel": _kernel(), "arch": platform.machine(),
        "cpus": os.cpu_count() or 1, "memory": {"total": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")},
        "addresses": _addresses(), "python": platform.python_version(), "jr": VERSION,
    }
    for name in found.keys() & (custom or {}).keys():
        _LOG.warning("cannot set the fact %s from the settings: it is found on the host", name,
                     extra={"action": "facts.ignored", "minion": str(minion)})
    return {**(custom or {}), **found}


def _os() -> dict[str, str]:
    """From os-release(5); a host without one is named by its kernel."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {"ID": platform.system().lower()}
    fields = {"id": "ID", "name": "NAME", "version": "VERSION_ID", "codename": "VERSION_CODENAME", "family": "ID_LIKE"}
    return {name: release[field] for name, field in fields.items() if release.get(field)}


def _kernel() -> dict[str, str]:
    return {"name": platform.system(), "release": platform.release()}


def _addresses() -> list[str]:
    """IPv4 and IPv6 addresses of all interfaces but the loopback, without zones, each once."""
    found = dict.fromkeys(text for name, text in addresses() if name != "lo")
    return list(found)[:_ADDRESSES]
