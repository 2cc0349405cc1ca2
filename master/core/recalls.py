"""Words about jobs that are not open: they wait for the store to say what it knows, and few of them may."""

from __future__ import annotations

from collections import Counter

from msgspec import UNSET

from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import Return
from master.core.track import Word

MOST = 1000
"""Words that may wait; more are dropped, and their minions say them again."""
MOST_OF_MINION = 500
"""Of those, how many may be one minion's: more than it has under way at once, and never all there are."""
BYTES = 32 * 1024 * 1024
"""What they may weigh together, beside what waits for the disk (`common.sequencer.BYTES`)."""
BYTES_OF_MINION = BYTES // 2
"""Of those, how many may be one minion's."""

Waiting = tuple[Connection, MinionId, Word]


class Recalls:
    """The words that wait, by job."""

    def __init__(self) -> None:
        self._words: dict[Jid, list[Waiting]] = {}
        self._counts: Counter[MinionId] = Counter()
        self._bytes: Counter[MinionId] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, connection: Connection, minion: MinionId, word: Word) -> bool:
        """Keep a word if there is room; whether it is the first one about its job, which is to be read then."""
        size = _size(word)
        if self._counts.total() >= MOST or self._counts[minion] >= MOST_OF_MINION:
            return False
        if self._bytes.total() + size > BYTES or self._bytes[minion] + size > BYTES_OF_MINION:
            return False
        self._counts[minion] += 1
        self._bytes[minion] += size
        words = self._words.setdefault(word.jid, [])
        words.append((connection, minion, word))
        return len(words) == 1

    def take(self, jid: Jid) -> list[Waiting]:
        """The words that waited for a job; they wait no more."""
        words = self._words.pop(jid, [])
        for _, minion, word in words:
            self._counts[minion] -= 1
            self._bytes[minion] -= _size(word)
            if not self._counts[minion]:
                del self._counts[minion], self._bytes[minion]
        return words


def _size(word: Word) -> int:
    if not isinstance(word, Return):
        return 0
    value = 0 if word.value is UNSET else len(bytes(word.value))
    return value + len(word.stdout) + len(word.stderr)
