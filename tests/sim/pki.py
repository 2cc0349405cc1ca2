"""Public keys of a simulated fleet, and what its hosts keep of them. Whoever shows a key has its secret half."""

from __future__ import annotations

import hashlib

from common.link import Key


def made(owner: str, number: int) -> Key:
    """The key that somebody makes for the so-manieth time. Hexadecimal digits are Z85 digits too."""
    return Key(hashlib.sha256(f"{owner} {number}".encode()).hexdigest()[:40])


class Pki:
    """The keys on one disk: see `minion.pki` and `master.bus.MasterPki`."""

    def __init__(self, owner: str, masters: list[Key]) -> None:
        self._owner = owner
        self._made = 0
        self.own = made(owner, 0)
        self.spare: Key | None = None
        self.masters = masters
        self.retired: set[Key] = set()
        """Those that were its own."""

    def make_spare(self) -> Key:
        """The next key, the same one until it is taken up."""
        if self.spare is None:
            self._made += 1
            self.spare = made(self._owner, self._made)
        return self.spare

    def take_up(self) -> None:
        """The next key replaces the old one."""
        if self.spare is not None:
            self.retired.add(self.own)
            self.own, self.spare = self.spare, None

    def keep_masters(self, keys: list[Key]) -> None:
        """The keys by which a master is known."""
        self.masters = list(keys)
