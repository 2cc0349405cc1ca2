"""Which of its keys a minion shows, and by which it knows its master, while either is being replaced. Pure.

A handshake proves the master's key first: whoever is refused has spoken to the master, and it is this minion's key that
is not known. So both are looked for apart from each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.link import Key


class Keychain:
    """Public halves alone; the secrets are the shell's."""

    def __init__(self, current: Key, spare: Key | None, masters: Sequence[Key]) -> None:
        """`spare` is the pair that was made to be the next one; `masters` has the present key and perhaps the next."""
        self.current = current
        self.spare = spare
        self.masters = list(masters)
        self._at_spare = spare is not None
        self._at_master = 0
        self._failures = 0

    @property
    def own(self) -> Key:
        """The key to show."""
        return self.spare if self._at_spare and self.spare is not None else self.current

    @property
    def master(self) -> Key:
        """The key that the master must prove to have."""
        return self.masters[self._at_master]

    def begin(self) -> None:
        """Look anew: the next key first, since the master may know it by now, and drop the old one any time."""
        self._at_spare = self.spare is not None
        self._failures = 0

    def refused(self) -> bool:
        """The master does not know the key that was shown; True when there is another one to try at once."""
        if not self._at_spare:
            return False
        self._at_spare = False
        return True

    def failed(self) -> bool:
        """Nobody answered who has the master's key; True when it is worth trying its other one at once."""
        self._at_master = (self._at_master + 1) % len(self.masters)
        self._failures += 1
        return self._failures % len(self.masters) != 0

    def take_up(self) -> bool:
        """The master welcomed the key that was shown; True when it is the next one, which is the only one now."""
        self._failures = 0
        if not self._at_spare or self.spare is None:
            return False
        self.current, self.spare, self._at_spare = self.spare, None, False
        return True

    def settle(self) -> bool:
        """The master proved the key it was asked for; True when it is the next one, and the old one is void now."""
        if self._at_master == 0:
            return False
        self.masters, self._at_master = [self.master], 0
        return True

    def announce(self, key: Key) -> None:
        """The master will have this key; the present one counts until then."""
        self.masters = list(dict.fromkeys([self.master, key]))
        self._at_master = 0
