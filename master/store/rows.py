"""Records to rows and back, one function for each. Columns stand in the order that the queries name them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw, Struct, msgpack, structs

from common.ids import Jid, MinionId
from common.link import Key
from common.messages import Evidence, JobFields
from common.schedule.model import Cause, Occurrence, Verdict
from common.states import State
from master.records import AddToken, Job, Minion, Outcome, Pair, Stop

Row = tuple[Any, ...]
"""One row as sqlite3 gives and takes it."""

_NUMBERS: Final[dict[State, int]] = {
    State.PLANNED: 0, State.SENT: 1, State.ACCEPTED: 2, State.QUEUED: 3, State.RUNNING: 4, State.SUCCEEDED: 5,
    State.FAILED: 6, State.TIMED_OUT: 7, State.KILLED: 8, State.LOST: 9, State.REFUSED: 10, State.UNDELIVERED: 11,
}
"""How a state is written. The numbers are on disks out there: they never change."""
_STATES: Final = {number: state for state, number in _NUMBERS.items()}
_VERDICTS: Final[dict[Verdict, int]] = {
    "ran": 0, "late": 1, "caught_up": 2, "skipped_overlap": 3, "skipped_window": 4, "skipped_should_run": 5,
    "skipped_paused": 6, "missed": 7, "failed_to_start": 8,
}
"""How a verdict is written; they never change either."""
_JUDGED: Final = {number: verdict for verdict, number in _VERDICTS.items()}

_JID_BYTES: Final = 9
"""20 decimal digits need 67 bits."""
_MOST: Final = 2**63 - 1
"""The greatest integer a column takes. What a minion sends may be greater."""
_REASON: Final = 4000
"""Characters of a reason, as `common.messages.Text` limits them."""
_SAME: Final = b""
"""In place of (pid, started) when the outcome says the same."""
_NO_ARGS: Final = b"\x90"
_NO_KWARGS: Final = b"\x80"


class _Seen(Struct, frozen=True, array_like=True):
    pid: int | None
    started: float | None


class _Ended(Struct, frozen=True, array_like=True):
    """An outcome without value and output, without names, and without what stands at its default."""

    retcode: int | None
    truncated: bool
    started: float | None
    ended: float | None
    duration: float | None
    pid: int | None
    evidence: Evidence | None


_pack = msgpack.Encoder().encode
_seen = msgpack.Decoder(_Seen).decode
_ended = msgpack.Decoder(_Ended).decode
_metadata = msgpack.Decoder(dict[str, str]).decode
_counts = msgpack.Decoder(dict[int, int]).decode
_DEFAULTS: Final = JobFields(function="", user="")
_NO_EVIDENCE: Final = Evidence()


def pack_jid(jid: str) -> bytes:
    """A jid, or the first 20 digits of one, in 9 or 17 bytes that sort as the text does."""
    return int(jid[:20]).to_bytes(_JID_BYTES, "big") + bytes.fromhex(jid[21:])


def unpack_jid(key: bytes) -> Jid:
    """The jid of a key. Raises ValueError when it is none."""
    text = f"{int.from_bytes(key[:_JID_BYTES], 'big'):020d}"
    return Jid(f"{text}-{key[_JID_BYTES:].hex()}" if len(key) > _JID_BYTES else text)


def state_number(state: State) -> int:
    return _NUMBERS[state]


def pack_counts(counts: Mapping[State, int]) -> bytes:
    return _pack({_NUMBERS[state]: number for state, number in counts.items()})


def unpack_counts(packed: bytes) -> dict[State, int]:
    """Raises ValueError or msgspec.DecodeError when damaged, as all that unpack here."""
    return {_state(number): many for number, many in _counts(packed).items()}


def states_from_rows(rows: list[Row]) -> dict[State, int]:
    """From rows of (state, number of pairs)."""
    return {_state(number): many for number, many in rows}


def job_to_row(job: Job, pairs: int) -> Row:
    fields = job.fields
    grace = None if fields.grace == _DEFAULTS.grace else fields.grace
    metadata = _pack(job.metadata) if job.metadata else None
    return (pack_jid(job.jid), fields.function, fields.user, fields.schedule, job.published, job.start_by, pairs,
            fields.timeout, grace, fields.typed or None, job.target_type, job.target, metadata,
            _unless(_NO_ARGS, fields.args), _unless(_NO_KWARGS, fields.kwargs), job.queue or None, fields.left_behind)


def job_from_row(row: Row) -> Job:
    (key, function, user, schedule, published, start_by, done, _counts, _pairs, timeout, grace, typed, target_type,
     target, metadata, args, kwargs, queue, left_behind) = row
    fields = JobFields(function=function, user=user, schedule=schedule, timeout=timeout,
                       grace=_DEFAULTS.grace if grace is None else grace, typed=bool(typed), left_behind=left_behind,
                       args=Raw(_NO_ARGS if args is None else args),
                       kwargs=Raw(_NO_KWARGS if kwargs is None else kwargs))
    return Job(jid=unpack_jid(key), fields=fields, target=target, target_type=target_type, published=published,
               start_by=start_by, done=done, queue=bool(queue),
               metadata={} if metadata is None else _metadata(metadata))


def counts_from_row(row: Row) -> dict[State, int] | None:
    """The stored counts of a job's row; None while it is open."""
    packed: bytes | None = row[7]
    return None if packed is None else unpack_counts(packed)


def pairs_from_row(row: Row) -> int:
    """How many pairs the job of a row was published with."""
    number: int = row[8]
    return number


def pair_to_row(pair: Pair) -> Row:
    seen: bytes | None = None
    outcome = pair.outcome
    if outcome is not None and (outcome.pid, outcome.started) == (pair.pid, pair.started):
        seen = _SAME
    elif pair.pid is not None or pair.started is not None:
        seen = _pack(_Seen(pair.pid, pair.started))
    head = (pack_jid(pair.jid), str(pair.minion), _NUMBERS[pair.state], pair.expired or None, seen)
    if outcome is None:
        return (*head, None, None, None, None)
    return (*head, _pack_outcome(outcome), outcome.value, outcome.stdout or None, outcome.stderr or None)


def pair_from_row(row: Row) -> Pair:
    """A pair with its outcome."""
    bare = bare_from_row(row[:6])
    packed, value, stdout, stderr = row[5:]
    if packed is None:
        return bare
    ended = _ended(packed)
    outcome = Outcome(retcode=ended.retcode, value=value, stdout=stdout or b"", stderr=stderr or b"",
                      truncated=ended.truncated, started=ended.started, ended=ended.ended, duration=ended.duration,
                      pid=ended.pid, evidence=_NO_EVIDENCE if ended.evidence is None else ended.evidence)
    return Pair(jid=bare.jid, minion=bare.minion, state=bare.state, pid=bare.pid, started=bare.started,
                expired=bare.expired, outcome=outcome)


def bare_from_row(row: Row) -> Pair:
    """A pair without its outcome."""
    key, minion, state, expired, packed, outcome = row
    if packed is None:
        seen = _Seen(None, None)
    elif packed == _SAME:
        ended = _ended(outcome)
        seen = _Seen(ended.pid, ended.started)
    else:
        seen = _seen(packed)
    return Pair(jid=unpack_jid(key), minion=MinionId(minion), state=_state(state), pid=seen.pid, started=seen.started,
                expired=bool(expired))


def stop_to_row(stop: Stop) -> Row:
    return (stop.stop, str(stop.minion), pack_jid(stop.jid), stop.how, stop.signal, stop.grace, stop.by, stop.at)


def stop_from_row(row: Row) -> Stop:
    stop, minion, key, how, signal, grace, by, at = row
    return Stop(stop=stop, jid=unpack_jid(key), minion=MinionId(minion), how=how, signal=signal, grace=grace, by=by,
                at=at)


def minion_to_row(minion: Minion) -> Row:
    return (str(minion.key), str(minion.id), minion.state, minion.filed, minion.version, minion.last_seen,
            min(minion.start, _MOST), min(minion.connection, _MOST), bytes(minion.facts), minion.boot_id,
            min(minion.highest, _MOST), minion.strange, minion.reason, minion.trusts)


def minion_from_row(row: Row) -> Minion:
    (key, minion, state, filed, version, last_seen, start, connection, facts, boot_id, highest, strange, reason,
     trusts) = row
    return Minion(id=MinionId(minion), key=Key(key), state=state, filed=filed, version=version, last_seen=last_seen,
                  start=start, connection=connection, facts=Raw(facts), boot_id=boot_id, highest=highest,
                  strange=bool(strange), reason=reason, trusts=None if trusts is None else Key(trusts))


def token_to_row(token: AddToken) -> Row:
    return (token.digest, token.expires, None if token.minion is None else str(token.minion))


def token_from_row(row: Row) -> AddToken:
    digest, expires, minion = row
    return AddToken(digest, expires, None if minion is None else MinionId(minion))


class _More(Struct, frozen=True, omit_defaults=True):
    """What few verdicts have."""

    cause: Cause = "plan"
    by: str = ""
    count: int = 1
    reason: str = ""


_more = msgpack.Decoder(_More).decode
_NO_MORE: Final = _More()


def occurrence_to_row(minion: MinionId, run: Occurrence) -> Row:
    more = _More(run.cause, run.by, run.count, run.reason)
    return (str(minion), run.schedule, run.planned, run.attempt, run.planned if run.last is None else run.last,
            _VERDICTS[run.verdict], run.at, None if run.jid is None else pack_jid(run.jid),
            None if more == _NO_MORE else _pack(more))


def occurrence_from_row(row: Row) -> tuple[MinionId, Occurrence]:
    """Whose it is, and the verdict."""
    _, minion, schedule, planned, attempt, last, verdict, at, key, packed = row
    more = _NO_MORE if packed is None else _more(packed)
    try:
        judged = _JUDGED[verdict]
    except KeyError:
        raise ValueError(f"{verdict} is no verdict") from None
    return MinionId(minion), Occurrence(
        schedule=schedule, planned=planned, attempt=attempt, verdict=judged, at=at, cause=more.cause, by=more.by,
        jid=None if key is None else unpack_jid(key), count=more.count, last=None if last == planned else last,
        reason=more.reason)


def _pack_outcome(outcome: Outcome) -> bytes:
    evidence = None if outcome.evidence == _NO_EVIDENCE else outcome.evidence
    if evidence is not None and evidence.reason is not None and len(evidence.reason) > _REASON:
        # The master's own words are not checked as they are made, but all are as they are read.
        evidence = structs.replace(evidence, reason=evidence.reason[:_REASON])
    return _pack(_Ended(outcome.retcode, outcome.truncated, outcome.started, outcome.ended, outcome.duration,
                        outcome.pid, evidence))


def _unless(default: bytes, packed: Raw) -> bytes | None:
    data = bytes(packed)
    return None if data == default else data


def _state(number: int) -> State:
    """Raises ValueError for a number that no state has."""
    try:
        return _STATES[number]
    except KeyError:
        raise ValueError(f"{number} is no state") from None
