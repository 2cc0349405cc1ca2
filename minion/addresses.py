"""The addresses of this host, read from the kernel: nothing here loads a library that an idle agent would keep."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_SIOCGIFCONF = 0x8912
_REQUEST = struct.Struct("iP")
_ENTRY = 40
"""Bytes of a struct ifreq on 64 bits: the name in 16, then a struct sockaddr_in, whose address begins at its byte 4."""
_ROOM = 2_500
"""IPv4 addresses for which there is room."""
_IPV6 = Path("/proc/net/if_inet6")


def addresses() -> Iterator[tuple[str, str]]:
    """Each interface with each of its IPv4 and IPv6 addresses, by name. Raises OSError."""
    found = [*_ipv4(), *_ipv6()] if sys.platform == "linux" and struct.calcsize("P") == 8 else _elsewhere()
    return iter(sorted(found, key=lambda pair: pair[0]))


def _ipv4() -> Iterator[tuple[str, str]]:
    """See netdevice(7)."""
    room = array.array("B", bytes(_ROOM * _ENTRY))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = _REQUEST.pack(len(room), room.buffer_info()[0])
        filled, _ = _REQUEST.unpack(fcntl.ioctl(any_socket, _SIOCGIFCONF, request))
    data = room.tobytes()
    for start in range(0, filled, _ENTRY):
        name = data[start:start + 16].partition(b"\0")[0].decode("utf-8", "replace")
        # An alias has the name of its interface, a colon and its own.
        yield name.partition(":")[0], socket.inet_ntoa(data[start + 20:start + 24])


def _ipv6() -> Iterator[tuple[str, str]]:
    """One line for each: 32 hex digits, four numbers, the name. There is no file where IPv6 is switched off."""
    try:
        lines = _IPV6.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        digits, *_, name = line.split()
        yield name, socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


def _elsewhere() -> list[tuple[str, str]]:
    import psutil  # only who is not on Linux pays for it, 1 MiB

    return [(name, address.address.partition("%")[0]) for name, all_of_one in psutil.net_if_addrs().items()
            for address in all_of_one if address.family in (socket.AF_INET, socket.AF_INET6)]
