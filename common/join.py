"""The join string: all that a new minion needs to find its master, know it, and be accepted at once."""

from __future__ import annotations

import base64
import binascii
import json

from msgspec import Struct

from common.errors import UsageError
from common.keys import parse_key
from common.link import Key

_PREFIX = "jr1."


class Join(Struct, frozen=True, kw_only=True):
    """What the string holds. The token is a secret until it was used or has expired."""

    master: str
    """Host name or address."""
    port: int
    enrol_port: int
    key: Key
    """The master's public key: a minion trusts this one and no other."""
    token: str
    next_key: Key | None = None
    """The key that the master is about to have."""


def write_join(join: Join) -> str:
    """One word that survives a terminal, a shell and a settings file."""
    fields: list[str | int] = [join.master, join.port, join.enrol_port, join.key, join.token]
    if join.next_key is not None:
        fields.append(join.next_key)
    return _PREFIX + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def read_join(text: str) -> Join:
    """What `jr-key token` put into the string. Raises UsageError when it is none."""
    wrong = UsageError("cannot use the join string: it is not what `jr-key token` printed, or part of it is missing")
    if not text.startswith(_PREFIX):
        raise wrong
    body = text.removeprefix(_PREFIX).strip()
    try:
        fields = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error) as error:
        raise wrong from error
    match fields:
        case [str(master), int(port), int(enrol_port), str(key), str(token), *more] \
                if 0 < port < 65536 > enrol_port > 0 and len(more) <= 1 and all(isinstance(text, str) for text in more):
            next_key = parse_key(more[0]) if more else None
            return Join(master=master, port=port, enrol_port=enrol_port, key=parse_key(key), token=token,
                        next_key=next_key)
    raise wrong
