"""CURVE key pairs: made, kept in a `pki` folder, read with suspicion. No socket lives here."""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from common.errors import JrError, UsageError
from common.files import private_folder, read_regular, write_durable
from common.link import KEY_TEXT, Key

_MAGIC = "jr-curve-key 1"
_FILE_LIMIT = 1024
"""Bytes; a key file has about 120."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair. The secret half stays out of `repr`, and so out of logs and tracebacks."""

    public: Key
    secret: str = field(repr=False)


def generate() -> KeyPair:
    """A fresh pair, from the system's own source of chance."""
    public, secret = zmq.curve_keypair()
    return KeyPair(Key(public.decode("ascii")), secret.decode("ascii"))


def parse_key(text: str) -> Key:
    """The public key in `text`. Raises UsageError when it is none."""
    _raw(text)
    return Key(text)


def key_from_raw(raw: bytes) -> Key:
    """The text of a key of 32 bytes, as the handshake gives it. Raises ValueError for another length."""
    if len(raw) != 32:
        raise ValueError(f"a key has 32 bytes, not {len(raw)}")
    return Key(z85.encode(raw).decode("ascii"))


def fingerprint(key: Key) -> str:
    """SHA-256 of the raw 32 bytes, in hex with a colon between bytes: what two people compare by telephone."""
    # An agent shows no fingerprints, and is spared OpenSSL.
    from hashlib import sha256

    return sha256(_raw(key)).digest().hex(":")


def save(pair: KeyPair, folder: Path, name: str) -> Path:
    """Keep the pair durably in `folder`/`name`.key, readable by this user alone; returns the path.

    Both halves share one file, so that no crash can part them. Raises JrError.
    """
    path = private_folder(folder) / f"{name}.key"
    try:
        write_durable(path, f"{_MAGIC}\npublic {pair.public}\nsecret {pair.secret}\n".encode("ascii"))
    except OSError as error:
        raise JrError(f"cannot save {path}: {error.strerror}") from error
    return path


def load(folder: Path, name: str) -> KeyPair | None:
    """The pair that `save` kept, or None when there is none.

    Raises UsageError when the file is damaged, belongs to somebody else or can be read by others.
    """
    path = folder / f"{name}.key"
    try:
        _check_private(path)
        text = read_regular(path, _FILE_LIMIT).decode("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JrError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"cannot use {path}: it is not a key file of jr") from error
    return _parse(text, path)


def ensure(folder: Path, name: str) -> KeyPair:
    """The pair in `folder`, made and kept there when it is the first time. Raises JrError, UsageError."""
    found = load(folder, name)
    if found is not None:
        return found
    made = generate()
    save(made, folder, name)
    return made


def _parse(text: str, path: Path) -> KeyPair:
    """The pair in the text of a key file; its halves must belong together."""
    lines = text.splitlines()
    if len(lines) != 3 or lines[0] != _MAGIC or lines[1][:7] != "public " or lines[2][:7] != "secret ":
        raise UsageError(f"cannot use {path}: it is not a key file of jr")
    pair = KeyPair(Key(lines[1][7:]), lines[2][7:])
    try:
        _raw(pair.secret)
        derived = zmq.curve_public(pair.secret.encode("ascii")).decode("ascii")
    except (UsageError, zmq.ZMQError) as error:
        raise UsageError(f"cannot use {path}: its secret key is damaged") from error
    if derived != pair.public:
        raise UsageError(f"cannot use {path}: its public and secret keys do not belong together")
    return pair


def _check_private(path: Path) -> None:
    """Raises UsageError unless the file is ours alone, OSError when it cannot be looked at."""
    status = os.lstat(path)
    if status.st_uid != os.geteuid():
        raise UsageError(f"cannot use {path}: it belongs to uid {status.st_uid}")
    if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError(f"cannot use {path}: others can read it; set its mode to 0600")


def _raw(text: str) -> bytes:
    """The 32 bytes of a key. Raises UsageError that does not repeat the text: it may be a secret in the wrong place."""
    problem = "cannot use this key: a key is 40 characters of Z85, as `jr-key finger` prints it"
    if not KEY_TEXT.fullmatch(text):
        raise UsageError(problem)
    try:
        return bytes(z85.decode(text.encode("ascii")))
    except (struct.error, ValueError) as error:  # five characters that stand for more than 2**32
        raise UsageError(problem) from error
