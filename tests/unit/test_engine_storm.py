"""The engine in a storm: random entries, clocks that are set, stalls, crashes at every point, people at the keyboard.

Whatever happens, each planned time has exactly one verdict, no run begins twice, and none begins beside more others
than its entry allows. What was planned is told by an oracle that simply counts up the triggers.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from common.errors import JrError
from common.schedule.engine import splay
from common.schedule.engine.engine import Engine
from common.schedule.engine.slot import Slot
from common.schedule.model import BEGUN, Check, Decision, Entry, Follow
from common.schedule.times.periods import Period
from common.schedule.times.triggers import trigger_of
from common.states import State
from tests.lib.driven import DAY, HOUR, T0, Crashed, Host, at_once, entry

ZONES = [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo"), ZoneInfo("America/New_York")]
STARTS = [T0, datetime(2026, 3, 28, 20, tzinfo=UTC).timestamp(), datetime(2026, 4, 23, 18, tzinfo=UTC).timestamp(),
          datetime(2026, 10, 24, 20, tzinfo=UTC).timestamp()]
TRIGGERS: list[dict[str, object]] = [
    {"cron": "*/10 * * * *"}, {"cron": "30 2 * * *"}, {"cron": "0 0 * * *"}, {"at": ("00:30", "12:00")},
    {"every": 300.0, "base": "grid"}, {"every": 70.0, "anchor": "2026-01-01T00:00:03"}, {"once": "2026-04-24T12:00:00"},
    {"every": 300.0}, {"every": 900.0, "base": "end"}, {"continuous": True}, {},
]
ENDS = [State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.KILLED, State.LOST]


def random_entry(rng: Random, name: str, names: list[str], wall: float) -> Entry:
    trigger = dict(rng.choice(TRIGGERS))
    if "once" in trigger:
        trigger["once"] = datetime.fromtimestamp(wall + rng.uniform(-3, 20) * HOUR, UTC).isoformat()
    overlap = rng.choice(["skip", "skip", "queue", "kill", "allow"])
    follows = tuple(Follow(entry=other, delay=rng.choice([0.0, 45.0])) for other in names if rng.random() < 0.1)
    return entry(
        name, **trigger, then=follows, on_failure=follows[:1],
        overlap=overlap, allow=rng.choice([2, 3]) if overlap == "allow" else 1,
        catch_up=rng.choice(["none", "last", "last", "all"]), catch_up_window=rng.choice([600.0, HOUR, DAY]),
        start_deadline=rng.choice([None, None, 30.0, HOUR]), splay=rng.choice([0.0, 0.0, 40.0]),
        retries=rng.choice([0, 0, 2]), retry_delay=rng.choice([0.0, 30.0]), retry_backoff=2.0,
        should_run=Check(function="test.ping") if rng.random() < 0.2 else None,
        during=("day",) if rng.random() < 0.25 else (), excepting=("lunch",) if rng.random() < 0.2 else (),
        pause_after_failures=rng.choice([None, None, None, 3]), run_on_start=rng.random() < 0.15,
        timezone=rng.choice([None, None, "Europe/London"]))


class Storm:
    """One host, and what befalls it."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        names = [f"e{number}" for number in range(rng.randint(1, 5))]
        zone, self.begin = rng.choice(ZONES), rng.choice(STARTS) + rng.choice([0.0, 0.25])
        entries = [random_entry(rng, name, names, self.begin) for name in names]
        periods = {"day": Period({"monday": "06:00-22:00", "day 1 - 31": "08:00-20:00"}, zone),
                   "lunch": Period({"day 1 - 31": "12:00-13:00"}, zone)}
        self.highest = self.begin
        self.edits = False
        """Whether people also change what is planned."""
        self.host = Host(*entries, wall=self.begin, zone=zone, periods=periods, job_seconds=None)
        self.host.answer = lambda key: rng.choice([True, True, False, None])

    def step(self) -> None:
        """One thing happens; where the daemon dies of it, it starts again, now or later."""
        action = self.rng.choice([
            self.wait, self.wait, self.wait, self.stall, self.restart, self.set_clock, self.end, self.end, self.end,
            self.answer, self.by_hand, self.hold, self.reload, self.fail])
        if self.rng.random() < 0.15:
            self.host.crash = self.rng.choice(["decided", "committed"])
        try:
            action()
        except Crashed:
            self.down()
        self.highest = max(self.highest, self.host.wall)

    def down(self) -> None:
        """The daemon is dead, perhaps for a while, in which jobs end and clocks are set; it may die as it starts."""
        host, rng = self.host, self.rng
        host.crash = ""
        host.move(rng.choice([0.0, 0.0, 1.0, 100.0, 2 * HOUR, DAY]))
        for jid in list(host.running):
            if rng.random() < 0.5:
                host.end_unseen(jid, rng.choice(ENDS))
        if rng.random() < 0.2:
            self.turn_clock()
        if rng.random() < 0.3:
            host.crash = rng.choice(["decided", "committed"])
        try:
            host.start()
        except Crashed:
            self.down()

    def wait(self) -> None:
        self.host.pass_time(self.rng.choice([1.0, 60.0, 600.0, 3000.0]))

    def stall(self) -> None:
        self.host.stall(self.rng.choice([3.0, 20.0, 70.0, 1000.0, 3 * HOUR]))

    def restart(self) -> None:
        self.host.crash = ""
        self.down()

    def set_clock(self) -> None:
        self.turn_clock()
        if self.rng.random() < 0.7:
            self.host.tick()

    def turn_clock(self) -> None:
        self.highest = max(self.highest, self.host.wall)
        by = self.rng.choice([-DAY, -HOUR, -30.0, -2.0, 2.0, 30.0, HOUR, DAY])
        if self.host.wall + by > self.highest - 1.5 * DAY and self.host.wall + by > self.begin:
            self.host.set_clock(by)

    def end(self) -> None:
        if self.host.running:
            self.host.end(self.rng.choice(list(self.host.running)), self.rng.choice(ENDS))

    def fail(self) -> None:
        """A job that was just begun turns out not to have."""
        host = self.host
        if host.running and self.rng.random() < 0.3:
            jid = self.rng.choice(list(host.running))
            occurrence, _ = host.running.pop(jid)
            host.over[jid] = (occurrence, State.LOST)
            host.do(host.engine.failed(occurrence.key, "no such function", host.now), ended=jid)

    def answer(self) -> None:
        for key in self.host.asks[-3:]:
            self.host.do(self.host.engine.answered(key, self.rng.random() < 0.7, self.host.now))

    def by_hand(self) -> None:
        host, rng = self.host, self.rng
        name = rng.choice(list(host.entries))
        engine, now = host.engine, host.now
        with suppress(JrError):
            host.do(rng.choice([
                lambda: engine.run(name, "ann", now, force=rng.random() < 0.2), lambda: engine.skip(name, None, now),
                lambda: engine.postpone(name, None, now.wall + rng.choice([0.0, 50.0, 2 * HOUR]), now),
                lambda: engine.resume(name, now)])())

    def hold(self) -> None:
        host, engine = self.host, self.host.engine
        if host.hold is None and self.rng.random() < 0.3:
            host.do(engine.hold("ann", host.now))
        elif host.hold is not None:
            host.do(engine.release(host.now, self.rng.choice(["run", "drop"])))

    def reload(self) -> None:
        """Edits that change no planned time."""
        host, rng = self.host, self.rng
        edited = [structs.replace(one, timeout=rng.choice([None, 5.0]), retries=rng.choice([one.retries, 1]))
                  for one in host.entries.values()]
        if self.edits:
            edited = [rng.choice([one, structs.replace(one, enabled=not one.enabled),
                                  random_entry(rng, one.name, list(host.entries), host.wall)]) for one in edited]
        host.load(*edited)

    def settle(self) -> None:
        """The storm is over: all is well, and beyond all times that any clock showed."""
        host = self.host
        host.crash = ""
        host.wall = max(host.wall, self.highest) + 2 * DAY
        host.answer = lambda key: True
        host.start()
        host.do(host.engine.release(host.now, "run"))
        for _ in range(400):
            host.tick()
            if not host.running:
                break
            host.end()


@pytest.mark.parametrize("seed", range(60))
def test_every_planned_time_has_exactly_one_verdict(seed: int):
    """S25, P17, R-B31, R-B32: also the journal of `Host` refuses a second verdict, and a run beside too many others."""
    storm = Storm(seed)
    for _ in range(60):
        storm.step()
    storm.settle()
    host = storm.host
    assert len({one.jid for one in host.begun}) == len(host.begun), "a jid began twice"
    for one in host.entries.values():
        check_entry(host, one, storm.begin)


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_no_edit_makes_a_run_begin_twice(seed: int):
    """S25, F37, P25: whatever is edited, disabled and enabled; the journal of `Host` refuses a second verdict."""
    storm = Storm(seed)
    storm.edits = True
    for _ in range(60):
        storm.step()
    storm.settle()
    assert len({one.key for one in storm.host.begun}) == len(storm.host.begun)


@pytest.mark.parametrize("seed", range(4000, 4012))
def test_what_the_journal_does_not_take_of_verbs_leaves_nothing_behind(seed: int):
    """R-A20, S25: whatever people ask for at once, in whatever state the entries are."""
    storm = Storm(seed)
    rng, engine = storm.rng, storm.host.engine
    for _ in range(40):
        storm.step()
        storm.host.move(rng.choice([0.0, 1000.0]))
        storm.host.set_clock(rng.choice([0.0, 0.0, 30.0]))
        engine, now = storm.host.engine, storm.host.now
        names = list(storm.host.entries)
        before = state_of(engine)
        mark = engine.mark()
        for _ in range(rng.randint(1, 4)):
            name = rng.choice(names)
            with suppress(JrError):
                rng.choice([
                    partial(engine.run, name, "ann", now, force=rng.random() < 0.5),
                    partial(engine.skip, name, None, now), partial(engine.postpone, name, None, now.wall + 50.0, now),
                    partial(engine.resume, name, now), partial(engine.hold, "ann", now),
                    partial(engine.release, now, rng.choice(["run", "drop"])), partial(engine.run_pending, now)])()
        at_once(engine.changed())
        mark.back()
        assert state_of(engine) == before


def state_of(engine: Engine) -> dict[str, Any]:
    """All that an engine knows; of its timers what they are set to."""
    board = engine._board
    def copied(value: Any) -> Any:
        return copy.copy(value) if isinstance(value, (dict, list, set)) else value

    plain = {name: copied(value) for name, value in vars(board).items()
             if name not in ("_timers", "slots", "running")}
    return {**plain, "timers": dict(board._timers._at),
            "running": {name: dict(runs) for name, runs in board.running.items()},
            "ended": {jid: run.ended_by_us for jid, run in board._runs.items()},
            "slots": {name: {field: copied(getattr(slot, field)) for field in Slot.__slots__}
                      for name, slot in board.slots.items()}}


class Edited(Host):
    """A host that notes from when on which entries held: those of the first step that was committed with them."""

    versions: list[tuple[float, dict[str, Entry]]]
    by_hand: set[str]
    """Entries of which runs to come were skipped or postponed. They are not deleted: one that comes back after another
    start of the daemon plans these runs anew."""

    def __init__(self, *entries: Entry, **fields: Any) -> None:
        self.versions, self.by_hand = [], set()
        super().__init__(*entries, **fields)

    def commit(self, decisions: Iterable[Decision]) -> None:
        super().commit(decisions)
        held = {**self.entries, **{name: one for name, one in self._before.items() if name in self.broken}}
        if held != self._before:
            self.versions.append((self.wall, held))

    @property
    def _before(self) -> dict[str, Entry]:
        return self.versions[-1][1] if self.versions else {}


@pytest.mark.parametrize("seed", [*range(2000, 2024), 3416, 3510, 3653])
def test_whatever_is_edited_each_planned_time_of_each_version_has_one_verdict(seed: int):
    """S25, F37: also what is edited, broken, mended and deleted while the daemon is down; the clock goes forward here.
    """
    rng = Random(seed)
    names = [f"e{number}" for number in range(rng.randint(1, 4))]
    zone, begin = rng.choice(ZONES), rng.choice(STARTS) + 0.25
    periods = {"day": Period({"day 1 - 31": "08:00-20:00"}, zone), "lunch": Period({"day 1 - 31": "12:00-13:00"}, zone)}
    host = Edited(*(alone(rng, name, names, begin) for name in names), wall=begin, zone=zone, periods=periods,
                  job_seconds=None)
    for _ in range(60):
        with suppress(Crashed):
            befall(host, rng, names)
            continue
        restart(host, edited(host, rng, names) if rng.random() < 0.5 else None, rng)
    host.crash, host.broken = "", set()  # an entry that is broken has its verdicts when it comes back, or goes
    host.away(2 * DAY)
    for name in names:
        check_versions(host, name)


def befall(host: Edited, rng: Random, names: list[str]) -> None:
    """One thing happens, after which the daemon may be dead."""
    match rng.choice(["wait", "wait", "wait", "stall", "restart", "restart", "clock", "end", "end", "hand", "edit"]):
        case "wait":
            host.pass_time(rng.choice([1.0, 60.0, 600.0, 3000.0]))
        case "stall":
            host.stall(rng.choice([20.0, 1000.0, 3 * HOUR]))
        case "restart":
            raise Crashed
        case "clock":
            host.set_clock(rng.choice([30.0, HOUR]))
        case "end" if host.running:
            host.end(rng.choice(list(host.running)), rng.choice(ENDS))
        case "hand":
            one, now = rng.choice(names), host.now
            if one not in host.entries or trigger_of(host.entries[one], host.zone) is None:
                return
            host.by_hand.add(one)
            with suppress(JrError):
                host.do(rng.choice([lambda: host.engine.skip(one, None, now),
                                    lambda: host.engine.postpone(one, None, now.wall + rng.uniform(0, DAY), now)])())
        case "edit":
            host.tick()  # as the driver does
            host.crash = rng.choice(["", "", "decided", "committed"])
            entries, broken = edited(host, rng, names)
            host.load(*entries, broken=broken)


def alone(rng: Random, name: str, names: list[str], wall: float) -> Entry:
    """One run at a time: a run that is decided begins also where its entry allows fewer by then."""
    return structs.replace(random_entry(rng, name, names, wall), overlap="skip", allow=1)


def edited(host: Edited, rng: Random, names: list[str]) -> tuple[list[Entry], set[str]]:
    """What the files say next, and which entries in them are no good."""
    entries, broken = [], set()
    for name in names:
        old = host.versions[-1][1].get(name)
        match rng.choice(["same", "same", "new", "new", "off", "broken" if name in host.by_hand else "gone", "broken"]):
            case "broken":
                broken.add(name)
            case "new":
                entries.append(alone(rng, name, names, host.wall))
            case "off" if old is not None:
                entries.append(structs.replace(old, enabled=not old.enabled))
            case "same" if old is not None:
                entries.append(old)
    return entries, broken


def restart(host: Edited, files: tuple[list[Entry], set[str]] | None, rng: Random) -> None:
    """The daemon is away for a while, and starts, perhaps with other files."""
    host.crash = ""
    host.move(rng.choice([0.0, 1.0, 100.0, 2 * HOUR, DAY]))
    if files is not None:
        host.entries, host.broken = {one.name: one for one in files[0]}, files[1]
    host.crash = rng.choice(["", "", "decided", "committed"])
    try:
        host.start()
    except Crashed:
        restart(host, None, rng)


def check_versions(host: Edited, name: str) -> None:
    """What the wall clock planned of an entry, by what it was at the time, has one verdict each."""
    told = [one for one in host.ledger.values() if one.schedule == name and one.cause == "plan" and not one.attempt]
    standing = host.standings.get(name)
    waits = [] if standing is None else [one.planned for one in standing.waiting if one.cause == "plan"]
    begins = [at for at, _ in host.versions]
    for (since, entries), until in zip(host.versions, [*begins[1:], host.wall], strict=True):
        one = entries.get(name)
        trigger = None if one is None or not one.enabled or one.once else trigger_of(one, host.zone)
        if one is None or trigger is None:
            continue
        last = until - (splay.offset(host.who, name, one.splay) if until == host.wall else 0.0)
        at = datetime.fromtimestamp(since, UTC)
        while (found := trigger.next_after(at)) is not None and (time := found.timestamp()) <= last:
            of = [each for each in told if abs(each.planned - time) < 1e-3
                  or (each.last is not None and each.planned <= time <= each.last + 1e-3)]
            assert len(of) + sum(abs(each - time) < 1e-3 for each in waits) == 1, (found, one, of)
            at = found


def check_entry(host: Host, one: Entry, begin: float) -> None:
    """Its verdicts are those of its planned times, each once."""
    trigger = trigger_of(one, host.zone)
    told = [occurrence for occurrence in host.ledger.values()
            if occurrence.schedule == one.name and occurrence.attempt == 0 and occurrence.cause == "plan"]
    begun = Counter(occurrence.key for occurrence in host.begun if occurrence.schedule == one.name)
    assert not begun or max(begun.values()) == 1
    waits = [wait.planned for wait in host.standings[one.name].waiting if not wait.attempt and wait.cause == "plan"]
    if trigger is None:
        if one.every and not host.standings[one.name].skips:
            planned = host.standings[one.name].planned
            longest = one.every + (DAY if one.during else 0.0) + one.splay
            assert planned is None or planned - host.wall <= longest + HOUR
        return
    reach = host.wall - splay.offset(host.who, one.name, one.splay)
    since = 0.0 if one.once else begin
    expected: list[float] = []
    at = datetime.fromtimestamp(since, UTC)
    # Somebody may have skipped or moved runs that are still to come.
    until = max([reach, *waits, *(occurrence.planned for occurrence in told)])
    while (found := trigger.next_after(at)) is not None and found.timestamp() <= until:
        expected.append(found.timestamp())
        at = found
    covered: Counter[float] = Counter(waits)
    times = sorted(expected)
    for occurrence in told:
        last = occurrence.planned if occurrence.last is None else occurrence.last
        # Keys may carry a turn of the clock in their microseconds.
        inside = times[bisect_left(times, occurrence.planned - 1e-3):bisect_right(times, last)]
        assert len(inside) == occurrence.count or (
            "counted up to" in occurrence.reason and occurrence.count < len(inside)), occurrence
        assert occurrence.verdict not in BEGUN or (occurrence.count == 1 and occurrence.jid)
        covered.update(inside)
    assert {time: covered[time] for time in times if covered[time] != 1 and (time <= reach or covered[time])} == {}
    assert set(covered) <= set(times)
