"""A minion's `pki` folder: its own key pair, the next one, and the keys by which it knows its master.

`minion.key` is the pair in use. `minion.next.key` is to replace it: kept before the master hears of it, renamed over
the other at its first use. `master.json` is what the join string said, `masters.json` the master's keys as its own
announcements changed them since.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from common.errors import JrError
from common.files import private_folder, sync_folder, write_durable
from common.keys import KeyPair, ensure, load, parse_key
from common.link import Key
from minion.kept import read_kept

OWN, NEXT = "minion", "minion.next"


class _Masters(Struct, frozen=True, kw_only=True):
    root: Key
    """The key that was given. The rest counts only as long as the same one is given: another begins anew."""
    keys: list[Key]


class Pki:
    """The folder of one minion. Its methods block: for the disk thread, but for the reading at the start."""

    def __init__(self, state: Path) -> None:
        """Makes the key pair when it is the first time. Raises JrError, UsageError."""
        self._folder = private_folder(state / "pki")
        self.own = ensure(self._folder, OWN)
        self.spare = load(self._folder, NEXT)

    def pair(self, public: Key) -> KeyPair:
        """The pair with this public half."""
        return self.spare if self.spare is not None and self.spare.public == public else self.own

    def make_spare(self) -> Key:
        """The public half of the next pair, durable. Raises JrError."""
        if self.spare is None:
            self.spare = ensure(self._folder, NEXT)
        return self.spare.public

    def take_up(self) -> None:
        """The next pair replaces the old one, in one step: a crash leaves one of them. Raises OSError."""
        if self.spare is not None:
            self.own, self.spare = self.spare, None
            os.rename(self._folder / f"{NEXT}.key", self._folder / f"{OWN}.key")
            sync_folder(self._folder)

    def masters(self, given: list[Key]) -> list[Key]:
        """The keys by which the master is known, when `given` are what settings or join string say.

        Raises UsageError when what was kept is damaged.
        """
        kept = read_kept(self._folder / "masters.json", _Masters)
        if kept is None or kept.root != given[0] or not kept.keys:
            return given
        return [parse_key(key) for key in kept.keys]

    def keep_masters(self, root: Key, keys: list[Key]) -> None:
        """Keep them durably. Raises JrError."""
        path = self._folder / "masters.json"
        try:
            write_durable(path, msgspec.json.encode(_Masters(root=root, keys=keys)) + b"\n")
        except OSError as error:
            raise JrError(f"cannot keep the master's keys in {path}: {error.strerror}") from error
