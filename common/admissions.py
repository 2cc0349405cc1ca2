"""Who was let through a handshake and has not spoken yet, and the mark by which the first frame proves it."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from common.link import Key


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake that was let through."""

    number: int
    """They count from one."""
    key: Key
    who: str
    """The owner's name of the key."""
    address: str
    at: float


class Admissions:
    """Hands out marks and takes each of them back once. Only this process can make one: it carries a secret."""

    def __init__(self) -> None:
        self.count = 0
        """How many there have ever been."""
        self._secret = secrets.token_hex(16)
        self._unused: dict[int, Admission] = {}

    def give(self, key: Key, who: str, address: str, now: float) -> str:
        """The mark for a handshake: text that goes into the User-Id of every frame of its connection."""
        self.count += 1
        self._unused[self.count] = Admission(self.count, key, who, address, now)
        return f"{who} {self._secret} {self.count}"

    def number(self, mark: str) -> int | None:
        """The number of the admission that a mark names, or None when no mark of ours looks like that."""
        parts = mark.split(" ")
        if len(parts) != 3 or not hmac.compare_digest(parts[1].encode(), self._secret.encode()):
            return None
        return int(parts[2]) if parts[2].isdecimal() else None

    def take(self, number: int) -> Admission | None:
        """Use up an admission; None when it was used before, revoked, or is too old."""
        return self._unused.pop(number, None)

    def revoke(self, key: Key) -> int:
        """Take back all unused admissions of a key; the number of the newest of them, 0 when there was none."""
        numbers = [number for number, admission in self._unused.items() if admission.key == key]
        for number in numbers:
            del self._unused[number]
        return numbers[-1] if numbers else 0

    def expire(self, before: float) -> None:
        """Forget the unused ones that were given earlier than `before`."""
        for number in [number for number, admission in self._unused.items() if admission.at < before]:
            del self._unused[number]

    def __len__(self) -> int:
        return len(self._unused)
