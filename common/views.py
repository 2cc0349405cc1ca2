"""Tables of jobs, pairs, minions and keys, for people. Takes plain data; everything shown from it is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.evidence import account, heading, names
from common.style import GAP, Style, columns, cut, listed, scalar, standing, tree, word
from common.text import escape, local_time, span
from common.views_schedule import TABLES, returned
from common.views_simulation import explanation, simulation

_STATE_WIDTH = len("undelivered")
_WORTH_TELLING = 1.0
"""Seconds from which on the length of a run is shown."""
_SPARE = ("TOLD", "HELD BY", "VERSION", "LAST SEEN", "SINCE")
"""Of the table of minions, what a narrow terminal does without, the least important first."""
_LOAD = ("RUNS", "QUEUED", "SPOOL", "CLOCK", "HELD BY", "TOLD")
_LABELS = ("running", "queued", "waiting", "returned")


def table(kind: str, value: Any, colour: bool, width: int) -> str:
    """The table of a value of this kind."""
    return _TABLES[kind](value, Style(colour), width)


def pair_block(minion: str, pair: Mapping[str, Any], name_width: int, colour: bool, width: int,
               function: str = "") -> str:
    """One pair: minion, state and a return of one line in one row; whatever is longer below it, indented.

    What `function` is known to return may have a table of its own.
    """
    style = Style(colour)
    state = str(pair.get("state", ""))
    why, body = _why(pair), _body(pair, style, width - len(GAP), function)
    if not why and len(body) == 1:
        why = body.pop()
    took = pair.get("duration")
    length = f"({span(took)})" if isinstance(took, (int, float)) and took >= _WORTH_TELLING else ""
    told = style.state(state, escape(state)) + sign if (sign := heading(pair)) else \
        style.state(state, escape(state).ljust(_STATE_WIDTH))
    first = f"{told} {why}" if sign else GAP.join(filter(None, (told, why)))
    head = [escape(minion).ljust(name_width), first, length]
    return "\n".join([GAP.join(filter(None, head)).rstrip(), *(f"{GAP}{line}".rstrip() for line in body)])


def _why(pair: Mapping[str, Any]) -> str:
    """What there is to know beside the state, in one line; empty for an ordinary success."""
    parts = account(pair)
    if lost := (pair.get("evidence") or {}).get("lost_bytes"):
        parts.append(f"{lost} bytes of output not kept")
    elif pair.get("truncated") and (pair.get("stdout") or pair.get("stderr")):
        parts.append("cut, the whole output is on the minion")
    elif pair.get("truncated"):
        parts.append("cut")
    if pair.get("expired"):
        parts.append("value and output deleted by keep_jobs")
    return escape("; ".join(parts))


def _body(pair: Mapping[str, Any], style: Style, width: int, function: str) -> list[str]:
    """The return, and the output where it says more than the return."""
    value, stdout, stderr = pair.get("return"), pair.get("stdout") or "", pair.get("stderr") or ""
    lines = [] if value is None or value == "" else _returned(value, style, width, function)
    if stdout and value != stdout.removesuffix("\n"):
        lines += ["stdout:", *(f"  {line}" for line in tree(stdout, width))]
    if stderr:
        lines += ["stderr:", *(f"  {line}" for line in tree(stderr, width))]
    return lines


def _returned(value: Any, style: Style, width: int, function: str) -> list[str]:
    if function.startswith("schedule."):
        return returned(value, style, width)
    return tree(value, width)


def _call(job: Mapping[str, Any]) -> str:
    """`cmd.run 'tidy --all' cwd=/tmp`: the job as it would be typed."""
    return " ".join([escape(str(job.get("function", ""))), *_arguments(job)])


def _arguments(job: Mapping[str, Any]) -> list[str]:
    kwargs = job.get("kwargs") or {}
    return [*map(word, job.get("args") or []), *(f"{escape(key)}={word(value)}" for key, value in kwargs.items())]


def _target(job: Mapping[str, Any]) -> str:
    kind = job.get("target_type") or "glob"
    text = escape(str(job.get("target", "")))
    return text if kind == "glob" else f"{text} ({escape(str(kind))})"


def _job(value: Any, style: Style, width: int) -> str:
    if not isinstance(value, dict) or "minions" not in value:
        documents = list(value.values()) if isinstance(value, dict) else []
        if len(documents) == 1 and isinstance(documents[0], dict) and "minions" in documents[0]:
            return _job(documents[0], style, width)  # under its jid, as jobs.print_job gives it
        return _value(value, style, width)
    published, done = value.get("published"), value.get("done")
    ended = local_time(done)
    if done is not None and published is not None:
        ended += f" (after {span(done - published)})"
    facts = {
        "job": style.paint("bold", escape(str(value.get("jid", "")))), "function": _call(value),
        "target": _target(value), "user": scalar(value.get("user")), "published": local_time(published),
        "done": ended or "not yet", "start by": local_time(value.get("start_by")),
        "schedule": escape(str(value.get("schedule") or "")),
        "metadata": ", ".join(f"{escape(key)}={word(text)}" for key, text in (value.get("metadata") or {}).items()),
    }
    head = "\n".join(f"{name:<9}{GAP}{text}" for name, text in facts.items() if text)
    pairs = _pairs(value["minions"], style, width, str(value.get("function", "")))
    return "\n\n".join(filter(None, (head, pairs, standing(value.get("counts") or {}, style.colour))))


def _pairs(value: Any, style: Style, width: int, function: str = "") -> str:
    name_width = max(map(len, value), default=0)
    return "\n".join(pair_block(minion, pair, name_width, style.colour, width, function)
                     for minion, pair in value.items())


def _jobs(value: Any, style: Style, width: int) -> str:
    rows = [
        [escape(str(job.get("jid", ""))), local_time(job.get("published"))[5:], escape(str(job.get("user", ""))),
         _call(job), _target(job), _stands(job)]
        for job in listed(value, "jobs")
    ]
    titles = ("JID", "PUBLISHED", "USER", "FUNCTION", "TARGET", "STATES")
    return columns(titles, rows, style, width, flexible=("FUNCTION", "TARGET"),
                   spare=("USER", "PUBLISHED", "TARGET")) if rows else ""


def _stands(job: Mapping[str, Any]) -> str:
    states = standing(job.get("counts") or {})
    return states if job.get("done") is not None else f"open: {states}"


def _active(value: Any, style: Style, width: int) -> str:
    return "\n\n".join(_open_job(jid, job, style, width) for jid, job in value.items())


def _open_job(jid: str, job: Mapping[str, Any], style: Style, width: int) -> str:
    since = f"{_target(job)}, by {escape(str(job.get('user', '')))}, since {local_time(job.get('published'))}"
    if schedule := job.get("schedule"):
        since += f", schedule {escape(str(schedule))}"
    call = cut(_call(job), max(20, width - len(jid) - len(GAP)))
    lines = [f"{style.paint('bold', escape(jid))}{GAP}{call}", f"{GAP}{since}"]
    for label in _LABELS:
        known = job.get(label) or ()
        if isinstance(known, dict):
            known = [_running(name, run) for name, run in known.items()]
        until = f" (until {local_time(job['start_by'])})" if label == "waiting" and "start_by" in job else ""
        if known:
            lines.append(f"{GAP}{label:<8}{GAP}{escape(names(known))}{until}")
    return "\n".join(lines)


def _running(name: str, run: Mapping[str, Any]) -> str:
    known = [f"pid {run['pid']}" if run.get("pid") is not None else "", span(run.get("age"))]
    return f"{name} ({', '.join(filter(None, known))})" if any(known) else name


def _presence(value: Any, style: Style, width: int) -> str:
    loads = any(here.get("load") for here in value.values())
    rows = [
        [escape(minion), _presence_state(here), local_time(here.get("since")),
         local_time(here.get("last_seen")), escape(str(here.get("version") or "")),
         *(_load(here.get("load") or {}) if loads else ()), escape(str(here.get("quarantined") or ""))]
        for minion, here in value.items()
    ]
    titles = ("MINION", "STATE", "SINCE", "LAST SEEN", "VERSION", *(_LOAD if loads else ()))
    spare = _SPARE if loads else _SPARE[2:]
    return _explained(titles, rows, style, width, spare=spare)


def _explained(titles: tuple[str, ...], rows: list[list[str]], style: Style, width: int, *,
               spare: tuple[str, ...], flexible: tuple[str, ...] = ()) -> str:
    """Rows whose last cell says why, under these titles; without that column when there is nothing to say."""
    if not rows:
        return ""
    if any(row[-1] for row in rows):
        titles = (*titles, "WHY")
    else:
        rows = [row[:-1] for row in rows]
    return columns(titles, rows, style, width, flexible=flexible, spare=spare, states="STATE")


def _presence_state(here: Mapping[str, Any]) -> str:
    if here.get("quarantined"):
        return "quarantined"
    return "up" if here.get("up") else "down"


_CONFIRMED = {None: "", True: "yes", False: "no"}


def _load(load: Mapping[str, Any]) -> list[str]:
    """How a minion does: jobs that run and wait, returns in the spool with the age of the oldest, its clock."""
    if not load:
        return [""] * 6
    spool, oldest = str(load.get("spool", 0)), load.get("oldest")
    if isinstance(oldest, (int, float)):
        spool += f" ({span(oldest)})"
    offset = load.get("clock_offset")
    clock = f"{offset:+.2f} s" if isinstance(offset, (int, float)) else ""
    return [escape(text) for text in (str(load.get("running", 0)), str(load.get("queued", 0)), spool, clock,
                                      str(load.get("containment") or ""), f"{span(load.get('age'))} ago")]


def _keys(value: Any, style: Style, width: int) -> str:
    rows = [
        [escape(str(key.get("id", ""))), escape(str(key.get("state", ""))), escape(str(key.get("fingerprint", ""))),
         local_time(key.get("filed")), _CONFIRMED[key.get("confirmed")], escape(str(key.get("reason", "")))]
        for key in listed(value, "keys")
    ]
    master = value.get("master") if isinstance(value, dict) else None
    if master:
        own = [["master", "", escape(str(master.get("fingerprint", ""))), "", "", ""]]
        if "next_fingerprint" in master:
            own.append(["master", "next", escape(str(master["next_fingerprint"])), "", "", ""])
        rows = own + rows
    titles: tuple[str, ...] = ("ID", "STATE", "FINGERPRINT", "FILED", "CONFIRMED")
    # Of interest while the master's key changes, and where somebody has missed that it did.
    if all(row[-2] != _CONFIRMED[False] for row in rows):
        titles, rows = titles[:-1], [[*row[:-2], row[-1]] for row in rows]
    return _explained(titles, rows, style, width, flexible=("FINGERPRINT",), spare=("FILED",))


def _names(value: Any, style: Style, width: int) -> str:
    return "\n".join(map(scalar, value))


def _summaries(value: Any, style: Style, width: int) -> str:
    """What each name stands for, in a line each."""
    names = {escape(name): escape(text) for name, text in value.items()}
    name_width = max(map(len, names), default=0)
    return "\n".join(cut(f"{name:{name_width}}{GAP}{text}".rstrip(), width) for name, text in names.items())


def _signals(value: Any, style: Style, width: int) -> str:
    """What became of a signal, on each minion."""
    told = {minion: _SIGNALS.get(outcome, outcome) for minion, outcome in value["minions"].items()}
    name_width = max(map(len, told), default=0)
    return "\n".join(f"{escape(minion).ljust(name_width)}{GAP}{_over(text)}" for minion, text in sorted(told.items()))


_SIGNALS = {"sent": "sent, no answer yet", "cancelled": "cancelled before it started", "ended": "over already"}


def _over(outcome: str) -> str:
    state = outcome.removeprefix("terminal:")
    return escape(outcome) if state == outcome else f"over already: {escape(state)}"


def _value(value: Any, style: Style, width: int) -> str:
    return "" if value is None else "\n".join(tree(value, width))


_TABLES: dict[str, Callable[[Any, Style, int], str]] = {
    "job": _job, "pairs": _pairs, "jobs": _jobs, "active": _active, "presence": _presence, "keys": _keys,
    "names": _names, "signals": _signals, "summaries": _summaries,
    "simulation": lambda value, style, _: simulation(value, style),
    "explanation": lambda value, style, _: explanation(value, style), "value": _value, **TABLES,
}
