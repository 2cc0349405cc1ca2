"""The words of minions about jobs: for those that are open at once, for others when the store has said what it knows.
Pure."""

from __future__ import annotations

from collections.abc import Callable

from common.ids import Jid, MinionId
from common.link import Connection
from common.messages import Accepted, Ack, Return
from master.core import effects as do
from master.core.ledger import Ledger, OpenJob
from master.core.recalls import Recalls
from master.core.track import NOT_A_TARGET, Tracker, Word
from master.records import Job, Pair


class Words:
    """Finds the job that a word is about."""

    def __init__(self, ledger: Ledger, track: Tracker, unminted: Callable[[float], Jid]) -> None:
        """`unminted` tells the jid that this master would mint now."""
        self._ledger = ledger
        self._track = track
        self._unminted = unminted
        self._recalls = Recalls()

    @property
    def waiting(self) -> int:
        """How many words wait for a job to be read from the store."""
        return len(self._recalls)

    def heard(self, connection: Connection, minion: MinionId, word: Word, now: float) -> list[do.Effect]:
        """A minion speaks of a job."""
        opened = self._ledger.jobs.get(word.jid)
        if opened is not None:
            return self._tracked(opened, connection, minion, word, now)
        return [do.Recall(word.jid)] if self._recalls.add(connection, minion, word) else []

    def _tracked(self, opened: OpenJob, connection: Connection, minion: MinionId, word: Word,
                 now: float) -> list[do.Effect]:
        # A job that a restore has lost is known again from the first minion that spoke of it; the others follow.
        lost = opened.job.target_type == "minion" and not word.jid.suffix
        if minion not in opened.pairs and lost and isinstance(word, (Accepted, Return)):
            self._ledger.join(opened, minion)
        if minion in opened.pairs:
            return self._track.word(opened, minion, connection, word, now)
        effects: list[do.Effect] = [] if lost else [do.Alarm(minion, word.jid, NOT_A_TARGET)]
        if isinstance(word, Return):
            effects.append(do.Send(connection, Ack(jid=word.jid, refused=NOT_A_TARGET)))
        return effects

    def recalled(self, jid: Jid, job: Job | None, pairs: list[Pair], now: float) -> list[do.Effect]:
        """What the store knows of a job that is not open, for the words that wait for it."""
        effects: list[do.Effect] = []
        opened = self._ledger.jobs.get(jid)
        if opened is None and job is not None:
            opened = OpenJob(job=job, pairs={pair.minion: pair for pair in pairs}, open=set())
        for connection, minion, word in self._recalls.take(jid):
            if opened is not None:
                effects += self._tracked(opened, connection, minion, word, now)
            else:
                # The first of several words may end the job: those behind it still speak of the same one.
                opened, more = self._track.adopt(jid, minion, connection, word, now, self._unminted(now))
                effects += more
        return effects

    def forget(self, jid: Jid) -> None:
        """The store could not say; whoever waits speaks again."""
        self._recalls.take(jid)
