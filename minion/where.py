"""Which master an agent connects to, and the one key that master must prove to have."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from common.errors import JrError, UsageError
from common.files import private_folder, read_regular, write_durable
from common.join import read_join
from common.keys import parse_key
from common.link import Key
from config.settings import MinionSettings
from minion.kept import LIMIT, read_kept


class Where(Struct, frozen=True, kw_only=True):
    """A master's place on the network, and its public key."""

    host: str
    port: int
    enrol_port: int
    key: Key
    next_key: Key | None = None
    """The key that the master is about to have, when the join string was made while it changed."""
    token: str | None = None
    """A join token, for the first claim."""

    @property
    def keys(self) -> list[Key]:
        """The keys by which the master is known, as far as it was told from outside."""
        return [self.key] if self.next_key is None else [self.key, self.next_key]


def where(settings: MinionSettings, state: Path) -> Where | None:
    """The master: from the join string, else from the single settings, else as it was the last time.

    What a join string said is kept in `state`, so that it has to be given once. None when no master was ever named.
    Raises UsageError for a join string that is none, or a master without its key.
    """
    path = private_folder(state / "pki") / "master.json"
    if settings.join:
        join = read_join(settings.join)
        found = Where(host=join.master, port=join.port, enrol_port=join.enrol_port, key=join.key,
                      next_key=join.next_key, token=join.token)
        _keep(path, found)
        return found
    if not settings.master:
        return _kept(path)
    if settings.master_key:
        key = parse_key(settings.master_key)
    else:
        kept = _kept(path)
        if kept is None:
            raise UsageError("cannot connect to the master: master_key is not set; `jr-key finger` on the master shows "
                             "it, or use the join string of `jr-key token`")
        key = kept.key
    return Where(host=settings.master, port=settings.port, enrol_port=settings.enrol_port, key=key)


def _keep(path: Path, found: Where) -> None:
    kept = msgspec.structs.replace(found, token=None)  # a token is good once, and a secret until then
    data = msgspec.json.encode(kept) + b"\n"
    try:
        with contextlib.suppress(FileNotFoundError, ValueError):
            if read_regular(path, LIMIT) == data:
                return  # a start on a full disk has nothing to write here
        write_durable(path, data)
    except OSError as error:
        raise JrError(f"cannot keep the master's address in {path}: {error.strerror}") from error


def _kept(path: Path) -> Where | None:
    found = read_kept(path, Where)
    if found is not None:
        parse_key(found.key)
    return found
