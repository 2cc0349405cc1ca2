"""What a core wants done, as one short line each: a test then reads like the transcript of a talk.

Jids are told by the seconds after NOON at which they were minted, with `@` when a minion minted them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET

from common import messages as m
from common.host import effects as host
from common.ids import Jid
from common.states import State
from master import records as r
from master.core import effects as master
from minion.core import effects as agent
from tests.lib.stored import NOON

_WORDS: dict[type, str] = {
    host.Claim: "claim", host.Forget: "forget", host.Undo: "undo", host.DropClaim: "drop claim", host.Start: "start",
    host.Wake: "wake"}
_START = datetime.fromtimestamp(NOON, UTC)


def told(effects: Iterable[Any]) -> list[str]:
    """The lines of these effects, in order. Who waits for an end on the host itself has tests of its own."""
    return [_effect(effect) for effect in effects if not isinstance(effect, host.Ended)]


def number(jid: Jid) -> str:
    """`7` for `jid(7)`, `7+1us` for the next one of that second, `7@` when it was minted on a minion."""
    seconds, rest = divmod((jid.minted - _START).total_seconds(), 1)
    return f"{int(seconds)}{f'+{round(rest * 1e6)}us' if rest else ''}{'@' if jid.suffix else ''}"


def _effect(effect: Any) -> str:
    match effect:
        case host.Send(message):
            return f"say {_message(message)}"
        case agent.SendLine(message):
            return f"line: {_message(message)}"
        case agent.CloseLine(reason):
            return f"close line: {reason}"
        case agent.CatchUp(starts):
            return f"catch up to {starts}"
        case agent.Complain(reason):
            return f"complain: {reason}"
        case agent.OpenLine():
            return "open line"
        case agent.OpenEnrol():
            return "open enrolment"
        case agent.MakeKey():
            return "make key"
        case agent.TakeUpKey():
            return "take up key"
        case agent.KeepMasters(keys):
            return f"keep masters {' '.join(keys)}"
        case master.Send(connection, message):
            return f"to {connection}: {_message(message)}"
        case master.Save(change):
            return f"save {_change(change)}"
        case master.Emit(event):
            return f"event {_event(event)}"
        case master.Drop(connection, reason):
            return f"cut {connection}: {reason}"
        case master.DropKey(key):
            return f"cut key {key}"
        case master.Alarm(minion, jid, reason):
            return f"alarm {minion}{'' if jid is None else f' {number(jid)}'}: {reason}"
        case master.Wipe():
            return "wipe"
        case master.Recall(jid):
            return f"recall {number(jid)}"
    return _host(effect)


def _host(effect: host.Effect) -> str:
    match effect:
        case host.SaveSecrets(jid):
            return f"secrets {number(jid)}"
        case host.SaveRecord(record):
            return f"record {number(record.jid)} {record.state}"
        case host.SaveStop(jid, request):
            return f"save stop {request.stop} of {number(jid)}"
        case host.Spool(message):
            return f"spool {number(message.jid)} {message.state}"
        case host.Quarantine(jid, reason):
            return f"quarantine {number(jid)}: {reason}"
        case host.SendSpooled(jid):
            return f"say return {number(jid)}"
        case host.Call(record):
            return f"call {number(record.jid)}"
        case (host.Claim(jid) | host.Forget(jid) | host.Undo(jid) | host.DropClaim(jid) | host.Start(jid)
              | host.Wake(jid)):
            return f"{_WORDS[type(effect)]} {number(jid)}"
    raise AssertionError(f"no words for {effect!r}")


def _message(message: Any) -> str:
    match message:
        case m.Accepted():
            word = "queued" if message.queued else "accepted"
            return f"{word} {number(message.jid)}{' with its job' if message.job else ''}"
        case m.Refused():
            return f"refused {number(message.jid)}: {message.reason}"
        case m.Started():
            return f"started {number(message.jid)} pid {message.pid}"
        case m.Return():
            return f"return {number(message.jid)} {message.state}"
        case m.Stopped():
            return f"stop {message.stop} of {number(message.jid)}: {message.outcome}"
        case m.Held():
            jobs = " ".join(f"{number(job.jid)}={job.state}" for job in message.jobs) or "nothing"
            return f"held {jobs}{'' if message.last else ', more follows'}"
        case m.Ack():
            return f"ack {number(message.jid)}{f', refused: {message.refused}' if message.refused else ''}"
        case m.Publish():
            return f"publish {number(message.jid)}"
        case m.Stop():
            return f"{message.how} {message.stop} of {number(message.jid)}"
        case m.Hello():
            return f"hello {message.connection}"
        case m.Enrol():
            return f"claim {message.id}"
        case m.Ping() | m.Pong():
            return f"{type(message).__name__.lower()} {message.n}"
        case m.Welcome():
            return "welcome" if message.next_key is UNSET else f"welcome, next key {message.next_key[0]}"
        case m.Noted():
            return f"noted {message.n}"
        case m.Rotate():
            return "rotate"
        case m.Offer() | m.Trusts() | m.MasterKey():
            return f"{type(message).__name__.lower()} {message.key[0]}"
        case m.Taken():
            return f"taken {message.key[0]}{f', refused: {message.refused}' if message.refused else ''}"
    raise AssertionError(f"no words for {message!r}")


def _change(change: r.Change) -> str:
    match change:
        case r.AddJob(job, pairs):
            return f"job {number(job.jid)} " + " ".join(f"{pair.minion}={pair.state}" for pair in pairs)
        case r.MovePair(pair):
            return _pair(pair)
        case r.SetDone(jid, _, counts):
            return f"done {number(jid)} {_counts(counts)}"
        case r.AddStop(stop):
            return f"stop {stop.stop} for {stop.minion}"
        case r.DropStop(stop, minion):
            return f"no stop {stop} for {minion}"
        case r.PutMinion(minion):
            return f"key {minion.key} of {minion.id} {minion.state}"
        case r.DropMinion(key):
            return f"no key {key}"
        case r.PutOccurrences(minion, items):
            return f"runs of {minion}: " + " ".join(f"{run.schedule}={run.verdict}" for run in items)
        case r.AddToken():
            return "token"
        case r.DropToken():
            return "no token"
    raise AssertionError(f"no words for {change!r}")


def _event(event: master.Event) -> str:
    match event:
        case master.JobNew(job, minions):
            return f"job {number(job.jid)} for {' '.join(minions)}"
        case master.PairMoved(pair, corrected):
            return _pair(pair) + (" corrected" if corrected else "")
        case master.StopAnswered(answer, minion):
            return f"stop {answer.stop} on {minion}: {answer.outcome}"
        case master.JobDone(jid, _, counts):
            return f"done {number(jid)} {_counts(counts)}"
        case master.MinionUp(minion):
            return f"up {minion}"
        case master.MinionDown(minion, reason):
            return f"down {minion}: {reason}"
        case master.MinionBehind(minion, start, highest):
            return f"{minion} is behind: {start} of {highest}"
        case master.KeyChanged(minion, state, reason):
            if reason:
                return f"key of {minion} {state}: {reason}"
            return f"key of {minion} {state}"
    raise AssertionError(f"no words for {event!r}")


def _pair(pair: r.Pair) -> str:
    return f"{number(pair.jid)} {pair.minion}={pair.state}"


def _counts(counts: dict[State, int]) -> str:
    return " ".join(f"{state}={counts[state]}" for state in State if counts.get(state))
