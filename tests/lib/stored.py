"""Records to put into a store, with only what a test cares about said."""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import pack
from common.ids import Jid, MinionId, mint
from common.messages import Evidence, JobFields
from common.states import State
from master.records import AddJob, Change, Job, MovePair, Outcome, Pair, SetDone

NOON = 1_780_000_000.0
"""Where the time of these tests begins: 2026-05-28T20:26:40Z."""


def jid(number: int, minion: str | None = None) -> Jid:
    """The jid minted `number` seconds after NOON, by the master or by a minion."""
    return mint(NOON + number, None, None if minion is None else MinionId(minion))


def job(number: int, function: str = "test.ping", user: str = "root", target: str = "*", schedule: str | None = None,
        minion: str | None = None, metadata: dict[str, str] | None = None, done: float | None = None) -> Job:
    """The job with `jid(number)`."""
    return Job(jid=jid(number, minion), fields=JobFields(function=function, user=user, schedule=schedule),
               target=target, target_type="glob", published=NOON + number, start_by=NOON + number + 300,
               metadata=metadata or {}, done=done)


def pair(name: Jid, minion: str, state: State = State.SENT, outcome: Outcome | None = None) -> Pair:
    return Pair(jid=name, minion=MinionId(minion), state=state, outcome=outcome)


def word(text: str = "pong") -> Outcome:
    """A return of one word, as a supervisor reports it."""
    return Outcome(retcode=0, value=pack(text), started=NOON + 0.25, ended=NOON + 0.5, duration=0.25, pid=4711,
                   evidence=Evidence(exit_code=0, containment="subreaper"))


def returned(name: Jid, minion: str, state: State = State.SUCCEEDED, outcome: Outcome | None = None) -> Pair:
    """A closed pair with its return."""
    outcome = word() if outcome is None else outcome
    return Pair(jid=name, minion=MinionId(minion), state=state, pid=outcome.pid, started=outcome.started,
                outcome=outcome)


def published(one: Job, minions: Sequence[str] = ("a",), state: State = State.SENT, minted: bool = True) -> AddJob:
    """The job with an open pair for each minion."""
    return AddJob(one, [pair(one.jid, minion, state) for minion in minions], minted)


def over(one: Job, minions: Sequence[str] = ("a",), state: State = State.SUCCEEDED,
         outcome: Outcome | None = None) -> list[Change]:
    """The whole life of a job that ended in `state` on every minion."""
    moves: list[Change] = [MovePair(returned(one.jid, minion, state, outcome)) for minion in minions]
    return [published(one, minions), *moves, SetDone(one.jid, one.published + 1, {state: len(minions)})]
