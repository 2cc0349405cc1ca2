"""A ZMTP client with CURVE, written by hand so that it can lie where libzmq's own client cannot.

The cryptography is the textbook one (RFC 7748, Salsa20, Poly1305), slow and not constant-time: for hostile tests alone.
"""

from __future__ import annotations

import os
import socket
import struct

from zmq.utils import z85

from common.keys import KeyPair
from common.link import Key

_PRIME = 2**255 - 19
_MASK = 0xFFFFFFFF
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def _x25519(scalar: bytes, point: bytes) -> bytes:
    k = (int.from_bytes(scalar, "little") & ~7 & (2**255 - 1)) | 2**254
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in range(254, -1, -1):
        swap = (k >> bit) & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = pow(da + cb, 2, _PRIME), x1 * pow(da - cb, 2, _PRIME) % _PRIME
        x2, z2 = aa * bb % _PRIME, e * (aa + 121665 * e) % _PRIME
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, _PRIME - 2, _PRIME) % _PRIME).to_bytes(32, "little")


def _quarter(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for target, one, two, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
        word = (x[one] + x[two]) & _MASK
        x[target] ^= ((word << turn) | (word >> (32 - turn))) & _MASK


def _salsa20(key: bytes, nonce: bytes) -> tuple[list[int], list[int]]:
    """The words before and after the 20 rounds."""
    k, n, s = struct.unpack("<8I", key), struct.unpack("<4I", nonce), _SIGMA
    start = [s[0], *k[:4], s[1], *n, s[2], *k[4:], s[3]]
    x = list(start)
    for _ in range(10):
        for four in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)):
            _quarter(x, *four)
        for four in ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            _quarter(x, *four)
    return start, x


def _hsalsa20(key: bytes, nonce: bytes) -> bytes:
    _, x = _salsa20(key, nonce)
    return struct.pack("<8I", x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9])


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    """XSalsa20."""
    subkey, out = _hsalsa20(key, nonce[:16]), bytearray()
    for block in range((length + 63) // 64):
        start, x = _salsa20(subkey, nonce[16:] + struct.pack("<Q", block))
        out += struct.pack("<16I", *((a + b) & _MASK for a, b in zip(start, x, strict=True)))
    return bytes(out[:length])


def _poly1305(key: bytes, text: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for place in range(0, len(text), 16):
        total = (total + int.from_bytes(text[place : place + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def _xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


class Box:
    """crypto_box of NaCl between a secret and a public key."""

    def __init__(self, secret: bytes, public: bytes) -> None:
        self._key = _hsalsa20(_x25519(secret, public), bytes(16))

    def seal(self, nonce: bytes, text: bytes) -> bytes:
        stream = _stream(self._key, nonce, 32 + len(text))
        hidden = _xor(text, stream[32:])
        return _poly1305(stream[:32], hidden) + hidden

    def open(self, nonce: bytes, sealed: bytes) -> bytes:
        tag, hidden = sealed[:16], sealed[16:]
        stream = _stream(self._key, nonce, 32 + len(hidden))
        if _poly1305(stream[:32], hidden) != tag:
            raise ValueError("forged")
        return _xor(hidden, stream[32:])


def _pair() -> tuple[bytes, bytes]:
    secret = os.urandom(32)
    return _x25519(secret, (9).to_bytes(32, "little")), secret


class RawClient:
    """A DEALER by hand. Blocking: run it in a thread while the hub's loop turns."""

    def __init__(self, port: int, server_key: Key, pair: KeyPair, properties: dict[str, bytes]) -> None:
        """Connect; `properties` goes into the metadata of the handshake as it is."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._server = z85.decode(server_key.encode())
        self._public, self._secret = z85.decode(pair.public.encode()), z85.decode(pair.secret.encode())
        self._short_public, self._short_secret = _pair()
        self._count = 0
        self._handshake({"Socket-Type": b"DEALER", **properties})

    def send(self, frame: bytes, more: bool = False) -> None:
        """One frame; with `more` it promises another one in the same message."""
        number = self._number()
        sealed = self._box.seal(b"CurveZMQMESSAGEC" + number, bytes([more]) + frame)
        self._write(0, b"\x07MESSAGE" + number + sealed)

    def receive(self) -> bytes:
        """The next frame of a message; commands of the protocol itself are passed over.

        Raises ConnectionError when the other side hangs up.
        """
        while True:
            body = self._command()
            if body.startswith(b"\x07MESSAGE"):
                inside = self._box.open(b"CurveZMQMESSAGES" + body[8:16], body[16:])
                if not inside[0] & 2:  # a command inside, such as a heartbeat, is none
                    return inside[1:]

    def ended(self) -> bool:
        """Wait for the other side to hang up. Raises TimeoutError when it does not."""
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self._socket.close()

    def _handshake(self, properties: dict[str, bytes]) -> None:
        self._socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32))
        self._read(64)
        number = self._number()
        hello = Box(self._short_secret, self._server).seal(b"CurveZMQHELLO---" + number, bytes(64))
        self._write(4, b"\x05HELLO\x01\x00" + bytes(72) + self._short_public + number + hello)
        welcome = self._command()[8:]
        inside = Box(self._short_secret, self._server).open(b"WELCOME-" + welcome[:16], welcome[16:])
        server_short, cookie = inside[:32], inside[32:]
        self._box = Box(self._short_secret, server_short)
        vouch_nonce = os.urandom(16)
        vouch = Box(self._secret, server_short).seal(b"VOUCH---" + vouch_nonce, self._short_public + self._server)
        metadata = b"".join(
            bytes([len(name)]) + name.encode() + struct.pack(">I", len(value)) + value
            for name, value in properties.items()
        )
        number = self._number()
        sealed = self._box.seal(b"CurveZMQINITIATE" + number, self._public + vouch_nonce + vouch + metadata)
        self._write(4, b"\x08INITIATE" + cookie + number + sealed)
        self.ready = self._command().startswith(b"\x05READY")

    def _number(self) -> bytes:
        self._count += 1
        return struct.pack(">Q", self._count)

    def _write(self, flags: int, body: bytes) -> None:
        size = bytes([len(body)]) if len(body) < 256 else struct.pack(">Q", len(body))
        self._socket.sendall(bytes([flags | (2 if len(body) > 255 else 0)]) + size + body)

    def _command(self) -> bytes:
        flags = self._read(1)[0]
        return self._read(struct.unpack(">Q", self._read(8))[0] if flags & 2 else self._read(1)[0])

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the hub hung up")
            data += part
        return data
